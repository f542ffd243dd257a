"""``pcrq embed``: features of shapes, sounds or images by a pretrained network, and a picture of nearest neighbours."""

from __future__ import annotations

import argparse
from pathlib import Path

from pcrq.errors import InputError

DESCRIPTION = """\
Embed shapes, sounds or images by a pretrained network, which tells what they are. SRC is a folder or zip archive of
meshes or of sound files, as 'pcrq prep meshes' and 'pcrq prep audio' take it, a single such file, a STORE.h5, or a
folder of images. Files that cannot be used are listed with the reason in FEATURES.npz.refused.csv. Meshes and sounds
are prepared first; an interrupted run prepares none of them twice when the same command is given again.

FEATURES.npz holds features (S, D) float32, id, category and split (S,), in the order of the store, or of the names of
images (whose category is the name of their folder), and about, JSON that tells what they were made by:
numpy.load("features.npz")["features"]
"""
EPILOG = """\
examples:
  pcrq embed furniture.zip --checkpoint runs/tiny/checkpoints/last.ckpt --out features.npz
  pcrq embed shapes.h5 --checkpoint tiny_midnet --out features.npz --neighbours neighbours.png
  pcrq embed photos --checkpoint runs/tiny_image/checkpoints/last.ckpt --out features.npz
  pcrq embed photos --checkpoint convnext.pth --encoder torchvision.models.convnext_tiny --out features.npz
  pcrq embed recordings --checkpoint runs/tiny_audio/checkpoints/last.ckpt --out features.npz
"""


def register(commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "embed",
        help="features of meshes, sounds or images by a pretrained network; nearest neighbours",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "source",
        type=Path,
        metavar="SRC",
        help="a folder or zip of meshes or sounds, one such file, a STORE.h5, or a folder of images",
    )
    parser.add_argument(
        "--checkpoint", type=Path, required=True, metavar="CKPT",
        help="of a pretraining run, an exported folder, or published weights (byol-a, moco-v3, random_quantize)",
    )  # fmt: skip
    parser.add_argument(
        "--encoder", metavar="NAME",
        help="of images: the network, where the checkpoint does not tell it or names code to import: resnet10 to"
        " resnet101, or what to import and call, such as timm.create_model",
    )  # fmt: skip
    parser.add_argument(
        "--encoder_arguments", type=_arguments, default={}, metavar="{…}",
        help="of that call, such as '{model_name: convnext_tiny}'",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="FEATURES.npz", help="the file to write")
    parser.add_argument("--labels", type=Path, metavar="CSV", help="categories: a CSV file with columns file,label")
    parser.add_argument("--up", choices=("x", "y", "z"), help="the axis that is up in meshes (default y)")
    parser.add_argument(
        "--jobs", type=int, metavar="N",
        help="processes that prepare files or decode images (default: all cores; for images 8 at most)",
    )  # fmt: skip
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, … (default: a GPU where there is one)")
    parser.add_argument("--batch_size", type=int, default=32, metavar="N", help="entries at a time (default 32)")
    parser.add_argument(
        "--neighbours", type=Path, metavar="PICTURE.png",
        help="draw some shapes with their nearest neighbours by the cosine of features; green: of the same category",
    )  # fmt: skip
    parser.add_argument("--queries", type=int, default=8, metavar="N", help="rows of the picture (default 8)")
    parser.add_argument("--nearest", type=int, default=5, metavar="K", help="neighbours in each row (default 5)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Embed, write, draw; options are checked before anything heavy is loaded."""
    check(args)
    kind = "images" if args.encoder is not None else _kind(args.checkpoint)
    if kind == "sounds":
        from projects.cli.embed_sounds import run_sounds

        run_sounds(args)
    elif kind == "images":
        from projects.cli.embed_images import run_images

        run_images(args)
    else:
        from projects.cli.embed_shapes import run_shapes

        run_shapes(args)


def _arguments(text: str) -> dict:
    """YAML, of which JSON is a part, as the configurations of trainings have it."""
    import yaml

    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError:
        values = None
    if not isinstance(values, dict):
        raise argparse.ArgumentTypeError(f"{text!r}: write names and values, such as '{{model_name: convnext_tiny}}'")
    return values


def check(args: argparse.Namespace) -> None:
    """Refuse options that would fail after the work is done.

    Raises:
        InputError: an option is out of range, or a file cannot be written where it is to be.
    """
    for option, path, suffix in (("--out", args.out, ".npz"), ("--neighbours", args.neighbours, ".png")):
        if path is None:
            continue
        if path.suffix.lower() != suffix:
            raise InputError(f"{option} {path}: name a {suffix} file")
        if path.is_dir():
            raise InputError(f"{option} {path}: this is a folder; name a file in it")
        if not path.parent.is_dir():
            raise InputError(f"{option} {path}: the folder {path.parent} does not exist; create it first")
    if args.encoder_arguments and args.encoder is None:
        raise InputError("--encoder_arguments: of a call; name by --encoder what to call")
    for option in ("batch_size", "queries", "nearest", "jobs"):
        value = getattr(args, option)
        if value is not None and value < 1:
            raise InputError(f"--{option} {value}: choose at least 1")


def _kind(checkpoint: Path) -> str:
    """What a checkpoint's network is for; those that do not tell are taken for networks of shapes."""
    if not checkpoint.is_file():
        return "shapes"
    from pcrq.checkpoint import load_checkpoint
    from projects.audio import encoder as sounds
    from projects.image import encoder_checkpoint as images

    content = load_checkpoint(checkpoint)
    if sounds.holds_encoder(content):
        return "sounds"
    return "images" if images.holds_encoder(content) else "shapes"

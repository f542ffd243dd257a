"""``pcrq embed``: features of shapes, sounds or images from a pretrained network, and plots of nearest neighbors."""

from __future__ import annotations

import argparse
import contextlib
import csv
import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pcrq import InputError
from projects.cli.output_file import check_output_file
from projects.cli.prep_run import print_refused

if TYPE_CHECKING:
    import numpy as np

    from data_prep.temporary_store import Source
    from pcrq.stores import ShapeStore
    from projects.image.sources import FolderImages

DESCRIPTION = """\
Embed shapes, sounds or images with a pretrained network; the checkpoint determines which of them.

SRC is a folder or zip archive of meshes or sound files (as for 'pcrq prep meshes' and 'pcrq prep audio'), one such
file, a STORE.h5, or a folder of images. Meshes and sounds are prepared first; run the same command again to resume.
Files that cannot be used are listed with the reason in FEATURES.npz.refused.csv.
"""
EPILOG = """\
FEATURES.npz contains features (S, D) float32; id, category and split (S,), in the order of the store or, for images, of
the file names (the category is the folder); and about, JSON with checkpoint, source and versions. Read it with
numpy.load("features.npz")["features"].

examples:
  pcrq embed furniture.zip --checkpoint runs/tiny/checkpoints/last.ckpt --out features.npz
  pcrq embed shapes.h5 --checkpoint tiny_midnet --out features.npz --neighbours neighbors.png
  pcrq embed photos --checkpoint runs/tiny_image/checkpoints/last.ckpt --out features.npz
  pcrq embed photos --checkpoint convnext.pth --encoder torchvision.models.convnext_tiny --out features.npz
  pcrq embed recordings --checkpoint runs/tiny_audio/checkpoints/last.ckpt --out features.npz
"""
IMAGE_SIZE = 224  # pixels, for published weights
MAX_WORKERS = 8  # for images: starting more takes longer than they save
ONLY_FOR = {"up": ("shapes",), "neighbours": ("shapes",), "views": ("shapes",), "labels": ("shapes", "sounds")}


def register(commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "embed",
        help="compute features of shapes, sounds or images with a pretrained network",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument_group("input and output").add_argument
    add("source", type=Path, metavar="SRC", help="folder or zip of meshes or sounds, one file, STORE.h5, image folder")
    add("--out", type=Path, required=True, metavar="FEATURES.npz", help="file to write")
    add("--labels", type=Path, metavar="CSV", help="categories of meshes or sounds: CSV file with columns file,label")
    add("--up", choices=("x", "y", "z"), help="upward axis of meshes (default: y)")

    add = parser.add_argument_group("network").add_argument
    add(
        "--checkpoint",
        type=Path,
        required=True,
        metavar="CKPT",
        help="checkpoint of a pretraining, exported folder, or published weights (byol-a, moco-v3, random_quantize)",
    )
    add(
        "--encoder",
        metavar="NAME",
        help="image encoder, if the checkpoint does not describe it: resnet10 to resnet101, or a function to import "
        "and call, such as timm.create_model",
    )
    add(
        "--encoder_arguments",
        type=_arguments,
        default={},
        metavar="{…}",
        help="arguments of that function, such as '{model_name: convnext_tiny}' (default: none)",
    )

    add = parser.add_argument_group("nearest neighbors (shapes only)").add_argument
    add(
        "--neighbours",
        type=Path,
        metavar="PICTURE.png",
        help="picture of some shapes with their nearest neighbors by cosine similarity; green: same category",
    )
    add("--queries", type=int, default=8, metavar="N", help="rows of the picture (default: 8)")
    add("--nearest", type=int, default=5, metavar="K", help="neighbors in each row (default: 5)")

    add = parser.add_argument_group("computation").add_argument
    add(
        "--jobs",
        type=int,
        metavar="N",
        help=f"processes that prepare files or decode images (default: one per core; for images at most {MAX_WORKERS})",
    )
    add(
        "--views",
        type=int,
        metavar="N",
        help="average the features of N randomly quantized views of every shape (default: 0, the shape itself)",
    )
    add("--batch_size", type=int, default=32, metavar="N", help="shapes, sounds or images per batch (default: 32)")
    add("--device", default="auto", help="cpu, cuda, cuda:1, … (default: GPU if available)")
    parser.set_defaults(run=run)


def _arguments(text: str) -> dict:
    """Parse YAML, which includes JSON."""
    import yaml

    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError:
        values = None
    if not isinstance(values, dict):
        raise argparse.ArgumentTypeError(f"{text!r}: must be names and values, such as '{{model_name: convnext_tiny}}'")
    return values


def run(args: argparse.Namespace) -> None:
    """Embed, write, plot; options are checked before anything is loaded."""
    check_output_file(args.out, {".npz": "features"}, "--out")
    if args.neighbours is not None:
        check_output_file(args.neighbours, {".png": "picture"}, "--neighbours")
    if args.encoder_arguments and args.encoder is None:
        raise InputError("--encoder_arguments: --encoder is missing; set it to the function that takes them")
    for option in ("batch_size", "queries", "nearest", "jobs"):
        value = getattr(args, option)
        if value is not None and value < 1:
            raise InputError(f"--{option} {value}: must be at least 1")
    kind = "images" if args.encoder is not None else _kind(args.checkpoint)
    for option, kinds in ONLY_FOR.items():
        value = getattr(args, option)
        if value is not None and kind not in kinds:
            raise InputError(
                f"--{option} {value}: for {' or '.join(kinds)}, but {args.checkpoint} is a network for {kind}; leave "
                "it out"
            )
    {"shapes": _embed_shapes, "sounds": _embed_sounds, "images": _embed_images}[kind](args)


def _kind(checkpoint: Path) -> str:
    """Return what a checkpoint's network embeds; shapes, if it contains neither a sound nor an image encoder."""
    if not checkpoint.is_file():
        return "shapes"
    from pcrq.checkpoint import load_checkpoint
    from projects.audio import encoder as sounds
    from projects.image import encoder as images

    content = load_checkpoint(checkpoint)
    if sounds.holds_encoder(content):
        return "sounds"
    return "images" if images.holds_encoder(content) else "shapes"


# Shapes


def _embed_shapes(args: argparse.Namespace) -> None:
    from octree import embed, load_pretrained
    from pcrq.checkpoint import weights_digest
    from pcrq.evaluation import category_names
    from projects.training.device import choose_device

    started = time.perf_counter()
    network = load_pretrained(args.checkpoint).to(choose_device(args.device))
    views = args.views or 0
    if views:
        embed(network, [], views=views)  # fails now rather than after the preparation if the network does not allow it
    with _open_source(args, "shapes") as source:
        print_refused(source.refused, source.refused_list)
        store = source.store
        features = embed(network, store, views=views, batch_size=args.batch_size, progress=_progress()).numpy()
        about = {
            "feature": "fc1",
            "views": views,
            "weights": weights_digest(network),
            "pretraining": network.pretraining,
            "store": store.digest,
        }
        categories = category_names(store.classes, store.category)
        _save(args, "shapes", started, features, ids=store.id, categories=categories, splits=store.split, about=about)
        if args.neighbours is not None:
            _plot_neighbours(args, features, store)


def _plot_neighbours(args: argparse.Namespace, features: np.ndarray, store: ShapeStore) -> None:
    from projects.point_cloud.neighbours import category_agreement, nearest_shapes, save_neighbours, spread_queries

    if len(store) < 2:
        print(f"{args.neighbours}: not drawn, as a single shape has no neighbors")
        return
    queries = spread_queries(store.category, args.queries)
    found, cosines = nearest_shapes(features, queries, args.nearest)
    save_neighbours(args.neighbours, store, queries, found, cosines, title="Shapes and their nearest neighbors")
    print(f"{args.neighbours}: {len(queries)} shapes, the nearest {found.shape[1]} of each")
    agreement = category_agreement(features, store.category, args.nearest)
    if agreement is not None:
        share, chance = (100 * value for value in agreement)
        print(f"{share:.1f} % of all nearest neighbors have the category of their shape; {chance:.1f} % by chance")


# Sounds


def _embed_sounds(args: argparse.Namespace) -> None:
    import numpy as np

    from pcrq.evaluation import category_names
    from projects.audio.embedding import embed_sounds
    from projects.audio.encoder import load_encoder
    from projects.audio.waveforms import Clips, waveform_statistics
    from projects.training.device import choose_device

    started, device = time.perf_counter(), choose_device(args.device)
    loaded = load_encoder(args.checkpoint)
    loaded.network.to(device)
    with _open_source(args, "sounds") as source:
        print_refused(source.refused, source.refused_list)
        store, statistics, indices = source.store, loaded.statistics, np.arange(len(source.store))
        if statistics is None:
            statistics = waveform_statistics(Clips(store, indices), device)
            print(
                f"log-mel mean {statistics.mean:.3f} and deviation {statistics.std:.3f} measured on these sounds, as "
                f"{args.checkpoint} contains none"
            )
        features = embed_sounds(
            loaded.network, statistics, store, indices, batch_size=args.batch_size, progress=_progress()
        ).numpy()
        about = {
            "feature": "maximum + mean over time",
            "weights": loaded.digest,
            "pretraining": loaded.pretraining,
            "log-mel mean": statistics.mean,
            "log-mel deviation": statistics.std,
            "store": store.digest,
        }
        categories = category_names(store.classes, store.category)
        _save(args, "sounds", started, features, ids=store.ids, categories=categories, splits=store.split, about=about)


# Images


def _embed_images(args: argparse.Namespace) -> None:
    import numpy as np
    import torch
    from joblib import cpu_count

    from projects.image.encoder import Encoder, load_encoder
    from projects.image.evaluation import embed_images
    from projects.image.sources import FolderImages
    from projects.training.device import choose_device

    started, device = time.perf_counter(), choose_device(args.device)
    encoder = None if args.encoder is None else Encoder(args.encoder, arguments=args.encoder_arguments)
    loaded = load_encoder(args.checkpoint, encoder)
    source = FolderImages(args.source, "pretrain")
    size = loaded.pretraining.get("size", IMAGE_SIZE)
    features, _, indices = embed_images(
        loaded.network.to(device, memory_format=torch.channels_last),
        source,
        size,
        loaded.mean,
        loaded.std,
        batch_size=args.batch_size,
        workers=min(MAX_WORKERS, cpu_count()) if args.jobs is None else args.jobs,
        progress=_progress(),
    )
    _list_unreadable(source, np.setdiff1d(np.arange(len(source)), indices), args.out)
    names = [PurePosixPath(source.relative_name(index)) for index in indices]
    about = {
        "feature": "pooled",
        "weights": loaded.digest,
        "pretraining": loaded.pretraining,
        "size": size,
        "images": source.digest,
    }
    ids, categories = [str(name) for name in names], [name.parent.name for name in names]
    features = features.cpu().numpy()
    _save(args, "images", started, features, ids=ids, categories=categories, splits=[""] * len(names), about=about)


def _list_unreadable(source: FolderImages, left_out: np.ndarray, out: Path) -> None:
    """Write and print the images that cannot be read, with the reasons."""
    from data_prep.run import Refusal
    from pcrq.files import atomic_write
    from projects.image.augmentation import unreadable_images

    path = out.with_name(f"{out.name}.refused.csv")
    errors = unreadable_images(source, left_out.tolist())
    refused = [Refusal(error.name.removeprefix(f"{source.folder.name}/"), error.reason) for error in errors]
    if not refused:
        path.unlink(missing_ok=True)  # of an earlier run
        return
    with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("file", "reason"), *((refusal.id, refusal.reason) for refusal in refused)])
    print_refused(refused, path)


# All kinds


def _progress() -> Callable:
    from tqdm import tqdm

    return partial(tqdm, desc="embedding", unit="batch")


def _save(
    args: argparse.Namespace,
    kind: str,
    started: float,
    features: np.ndarray,
    *,
    ids: Sequence[str],
    categories: Sequence[str],
    splits: Sequence[str],
    about: dict[str, Any],
) -> None:
    from pcrq.evaluation import save_features
    from projects.training.records import code_version

    about = {**about, "checkpoint": str(args.checkpoint), "source": args.source.name, "software": code_version()}
    save_features(args.out, features, ids=ids, categories=categories, splits=splits, about=about)
    seconds = time.perf_counter() - started
    print(f"{args.out}: {len(features)} {kind}, {features.shape[1]} features each, in {seconds:.1f} s")


@contextlib.contextmanager
def _open_source(args: argparse.Namespace, kind: str) -> Iterator[Source]:
    """Open a store of shapes or sounds, or prepare files as ``pcrq prep`` does, without the patches of training.

    Prepared entries are kept in hidden files next to ``--out`` until the block succeeds, so that the same command
    after an interruption prepares none of them twice. Files that cannot be used are listed in ``OUT.refused.csv``.
    """
    from data_prep.temporary_store import STORE_FORMATS, Source, temporary_store

    source, suffix = args.source, "" if args.source.is_dir() else args.source.suffix.lower()
    if kind == "shapes":
        from data_prep.labelled_folder import collect_meshes
        from data_prep.mesh import MESH_FORMATS, load_mesh
        from data_prep.pipeline import Pipeline
        from data_prep.recipes import ShapeRecipe
        from pcrq.stores import ShapeStore

        up = args.up or "y"
        store_class, formats, recipe = ShapeStore, MESH_FORMATS, ShapeRecipe(Pipeline(patches=0))
        load, collect = partial(load_mesh, up=up), partial(collect_meshes, up=up)
    else:
        from data_prep.labelled_folder import collect_sounds
        from data_prep.recipes import SoundRecipe
        from data_prep.sound_loading import SOUND_FORMATS, load_sound
        from pcrq.stores import SoundStore

        up = None
        store_class, formats, recipe, load, collect = (
            SoundStore,
            SOUND_FORMATS,
            SoundRecipe(),
            load_sound,
            collect_sounds,
        )

    if suffix in STORE_FORMATS:
        if args.labels is not None or args.up is not None:
            raise InputError("--labels, --up: for files; a store has categories and axes already; leave them out")
        store = store_class(source)
        if len(store) == 0:
            raise InputError(f"{source}: the store contains no {kind}")
        yield Source(store)
        store.close()
        return
    if suffix in formats:
        if args.labels is not None:
            raise InputError(f"--labels {args.labels}: for a folder or archive; leave it out for a single file")
        items, classes = [_single_item(source, load, stamp=up)], []
    else:
        collection = collect(source, labels=args.labels)
        items, classes = collection.items, collection.classes
    prefix = "meshes" if kind == "shapes" else kind
    options = {"classes": classes, "jobs": args.jobs, "source": f"{prefix} of {source.resolve().name}"}
    with temporary_store(items, args.out, recipe, **options) as prepared:
        yield prepared


def _single_item(path: Path, load: Callable[[Path], Any], stamp: str | None) -> Any:
    from data_prep.run import Item

    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    status = path.stat()
    return Item(
        path.name,
        partial(_load, load, path.resolve()),
        stamp=f"{f'{stamp} ' if stamp else ''}{status.st_size} {status.st_mtime_ns}",
    )


def _load(load: Callable[[Path], Any], path: Path) -> Any:
    try:
        return load(path)
    except InputError as error:  # name the file as the list of refused files does
        raise InputError(str(error).replace(f"{path.parent}{os.sep}", "")) from error

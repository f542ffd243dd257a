"""``pcrq embed``: features of meshes or stored shapes by a pretrained network, and a picture of nearest neighbours."""

from __future__ import annotations

import argparse
from pathlib import Path

from pcrq.errors import InputError
from projects.commands import prep_options

DESCRIPTION = """\
Embed shapes by a pretrained network. SRC is a folder or zip archive of meshes, as 'pcrq prep meshes' takes it, a single
mesh, or a STORE.h5. Meshes are prepared first; those that cannot be used are listed with the reason in
FEATURES.npz.refused.csv. An interrupted run prepares no mesh twice when the same command is given again.

FEATURES.npz holds features (S, D) float32, id, category and split (S,), in the order of the shapes, and about, JSON
that tells what they were made by:  numpy.load("features.npz")["features"]
"""
EPILOG = """\
examples:
  pcrq embed furniture.zip --checkpoint runs/tiny/checkpoints/last.ckpt --out features.npz
  pcrq embed shapes.h5 --checkpoint tiny_midnet --out features.npz --neighbours neighbours.png
"""


def register(commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "embed",
        help="features of meshes by a pretrained network; nearest neighbours",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", type=Path, metavar="SRC", help="a folder or zip of meshes, a mesh, or a STORE.h5")
    parser.add_argument(
        "--checkpoint", type=Path, required=True, metavar="CKPT", help="of a pretraining run, or an exported folder"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FEATURES.npz", help="the file to write")
    parser.add_argument("--labels", type=Path, metavar="CSV", help="categories: a CSV file with columns file,label")
    parser.add_argument("--up", choices=("x", "y", "z"), help="the axis that is up in meshes (default y)")
    parser.add_argument("--jobs", type=int, metavar="N", help="processes that prepare meshes (default: all cores)")
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, … (default: a GPU where there is one)")
    parser.add_argument("--batch_size", type=int, default=32, metavar="N", help="shapes at a time (default 32)")
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
    import time
    from functools import partial

    from tqdm import tqdm

    from octree.embedding import embed
    from octree.pretrained import load_pretrained
    from projects.device import choose_device
    from projects.point_cloud.embed.feature_file import save_features
    from projects.point_cloud.embed.source import open_source

    started = time.perf_counter()
    network = load_pretrained(args.checkpoint).to(choose_device(args.device))
    with open_source(args.source, args.out, labels=args.labels, up=args.up, jobs=args.jobs) as source:
        prep_options.print_refused(source.refused, source.refused_list)
        store, bar = source.store, partial(tqdm, desc="embedding", unit="batch")
        features = embed(network, store, range(len(store)), batch_size=args.batch_size, progress=bar).numpy()
        save_features(args.out, features, store, about(args, network, store))
        seconds = time.perf_counter() - started
        print(f"{args.out}: {len(features)} shapes, {features.shape[1]} numbers each, in {seconds:.1f} s")
        if args.neighbours is not None:
            draw(args, features, store)


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
    for option in ("batch_size", "queries", "nearest", "jobs"):
        value = getattr(args, option)
        if value is not None and value < 1:
            raise InputError(f"--{option} {value}: choose at least 1")


def about(args: argparse.Namespace, network, store) -> dict:
    """What the features were made by, in plain values."""
    from octree.checkpoint import weights_digest
    from projects.run_record import code_version

    return {
        "feature": "fc1",
        "checkpoint": str(args.checkpoint),
        "weights": weights_digest(network),
        "pretraining": network.pretraining,
        "source": args.source.name,
        "store": store.digest,
        "software": code_version(),
    }


def draw(args: argparse.Namespace, features, store) -> None:
    """Draw the neighbours, and say how often they are of one category."""
    from projects.point_cloud.embed.neighbours import category_agreement, nearest_shapes, spread_queries
    from projects.point_cloud.embed.picture import save_neighbours

    if len(store) < 2:
        print(f"{args.neighbours}: not drawn, for a single shape has no neighbours")
        return
    queries = spread_queries(store.category, args.queries)
    found, cosines = nearest_shapes(features, queries, args.nearest)
    save_neighbours(args.neighbours, store, queries, found, cosines, title="Shapes and their nearest neighbours")
    print(f"{args.neighbours}: {len(queries)} shapes, the nearest {found.shape[1]} of each")
    agreement = category_agreement(features, store.category, args.nearest)
    if agreement is not None:
        share, chance = (100 * value for value in agreement)
        print(f"{share:.1f} % of all nearest neighbours have the category of their shape; {chance:.1f} % by chance")

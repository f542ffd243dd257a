"""``pcrq view``: a shape beside its quantized versions, in a window, a picture or a page."""

from __future__ import annotations

import argparse
from pathlib import Path

from pcrq.errors import InputError

EXAMPLES = """\
SHAPE is a mesh (obj off ply stl glb gltf), a point cloud (ply npz xyz pts txt), or a shape of a store: STORE.h5:0 is
the first, STORE.h5:-1 the last, STORE.h5:chair-003 the one of that name. A mesh is scanned and a point cloud averaged
as 'pcrq prep' does it; normals that a cloud lacks are estimated. Points are coloured by part where the store knows
parts, else by normal.

examples:
  a window with the original and 5, 10, 30 and 60 bins:   pcrq view chair.obj
  a picture of three draws with the paper's 30 bins:      pcrq view shapes.h5:0 --bins 30 30 30 --save draws.png
  a page to share, for any number of bins and any draw:   pcrq view shapes.h5:0 --save chair.html
"""
DEFAULT_BINS = (5, 10, 30, 60)
SUFFIXES = (".png", ".html")


def register(commands) -> None:
    parser = commands.add_parser(
        "view",
        help="look at a shape beside its quantized versions",
        usage="pcrq view SHAPE [--bins N ...] [--save FILE] [--seed N] [--points N] [--title TEXT]",
        description="Look at a shape beside its quantized versions.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shape", metavar="SHAPE", help="a mesh or point-cloud file, or STORE.h5:INDEX")
    parser.add_argument(
        "--bins",
        metavar="N",
        type=int,
        nargs="+",
        default=list(DEFAULT_BINS),
        help="bins along each axis, one cloud for each N (default: 5 10 30 60); a number that comes again is drawn "
        "again; in a page they are buttons beside a slider",
    )
    parser.add_argument("--save", metavar="FILE", type=Path, help="write a .png picture or a .html page; no window")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="another number, another draw (default: 0)")
    parser.add_argument(
        "--points",
        metavar="N",
        type=int,
        default=20_000,
        help="show at most N points, a random subset of a larger cloud (default: 20000)",
    )
    parser.add_argument("--title", metavar="TEXT", help="heading (default: the name of the shape)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Show or save one shape; options are checked before anything heavy is loaded."""
    _check(args)
    from projects.point_cloud.view.cloud import random_subset
    from projects.point_cloud.view.figure import quantized_rows, save_png
    from projects.point_cloud.view.page import save_html
    from projects.point_cloud.view.shape_source import load_shape
    from projects.point_cloud.view.window import require_screen, show_window

    if args.save is None:
        require_screen()
    whole, parts = load_shape(args.shape)
    shape = random_subset(whole, args.points, args.seed)
    if shape is not whole:
        print(f"{args.shape}: showing {args.points:,} of {len(whole.points):,} points; --points shows more")
    title = args.title if args.title is not None else shape.id
    if args.save is not None and args.save.suffix.lower() == ".html":
        save_html([shape], args.save, title=title, bins=args.bins, seed=args.seed, parts=parts)
        print(f"wrote {args.save}: open it in a browser")
        return
    (clouds,) = quantized_rows([shape], bins=args.bins, seed=args.seed)
    for cloud in clouds:
        print(f"{cloud.title:>10}: {cloud.distinct:6,} distinct points, {cloud.leaves:6,} leaves at depth 6")
    if args.save is None:
        show_window(clouds, title=title)
    else:
        save_png([clouds], args.save, title=title)
        print(f"wrote {args.save}")


def _check(args: argparse.Namespace) -> None:
    for bins in args.bins:
        if not 1 <= bins <= 1000:
            raise InputError(f"--bins {bins}: choose a number of bins from 1 to 1000; the paper uses 30 for clouds")
    if not 0 <= args.seed < 2**32:
        raise InputError(f"--seed {args.seed}: choose a whole number from 0 to {2**32 - 1}")
    if args.points < 1:
        raise InputError(f"--points {args.points}: show at least one point")
    if args.save is None:
        return
    if args.save.suffix.lower() not in SUFFIXES:
        raise InputError(f"--save {args.save}: name a .png file (a picture) or a .html file (a page)")
    if args.save.is_dir():
        raise InputError(f"--save {args.save}: this is a folder; name a file in it")
    if not args.save.parent.is_dir():
        raise InputError(f"--save {args.save}: the folder {args.save.parent} does not exist; create it first")

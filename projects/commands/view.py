"""``pcrq view``: a shape or an image beside its quantized versions, in a window, a picture or a page."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from tempfile import TemporaryDirectory

from pcrq.errors import InputError
from projects.commands.output_file import check_output_file

EXAMPLES = """\
SHAPE is a mesh (obj off ply stl glb gltf), a point cloud (ply npz xyz pts txt), or a shape of a store: STORE.h5:0 is
the first, STORE.h5:-1 the last, STORE.h5:chair-003 the one of that name. A mesh is scanned and a point cloud averaged
as 'pcrq prep' does it; normals that a cloud lacks are estimated. Points are coloured by part where the store knows
parts, else by normal. Of an image (jpg png webp bmp gif tif ppm) the central square is shown.

examples:
  a window with the original and 5, 10, 30 and 60 bins:   pcrq view chair.obj
  a picture of three draws with the paper's 30 bins:      pcrq view shapes.h5:0 --bins 30 30 30 --save draws.png
  a page to share, for any number of bins and any draw:   pcrq view shapes.h5:0 --save chair.html
  a photo and three draws with 8 bins, as a picture:      pcrq view photo.jpg --save photo_draws.png
"""
DEFAULT_BINS = (5, 10, 30, 60)
DEFAULT_IMAGE_BINS = (8, 8, 8)
DEFAULT_POINTS = 20_000
KINDS = {".png": "a picture", ".html": "a page"}


def register(commands) -> None:
    parser = commands.add_parser(
        "view",
        help="look at a shape or an image beside its quantized versions",
        usage="pcrq view SHAPE [--bins N ...] [--save FILE] [--seed N] [--points N] [--title TEXT]",
        description="Look at a shape or an image beside its quantized versions.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shape", metavar="SHAPE", help="a mesh, point-cloud or image file, or STORE.h5:INDEX")
    parser.add_argument(
        "--bins",
        metavar="N",
        type=int,
        nargs="+",
        help="bins along each axis, one cloud for each N (default: 5 10 30 60), or of each colour of an image "
        "(default: 8 8 8); a number that comes again is drawn again; in a page they are buttons beside a slider",
    )
    parser.add_argument(
        "--save", metavar="FILE", type=Path, help="write a .png picture or, of a shape, a .html page; no window"
    )
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="another number, another draw (default: 0)")
    parser.add_argument(
        "--points",
        metavar="N",
        type=int,
        help="show at most N points, a random subset of a larger cloud (default: 20000)",
    )
    parser.add_argument("--title", metavar="TEXT", help="heading (default: the name of the shape)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Show or save one shape or image; options are checked before anything heavy is loaded."""
    _check(args)
    if _is_image(args.shape):
        _view_image(args)
    else:
        _view_shape(args)


def _view_shape(args: argparse.Namespace) -> None:
    from projects.point_cloud.view.cloud import random_subset
    from projects.point_cloud.view.figure import quantized_rows, save_png
    from projects.point_cloud.view.page import save_html
    from projects.point_cloud.view.shape_source import load_shape
    from projects.point_cloud.view.window import require_screen, show_window

    if args.save is None:
        require_screen()
    bins = DEFAULT_BINS if args.bins is None else args.bins
    whole, parts = load_shape(args.shape)
    shape = random_subset(whole, DEFAULT_POINTS if args.points is None else args.points, args.seed)
    if shape is not whole:
        print(f"{args.shape}: showing {args.points:,} of {len(whole.points):,} points; --points shows more")
    title = args.title if args.title is not None else shape.id
    if args.save is not None and args.save.suffix.lower() == ".html":
        save_html([shape], args.save, title=title, bins=list(bins), seed=args.seed, parts=parts)
        print(f"wrote {args.save}: open it in a browser")
        return
    (clouds,) = quantized_rows([shape], bins=bins, seed=args.seed)
    for cloud in clouds:
        print(f"{cloud.title:>10}: {cloud.distinct:6,} distinct points, {cloud.leaves:6,} leaves at depth 6")
    if args.save is None:
        show_window(clouds, title=title)
    else:
        save_png([clouds], args.save, title=title)
        print(f"wrote {args.save}")


def _is_image(name: str) -> bool:
    from projects.image.sources.decoding import SUFFIXES

    in_a_store = re.search(r"\.(h5|hdf5):", name, re.IGNORECASE)
    return in_a_store is None and Path(name).suffix.lower() in SUFFIXES


def _view_image(args: argparse.Namespace) -> None:
    for option, value in (("--points", args.points), ("--title", args.title)):
        if value is not None:
            raise InputError(f"{option}: is for shapes, and {args.shape} is an image; leave it out")
    if args.save is not None:
        check_output_file(args.save, {".png": KINDS[".png"]})
    from projects.image.figures import figure_draws
    from projects.image.sources.decoding import read_image
    from projects.point_cloud.view.window import require_screen

    if args.save is None:
        require_screen("--save picture.png")
    image = read_image(Path(args.shape), args.shape)
    bins = DEFAULT_IMAGE_BINS if args.bins is None else args.bins
    if args.save is not None:
        figure_draws([image], args.save, bins=bins, seed=args.seed)
        print(f"wrote {args.save}")
        return
    from PIL import Image, ImageShow

    with TemporaryDirectory() as folder:
        picture = Path(folder) / "draws.png"
        figure_draws([image], picture, bins=bins, seed=args.seed)
        with Image.open(picture) as drawn:
            if not ImageShow.show(drawn):
                raise InputError("no program that shows pictures was found here; add --save picture.png")


def _check(args: argparse.Namespace) -> None:
    for bins in args.bins or ():
        if not 1 <= bins <= 1000:
            paper = "the paper uses 30 for clouds and 8 for images"
            raise InputError(f"--bins {bins}: choose a number of bins from 1 to 1000; {paper}")
    if not 0 <= args.seed < 2**32:
        raise InputError(f"--seed {args.seed}: choose a whole number from 0 to {2**32 - 1}")
    if args.points is not None and args.points < 1:
        raise InputError(f"--points {args.points}: show at least one point")
    if args.save is not None:
        check_output_file(args.save, KINDS)

"""``pcrq figure``: the paper's figures 4, 5 and 6, of one's own images and runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pcrq.errors import InputError
from projects.cli.output_file import check_output_file

if TYPE_CHECKING:
    from PIL import Image

DESCRIPTION = "Draw a figure of the paper from images or runs of yours; figure 2 is what 'pcrq view' shows."
FIGURE_4 = """\
Images beside their quantization with 2, 3, 5, 8, 10, 15, 20 and 30 bins, all of equal width and with midpoints. Without
IMAGE, built-in images.
"""
FIGURE_5 = """\
Accuracy of linear probes over the number of bins, with random bins and values after random resized crop: mean and
sample standard deviation over seeds, a line for every framework, dashed for the same without quantization. The numbers
are printed, too. Runs on different data get panels of their own.
"""
FIGURE_6 = """\
Images beside three views by colour jitter and three by randomized quantization. Without IMAGE, built-in images.
"""
BUILTIN = (0, 17, 9, 29)  # two outlines, two textures
BUILTIN_SIZE = 224
MOST_IMAGES = 50


def register(commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("figure", help="figures 4, 5 and 6 of the paper", description=DESCRIPTION)
    figures = parser.add_subparsers(title="figures", metavar="NUMBER", required=True)

    bins = figures.add_parser("4", help="images quantized with ever more bins", description=FIGURE_4)
    _add_images(bins)
    bins.set_defaults(run=run_bins)

    curve = figures.add_parser("5", help="accuracy over the number of bins", description=FIGURE_5)
    curve.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="results.json, or a folder with such files")
    curve.set_defaults(run=run_curve)

    views = figures.add_parser("6", help="views by colour jitter and by quantization", description=FIGURE_6)
    _add_images(views)
    views.add_argument("--bins", metavar="N", type=int, default=8, help="of the quantization (default: 8)")
    views.add_argument("--seed", metavar="N", type=int, default=0, help="another number, other views (default: 0)")
    views.set_defaults(run=run_views)

    for figure in (bins, curve, views):
        figure.add_argument("--save", type=Path, required=True, metavar="FILE.png", help="the picture to write")


def _add_images(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", type=Path, nargs="*", metavar="IMAGE", help="jpg png webp bmp gif tif ppm …")


def run_bins(args: argparse.Namespace) -> None:
    """Figure 4."""
    check_output_file(args.save, {".png": "a picture"})
    images = _images(args.images)
    from projects.image.figures import figure_bins

    figure_bins(images, args.save)
    print(f"wrote {args.save}")


def run_curve(args: argparse.Namespace) -> None:
    """Figure 5."""
    check_output_file(args.save, {".png": "a picture"})
    from projects.report.accuracy_over_bins import accuracy_over_bins, curves, describe, save_png
    from projects.report.run_search import find_records

    found = find_records(args.runs)
    gathered = accuracy_over_bins(found)
    sheets = [sheet for sheet in gathered if any(bins for cells in curves(sheet).values() for bins in cells)]
    if not sheets:
        notes = [note for sheet in gathered for note in sheet.notes]
        raise InputError(f"{' '.join(map(str, args.runs))}: {notes[0] if notes else _nothing(len(found))}")
    for sheet in sheets:
        print(describe(sheet), end="\n\n")
    save_png(sheets, args.save)
    print(f"wrote {args.save}")


def run_views(args: argparse.Namespace) -> None:
    """Figure 6."""
    check_output_file(args.save, {".png": "a picture"})
    if not 1 <= args.bins <= 1000:
        raise InputError(f"--bins {args.bins}: choose a number of bins from 1 to 1000; the paper uses 8 for images")
    if not 0 <= args.seed < 2**32:
        raise InputError(f"--seed {args.seed}: choose a whole number from 0 to {2**32 - 1}")
    images = _images(args.images)
    from projects.image.figures import figure_views

    figure_views(images, args.save, bins=args.bins, seed=args.seed)
    print(f"wrote {args.save}")


def _images(paths: list[Path]) -> list[Image.Image]:
    """The images that are named, decoded as for training, or some built-in ones."""
    if len(paths) > MOST_IMAGES:
        raise InputError(f"{len(paths)} images: a row for each is too much for a picture; name at most {MOST_IMAGES}")
    if paths:
        from projects.image.image_source import read_image

        return [read_image(path, str(path)) for path in paths]
    from projects.image.sources import BuiltinImages

    source = BuiltinImages(size=BUILTIN_SIZE)
    return [source[index][0] for index in BUILTIN]


def _nothing(records: int) -> str:
    return (
        f"none of the {records} results is the linear-probe accuracy of images pretrained with RRC+RQ, random bins and "
        "random values; pretrain with some numbers of bins and measure with python -m projects.image.linear_probe"
    )

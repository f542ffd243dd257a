"""``pcrq figure``: figures 4, 5 and 6 of the paper, from the user's images and runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pcrq import InputError
from projects.cli.output_file import check_output_file

if TYPE_CHECKING:
    from PIL import Image

DESCRIPTION = "Draw a figure of the paper from your images or runs. Figure 2 is drawn by 'pcrq view'."
FIGURE_4 = "Draw images quantized with 2, 3, 5, 8, 10, 15, 20 and 30 bins of equal width, with midpoints as values."
FIGURE_5 = """\
Plot the linear-probe accuracy over the number of bins, for encoders pretrained with random resized crop and random bins
and values: mean and sample standard deviation over seeds, a line per framework, dashed without quantization. Print the
numbers, too. Runs on different data are separate panels.
"""
FIGURE_6 = "Draw images beside three samples of colour jitter and three of randomized quantization."
BUILTIN = (0, 17, 9, 29)  # two outlines, two textures
BUILTIN_SIZE = 224
MAX_IMAGES = 50


def register(commands) -> None:
    """Add the command to the parser."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = commands.add_parser(
        "figure", help="draw figures 4, 5 and 6 of the paper", description=DESCRIPTION, formatter_class=raw
    )
    figures = parser.add_subparsers(title="figures", metavar="NUMBER", required=True)
    added = {}
    for number, title, description, example, run in (
        ("4", "images over the number of bins", FIGURE_4, "4 photo.jpg --save bins.png", run_bins),
        ("5", "accuracy over the number of bins", FIGURE_5, "5 runs --save accuracy.png", run_curve),
        ("6", "colour jitter and quantization", FIGURE_6, "6 photo.jpg --bins 8 --save samples.png", run_views),
    ):
        epilog = f"example:\n  pcrq figure {example}\n"
        figure = figures.add_parser(number, help=title, description=description, epilog=epilog, formatter_class=raw)
        figure.set_defaults(run=run)
        added[number] = figure
    for number in "46":
        added[number].add_argument(
            "images", type=Path, nargs="*", metavar="IMAGE", help="jpg png webp bmp gif tif ppm … (default: built-in)"
        )
    added["5"].add_argument(
        "runs", type=Path, nargs="+", metavar="RUN", help="results.json, or a folder to search for it"
    )
    added["6"].add_argument("--bins", metavar="N", type=int, default=8, help="number of bins (default: 8)")
    added["6"].add_argument("--seed", metavar="N", type=int, default=0, help="random seed (default: 0)")
    for figure in added.values():
        figure.add_argument("--save", type=Path, required=True, metavar="FILE.png", help="picture to write")


def run_bins(args: argparse.Namespace) -> None:
    """Draw figure 4."""
    check_output_file(args.save, {".png": "picture"})
    images = _images(args.images)
    from projects.image.figures import figure_bins

    figure_bins(images, args.save)
    print(f"wrote {args.save}")


def run_curve(args: argparse.Namespace) -> None:
    """Plot figure 5."""
    check_output_file(args.save, {".png": "picture"})
    from projects.report.aggregate import aggregate, find_records
    from projects.report.plot import save_figure_5
    from projects.report.render import figure_5_markdown
    from projects.report.tables import FIGURE_5, number_in

    found = find_records(args.runs)
    everything = aggregate(FIGURE_5, found)
    panels = [measured for measured in everything if any(number_in(column) for _, _, column in measured.cells)]
    if not panels:
        notes = [note for measured in everything for note in measured.notes]
        reason = (
            notes[0]
            if notes
            else (
                f"none of the {len(found)} results is a linear-probe accuracy of images pretrained with RRC+RQ, random "
                "bins and random values; pretrain with several numbers of bins and run pcrq evaluate images"
            )
        )
        raise InputError(f"{' '.join(map(str, args.runs))}: {reason}")
    for measured in panels:
        print(figure_5_markdown(measured), end="\n\n")
    save_figure_5(panels, args.save)
    print(f"wrote {args.save}")


def run_views(args: argparse.Namespace) -> None:
    """Draw figure 6."""
    check_output_file(args.save, {".png": "picture"})
    if not 1 <= args.bins <= 1000:
        raise InputError(f"--bins {args.bins}: must be from 1 to 1000; the paper uses 8 for images")
    if not 0 <= args.seed < 2**32:
        raise InputError(f"--seed {args.seed}: must be from 0 to {2**32 - 1}")
    images = _images(args.images)
    from projects.image.figures import figure_views

    figure_views(images, args.save, bins=args.bins, seed=args.seed)
    print(f"wrote {args.save}")


def _images(paths: list[Path]) -> list[Image.Image]:
    """Read images as for training; built-in ones without paths."""
    if len(paths) > MAX_IMAGES:
        raise InputError(f"{len(paths)} images: every image is a row of the picture; choose at most {MAX_IMAGES}")
    if paths:
        from projects.image.image_source import read_image

        return [read_image(path, str(path)) for path in paths]
    from projects.image.builtin_images import BuiltinImages

    source = BuiltinImages(size=BUILTIN_SIZE)
    return [source[index][0] for index in BUILTIN]

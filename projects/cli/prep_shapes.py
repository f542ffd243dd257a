"""``pcrq prep shapes``: built-in shapes with part labels to a shape store, or to a folder in a public layout."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pcrq.errors import InputError
from projects.cli import prep_options

if TYPE_CHECKING:
    from data_prep.run import Item

DESCRIPTION = """\
Compute shapes of 25 categories (chairs, airplanes, mugs, ...) whose parts are labelled, and prepare them.

No download is needed, and the same options always give the same shapes. One in five is a test shape. With --layout
nothing is prepared: --out is then a folder that gets the files of a public data set's layout, for trying its reader.
"""
EPILOG = """\
examples:
  pcrq prep shapes --out shapes.h5
  pcrq prep shapes --count 20 --categories chair,table,lamp --out furniture.h5
  pcrq prep shapes --layout modelnet40 --count 20 --out ModelNet40
"""
LAYOUTS = ("shapenetcore-v1", "shapenetcore-v2", "modelnet40", "shapenet-part")


def register(commands) -> None:
    parser = commands.add_parser(
        "shapes",
        help="built-in shapes, no download needed",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--count", type=int, default=100, metavar="N", help="shapes of every category (default 100)")
    parser.add_argument(
        "--categories",
        type=lambda text: [name.strip() for name in text.split(",")],
        metavar="A,B,...",
        help="which ones, separated by commas (default: all, or all that the layout knows)",
    )
    parser.add_argument("--layout", choices=LAYOUTS, help="write the folder --out in this layout instead of a store")
    prep_options.add_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    if args.layout:
        _write_layout(args)
    else:
        _write_store(args)


def _write_store(args: argparse.Namespace) -> None:
    from data_prep.builtin_shapes import builtin_items, class_names, part_names

    pipeline = prep_options.pipeline(args)
    items = builtin_items(args.count, args.categories, args.seed)
    classes, parts = class_names(args.categories), part_names(args.categories)
    prep_options.run(args, items, pipeline=pipeline, classes=classes, parts=parts, source="built-in shapes")


def _write_layout(args: argparse.Namespace) -> None:
    from functools import partial

    from tqdm import tqdm

    from data_prep import layouts
    from data_prep.builtin_shapes import builtin_items, part_names

    _check_layout_options(args)
    known = {"modelnet40": layouts.MODELNET40_CLASSES, "shapenet-part": layouts.SHAPENET_PART_CLASSES}
    categories = args.categories or known.get(args.layout)
    items: list[Item] = builtin_items(args.count, categories, args.seed, validation=args.layout == "shapenet-part")
    write = {
        "shapenetcore-v1": partial(layouts.write_shapenetcore, version=1),
        "shapenetcore-v2": partial(layouts.write_shapenetcore, version=2),
        "modelnet40": layouts.write_modelnet40,
        "shapenet-part": partial(layouts.write_shapenet_part, parts=part_names(categories)),
    }[args.layout]
    write(args.out, items, force=args.force, progress=partial(tqdm, desc="writing", unit="shape"))
    print(f"{args.out}: {len(items)} shapes of {len({item.category for item in items})} categories as {args.layout}")


def _check_layout_options(args: argparse.Namespace) -> None:
    if args.method != "scan" or args.points is not None or args.jobs is not None:
        raise InputError("--layout: nothing is prepared, so leave --method, --points and --jobs out")
    if args.scheduler is not None:
        raise InputError("--layout: nothing is prepared, so leave --scheduler out")
    if Path(args.out).suffix.lower() == ".h5":
        raise InputError(f"{args.out}: --layout writes a folder; name one, without .h5")

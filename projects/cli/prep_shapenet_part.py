"""``pcrq prep shapenet-part``: the labelled point clouds of ShapeNet Part to a shape store."""

from __future__ import annotations

import argparse

from pcrq.errors import InputError
from projects.cli import prep_public_dataset

DESCRIPTION = """\
Prepare ShapeNet Part, the version with normals (shapenetcore_partanno_segmentation_benchmark_v0_normal).

Its 16,881 clouds are labelled with 50 parts of 16 categories. Their points are kept as they are, only brought into the
unit ball. Shapes stand in the order of the official lists: training, validation, test.

The shapes come from ShapeNet, whose terms hold (https://shapenet.org): non-commercial research and education only.
--download fetches the archive (0.7 GB) from its authors' server; by using it you accept those terms.
"""
EPILOG = """\
example:
  pcrq prep shapenet-part shapenet_part.zip --download --out shapenet_part.h5
"""


def register(commands) -> None:
    parser = prep_public_dataset.add_parser(
        commands,
        "shapenet-part",
        help="ShapeNet Part: point clouds with labelled parts, for segmentation",
        description=DESCRIPTION,
        epilog=EPILOG,
        download="fetch the archive to SRC if it is not there yet",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from data_prep.public_datasets.shapenet_part import ARCHIVE, collect_shapenet_part

    if args.method != "scan" or args.points is not None:
        raise InputError("--method, --points: clouds of ShapeNet Part are kept as they are; leave these options out")
    prep_public_dataset.obtain(args.source, ARCHIVE, args.download)
    prep_public_dataset.prepare_dataset(args, collect_shapenet_part(args.source))

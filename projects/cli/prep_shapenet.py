"""``pcrq prep shapenet``: the meshes of ShapeNetCore, version 1 or 2, to a shape store."""

from __future__ import annotations

import argparse
from pathlib import Path

from pcrq.errors import InputError
from projects.cli import prep_public_dataset

DESCRIPTION = """\
Prepare ShapeNetCore, version 1 (which the paper pretrains on) or 2; the version is recognised.

SRC is the archive as it was downloaded, with or without a zip of every synset in it, a folder of such zips, or the
unpacked folder; nothing needs to be unpacked. Classes are named by taxonomy.json. Splits are optional: they come from
all.csv at the top of SRC or from --splits (columns synsetId,modelId,split).

ShapeNetCore is given out after registration only, for non-commercial research and education: https://shapenet.org, or
https://huggingface.co/datasets/ShapeNet/ShapeNetCore-archive
"""
EPILOG = """\
example:
  pcrq prep shapenet ShapeNetCore.v1.zip --out shapenet.h5
"""


def register(commands) -> None:
    parser = prep_public_dataset.add_parser(
        commands,
        "shapenet",
        help="ShapeNetCore v1 or v2: meshes, for pretraining",
        description=DESCRIPTION,
        epilog=EPILOG,
        download="says where to get ShapeNetCore: it needs a registration",
    )
    parser.add_argument("--splits", type=Path, metavar="CSV", help="list of splits (default: all.csv in SRC, if there)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from data_prep.public_datasets.shapenetcore import WHERE_TO_GET_IT, collect_shapenetcore

    if args.download:
        raise InputError(f"--download: {WHERE_TO_GET_IT}")
    if not args.source.exists():
        raise InputError(f"{args.source}: no such file or folder; {WHERE_TO_GET_IT}")
    prep_public_dataset.prepare_dataset(args, collect_shapenetcore(args.source, splits=args.splits))

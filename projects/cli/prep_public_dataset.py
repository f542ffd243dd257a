"""What ``pcrq prep shapenet``, ``modelnet40`` and ``shapenet-part`` share: fetching the archive, and preparing it."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pcrq.errors import InputError
from projects.cli import prep_options

if TYPE_CHECKING:
    from data_prep.download import PublishedArchive
    from data_prep.public_datasets.dataset import PublicDataset


def add_parser(
    commands, name: str, *, help: str, description: str, epilog: str, download: str
) -> argparse.ArgumentParser:
    """A parser with SRC and the options that the public data sets share; ``download`` is the help of ``--download``."""
    parser = commands.add_parser(
        name,
        help=help,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", type=Path, metavar="SRC", help="the .zip archive or the unpacked folder")
    parser.add_argument("--download", action="store_true", help=download)
    prep_options.add_options(parser)
    return parser


def obtain(source: Path, archive: PublishedArchive, download: bool) -> None:
    """Fetch the archive of a data set to SRC where the user asks for that.

    Raises:
        InputError: the archive cannot be fetched, or SRC is not there and was not to be fetched.
    """
    if download:
        archive.fetch(source)
    elif not source.exists():
        raise InputError(f"{source}: no such file or folder; --download fetches {archive.name} to a .zip there")


def prepare_dataset(args: argparse.Namespace, dataset: PublicDataset) -> None:
    """Prepare a data set as the options say and print what was done."""
    pipeline = prep_options.pipeline(args)
    if dataset.parts is not None:  # labelled points are kept as they are: each counts in the evaluation
        pipeline = replace(pipeline, grid=None)
    prep_options.run(
        args,
        dataset.items,
        pipeline=pipeline,
        classes=dataset.classes,
        parts=dataset.parts,
        source=f"{dataset.name}, {args.source.resolve().name}",
    )

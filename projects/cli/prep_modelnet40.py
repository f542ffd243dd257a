"""``pcrq prep modelnet40``: the meshes of ModelNet40 with their classes and splits to a shape store."""

from __future__ import annotations

import argparse

from projects.cli import prep_public_dataset

DESCRIPTION = """\
Prepare ModelNet40 (or ModelNet10, which is laid out alike): <class>/train|test/<class>_0001.off with z up.

Shapes are turned so that y is up; classes and splits are those of the folders. Of each class and split the shapes keep
the order of their names, so that the first so many percent are the subsets of the published few-label results.

The archive ModelNet40.zip (2 GB) is offered at https://modelnet.cs.princeton.edu for academic use; the rights in the
models stay with their authors. --download fetches it from there.
"""
EPILOG = """\
example:
  pcrq prep modelnet40 ModelNet40.zip --download --out modelnet40.h5
"""


def register(commands) -> None:
    parser = prep_public_dataset.add_parser(
        commands,
        "modelnet40",
        help="ModelNet40 or ModelNet10: meshes with classes, for classification",
        description=DESCRIPTION,
        epilog=EPILOG,
        download="fetch the archive to SRC if it is not there yet",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from data_prep.public_datasets.modelnet40 import ARCHIVE, collect_modelnet40

    prep_public_dataset.obtain(args.source, ARCHIVE, args.download)
    prep_public_dataset.prepare_dataset(args, collect_modelnet40(args.source))

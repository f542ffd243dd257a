"""``pcrq prep urbansound8k``: the clips of UrbanSound8K with their classes and folds to a sound store."""

from __future__ import annotations

import argparse

from projects.cli import prep_public_sounds

DESCRIPTION = """\
Prepare UrbanSound8K: 8,732 clips of ten kinds of urban sounds, in ten folds (US8K in the paper's table 9).

The store keeps the folds as their authors number them, 1 to 10; each is the test set in turn. The archive (6 GB) is at
https://zenodo.org/records/1203745 for non-commercial use (CC BY-NC 3.0).
"""
EPILOG = """\
example:
  pcrq prep urbansound8k UrbanSound8K.tar.gz --out us8k.h5
"""


def register(commands) -> None:
    parser = prep_public_sounds.add_parser(
        commands,
        "urbansound8k",
        help="UrbanSound8K: ten kinds of urban sounds in ten folds",
        description=DESCRIPTION,
        epilog=EPILOG,
        source="the archive, or the folder with audio and metadata",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from data_prep.public_datasets.urbansound8k import collect_urbansound8k

    prep_public_sounds.prepare_task(args, collect_urbansound8k)

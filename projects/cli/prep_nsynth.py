"""``pcrq prep nsynth``: the notes of NSynth with their instrument families to a sound store."""

from __future__ import annotations

import argparse

from projects.cli import prep_public_sounds

DESCRIPTION = """\
Prepare NSynth: 305,979 notes of eleven instrument families, for telling the families (NS in the paper's table 9).

The splits are the published ones. The three archives (25 GB, CC BY 4.0) are at
https://storage.googleapis.com/magentadata/datasets/nsynth/nsynth-{train,valid,test}.jsonwav.tar.gz
Put them into one folder and name that. They are decompressed beside the store first, which takes 40 GB until it is
there.
"""
EPILOG = """\
example:
  pcrq prep nsynth nsynth --out ns.h5
"""


def register(commands) -> None:
    parser = prep_public_sounds.add_parser(
        commands,
        "nsynth",
        help="NSynth: notes of eleven instrument families",
        description=DESCRIPTION,
        epilog=EPILOG,
        source="the folder with the three archives, or with what they hold",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from data_prep.public_datasets.nsynth import collect_nsynth

    prep_public_sounds.prepare_task(args, collect_nsynth)

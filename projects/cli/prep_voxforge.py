"""``pcrq prep voxforge``: the clips of VoxForge with their languages to a sound store."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from projects.cli import prep_public_sounds

DESCRIPTION = """\
Prepare VoxForge: speech in German, English, Spanish, French, Italian and Russian, for telling the language (with
--splits VF in the paper's table 9, there with 176,438 clips).

SRC is a folder with a folder for every language, de en es fr it ru, and below them the archives (GPL) of
http://www.repository.voxforge1.org/downloads/<language>/Trunk/Audio/Main/16kHz_16bit/
as 'wget -r -np' leaves them. An archive that cannot be read is listed with the reason and does not stop the run.

The splits of the paper's task are those that BYOL-A's authors publish; they are given by --splits voxforge.csv, from
https://github.com/nttcslab/eval-audio-repr/blob/main/evar/metadata/voxforge.csv
There a speaker may be in several splits. Without the list the task is another one, "VF by speaker": 70 % of the
speakers are for training, 15 % for validation and 15 % for test, by their names.
"""
EPILOG = """\
example:
  pcrq prep voxforge voxforge --splits voxforge.csv --out vf.h5
"""


def register(commands) -> None:
    parser = prep_public_sounds.add_parser(
        commands,
        "voxforge",
        help="VoxForge: speech in six languages",
        description=DESCRIPTION,
        epilog=EPILOG,
        source="the folder with a folder of archives for every language",
    )
    parser.add_argument(
        "--splits", type=Path, metavar="CSV", help="the published list of splits (default: splits by speaker)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from data_prep.public_datasets.voxforge import collect_voxforge

    prep_public_sounds.prepare_task(args, partial(collect_voxforge, splits=args.splits))

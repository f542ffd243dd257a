"""``pcrq prep voxforge``: the clips of VoxForge with their languages to a sound store."""

from __future__ import annotations

import argparse

from projects.commands import prep_public_sounds

DESCRIPTION = """\
Prepare VoxForge: speech in German, English, Spanish, French, Italian and Russian, for telling the language (VF in the
paper's table 9, there with 176,438 clips).

SRC is a folder with a folder for every language, de en es fr it ru, and below them the archives (GPL) of
http://www.repository.voxforge1.org/downloads/<language>/Trunk/Audio/Main/16kHz_16bit/
as 'wget -r -np' leaves them. There are no published splits: 70 % of the speakers are for training, 15 % for validation
and 15 % for test, by their names. An archive that cannot be read is listed with the reason and does not stop the run.
"""
EPILOG = """\
example:
  pcrq prep voxforge voxforge --out vf.h5
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
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from data_prep.public_sounds.voxforge import collect_voxforge

    prep_public_sounds.prepare_task(args, collect_voxforge)

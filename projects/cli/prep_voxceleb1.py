"""``pcrq prep voxceleb1``: the clips of VoxCeleb1 with their speakers to a sound store."""

from __future__ import annotations

import argparse

from projects.cli import prep_public_sounds

DESCRIPTION = """\
Prepare VoxCeleb1: 153,516 clips of 1,251 speakers, for telling the speakers (VC1 in the paper's table 9).

The splits are those of the authors' identification list. SRC is a folder with
  iden_split.txt                                https://www.robots.ox.ac.uk/~vgg/data/voxceleb/meta/iden_split.txt
  vox1_dev_wav.zip and vox1_test_wav.zip,       https://www.robots.ox.ac.uk/~vgg/data/voxceleb/vox1.html
  or their folder wav/<speaker>/<video>/
Zip archives are read in place. The first one (32 GB) comes in pieces: cat vox1_dev_wav_parta* > vox1_dev_wav.zip
"""
EPILOG = """\
example:
  pcrq prep voxceleb1 voxceleb1 --out vc1.h5
"""


def register(commands) -> None:
    parser = prep_public_sounds.add_parser(
        commands,
        "voxceleb1",
        help="VoxCeleb1: speech of 1,251 speakers",
        description=DESCRIPTION,
        epilog=EPILOG,
        source="the folder with iden_split.txt and the archives, or what they hold",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from data_prep.public_datasets.voxceleb1 import collect_voxceleb1

    prep_public_sounds.prepare_task(args, collect_voxceleb1)

"""``pcrq prep speech-commands``: the clips of Speech Commands v0.02 with their words to a sound store."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pcrq.errors import InputError
from projects.cli import prep_public_sounds

if TYPE_CHECKING:
    from data_prep.public_datasets.dataset import PublicDataset

DESCRIPTION = """\
Prepare Speech Commands v0.02: 105,829 clips of 35 words of about one second, with the published splits.

--classes 35 is SPCV2 in the paper's table 9. --classes 12 is SPCV2/12: ten words, silence (background noise in
stretches of a second) and unknown (the other words), built as TensorFlow Datasets does; it needs the archive of the
test set as well.

The archives (2.4 GB and 0.1 GB, CC BY 4.0) are
  https://storage.googleapis.com/download.tensorflow.org/data/speech_commands_v0.02.tar.gz
  https://storage.googleapis.com/download.tensorflow.org/data/speech_commands_test_set_v0.02.tar.gz
--download fetches what is needed into the folder SRC.
"""
EPILOG = """\
examples:
  pcrq prep speech-commands speech_commands --download --out spcv2.h5
  pcrq prep speech-commands speech_commands --classes 12 --download --out spcv2_12.h5
"""


def register(commands) -> None:
    parser = prep_public_sounds.add_parser(
        commands,
        "speech-commands",
        help="Speech Commands v0.02: 35 words, or ten with silence and unknown",
        description=DESCRIPTION,
        epilog=EPILOG,
        source="the folder with the archives, or with what they hold; for 35 classes also the archive itself",
    )
    parser.add_argument("--classes", type=int, choices=(12, 35), default=35, help="of the task (default 35)")
    parser.add_argument("--download", action="store_true", help="fetch archives into the folder SRC that are not there")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    prep_public_sounds.prepare_task(args, partial(_collect, classes=args.classes, download=args.download))


def _collect(source: Path, unpacked: Path, *, classes: int, download: bool) -> PublicDataset:
    from data_prep.public_datasets.speech_commands import ARCHIVE, TEST_SET, collect_speech_commands

    if download:
        if source.is_file() or source.name.lower().endswith(".tar.gz"):
            raise InputError(f"{source}: --download fetches archives into a folder; name the folder")
        for archive in (ARCHIVE,) if classes == 35 else (ARCHIVE, TEST_SET):
            archive.fetch(source / archive.url.rpartition("/")[2])
    return collect_speech_commands(source, unpacked, classes=classes)

"""``pcrq prep audio``: a folder or zip archive of sound files to a sound store."""

from __future__ import annotations

import argparse
from pathlib import Path

from projects.cli import prep_options

DESCRIPTION = """\
Prepare every sound file below a folder or in a zip archive: wav, flac, ogg, mp3.

Sounds of any rate and number of channels become 16 kHz mono in 16 bits; their length stays. Categories come from
labels.csv (columns file,label) at the top of SRC or from --labels, else from the names of the top folders. The columns
split (train, val or test) and fold (a number) are kept for evaluations. Files that cannot be used are listed with the
reason in STORE.h5.refused.csv and do not stop the run. An interrupted run goes on where it stopped when the same
command is given again.
"""
EPILOG = """\
example:
  pcrq prep audio recordings --out recordings.h5
  pcrq prep audio birds.zip --labels birds.csv --out birds.h5
"""


def register(commands) -> None:
    parser = commands.add_parser(
        "audio",
        help="any folder or zip archive of sound files",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", type=Path, metavar="SRC", help="a folder or zip archive of sound files")
    parser.add_argument("--labels", type=Path, metavar="CSV", help="categories: a CSV file with columns file,label")
    prep_options.add_run_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from data_prep.labelled_folder import collect_sounds
    from data_prep.recipes import SoundRecipe

    source = args.source.absolute()  # a worker of a cluster may run in another folder
    sounds = collect_sounds(source, labels=args.labels)
    description = f"sounds of {source.resolve().name}"
    prep_options.run_recipe(args, sounds.items, SoundRecipe(), classes=sounds.classes, source=description)

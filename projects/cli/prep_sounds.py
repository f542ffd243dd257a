"""``pcrq prep sounds``: built-in sounds to a sound store."""

from __future__ import annotations

import argparse

from projects.cli import prep_options

DESCRIPTION = """\
Compute sounds of 12 instruments (organ, violin, bell, ...) and prepare them.

No download is needed, and the same options always give the same sounds: single notes of 1 to 2 seconds with random
pitch, loudness, noise and reverberation. One in five is a test sound.
"""
EPILOG = """\
example:
  pcrq prep sounds --out sounds.h5
"""


def register(commands) -> None:
    parser = commands.add_parser(
        "sounds",
        help="built-in sounds, no download needed",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--count", type=int, default=100, metavar="N", help="sounds of every category (default 100)")
    parser.add_argument("--seed", type=int, default=0, help="of everything random (default 0)")
    prep_options.add_run_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from data_prep.builtin_sounds import CATEGORIES, builtin_items
    from data_prep.recipes import SoundRecipe

    items = builtin_items(args.count, args.seed)
    prep_options.run_recipe(args, items, SoundRecipe(), classes=CATEGORIES, source="built-in sounds")

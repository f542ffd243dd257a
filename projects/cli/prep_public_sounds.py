"""What the commands for the six sound tasks of the paper share: SRC, decompressing beside the store, and the run."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pcrq.errors import InputError
from projects.cli import prep_options

if TYPE_CHECKING:
    from data_prep.public_datasets.dataset import PublicDataset


def add_parser(
    commands, name: str, *, help: str, description: str, epilog: str, source: str
) -> argparse.ArgumentParser:
    """A parser with SRC, whose help is ``source``, and the options of a run."""
    parser = commands.add_parser(
        name,
        help=help,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", type=Path, metavar="SRC", help=source)
    prep_options.add_run_options(parser)
    return parser


def prepare_task(args: argparse.Namespace, collect: Callable[[Path, Path], PublicDataset]) -> None:
    """Prepare a task as the options say and print what was done.

    Compressed tar archives are decompressed to the folder STORE.h5.unpacked. It goes when the run ends, and stays for
    the next one when it is interrupted.

    Args:
        args: what :func:`add_parser` read.
        collect: finds the clips, given SRC and that folder.

    Raises:
        InputError: SRC or an option cannot be used, or the run cannot end well.
    """
    from data_prep.recipes import SoundRecipe
    from data_prep.run import check_target
    from data_prep.working_folder import WorkingFolder

    check_target(args.out, SoundRecipe.kind)  # before gigabytes are decompressed
    unpacked = WorkingFolder(args.out.absolute().with_name(f"{args.out.name}.unpacked"))
    with unpacked.locked():
        try:
            found = collect(args.source.absolute(), unpacked.path)  # a worker of a cluster may run in another folder
            recipe = SoundRecipe(task=found.task, seconds=found.seconds)
            source = f"{found.name}, {args.source.resolve().name}"
            prep_options.run_recipe(args, found.items, recipe, classes=found.classes, source=source)
        except InputError:
            unpacked.remove()
            raise
        unpacked.remove()

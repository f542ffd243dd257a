"""The command line: ``pcrq COMMAND``. Sub-commands live in ``projects/commands``; this is the frame."""

from __future__ import annotations

import argparse
import logging
import os
import sys

from pcrq import __version__
from pcrq.errors import InputError
from projects.cli import embed, export, figure, info, prep, probe, quickstart, report, view

DESCRIPTION = "Self-supervised learning by randomized quantization, above all on 3D shapes."
EPILOG = """\
Training runs through Lightning:
  python -m projects.point_cloud.pretrain fit --config projects/point_cloud/configs/tiny.yaml

'pcrq COMMAND --help' explains a command.
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; importing it loads nothing heavy."""
    parser = argparse.ArgumentParser(
        prog="pcrq",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"pcrq {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (quickstart, prep, info, view, probe, embed, export, report, figure):
        command.register(commands)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Returns:
        The exit status: 0, 2 for bad input, 130 after Ctrl-C.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    debug = "--debug" in arguments  # accepted before and after the command
    args = build_parser().parse_args([word for word in arguments if word != "--debug"])
    logging.basicConfig(format="%(message)s")
    for package in ("data_prep", "octree", "projects"):  # other libraries only where they warn
        logging.getLogger(package).setLevel(logging.INFO)
    try:
        return args.run(args) or 0
    except InputError as error:
        if debug:
            raise
        print(f"pcrq: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        if debug:
            raise
        print("\npcrq: interrupted; the same command goes on where this one stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has closed it, as in `pcrq info … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())

"""The command line: ``pcrq COMMAND``.

A training or evaluation is a separate program (``projects.point_cloud.pretrain``, …) and reads its options by
itself; every other command is a module of this package with ``register`` and ``run``. Nothing heavy is imported before
a command runs.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import logging
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

from pcrq import InputError, __version__
from projects.cli import embed, export, figure, info, prep, probe, quickstart, report, view
from projects.cli.sweep import kind_of_config

DESCRIPTION = "Self-supervised learning by randomized quantization, above all on 3D shapes."

PROGRAMS = {
    "pretrain shapes": ("projects.point_cloud.pretrain", "pretrain MID-Net on a shape store"),
    "pretrain images": ("projects.image.pretrain", "pretrain an image encoder by MoCo v3 or BYOL"),
    "pretrain sounds": ("projects.audio.pretrain", "pretrain an audio encoder by BYOL-A"),
    "classify": ("projects.point_cloud.classify", "fine-tune a shape classifier, or train it from scratch"),
    "segment": ("projects.point_cloud.segment", "train a network that segments shapes into parts"),
    "evaluate shapes": ("projects.point_cloud.evaluate", "linear classification of frozen shape features"),
    "evaluate images": ("projects.image.linear_probe", "linear classification of frozen image features"),
    "evaluate sounds": ("projects.audio.evaluate", "linear classification of frozen audio features"),
    "sweep classify": ("projects.point_cloud.sweep:CLASSIFY", "all runs of table 6, classification of shapes"),
    "sweep segment": ("projects.point_cloud.sweep:SEGMENT", "all runs of table 7, segmentation of shapes"),
    "sweep images": ("projects.image.sweep", "all runs of one of tables 1 to 5 or figure 5"),
    "sweep sounds": ("projects.audio.sweep", "all runs of table 9"),
}
"""The module and the summary of every program. The program is the module's ``PROGRAM`` or the name after a colon."""

EXTRAS = {
    "lightly": "image",
    "librosa": "audio",
    "soundfile": "audio",
    "soxr": "audio",
    "distributed": "dask",
    "ray": "ray",
}
"""The extra of the distribution that installs an optional library."""

HELP = Path(__file__).parent / "help"
"""Help texts of the programs, as files: making them takes seconds of imports."""


class Parser(argparse.ArgumentParser):
    """An argument parser without abbreviations whose errors are one line."""

    def __init__(self, *args: Any, **kwargs: Any):
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(*args, allow_abbrev=False, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Print one line and exit with status 2."""
        self.exit(2, f"{self.prog}: error: {message}; see '{self.prog} --help'\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Refuse unknown words here, where the command that they belong to is known."""
        namespace, unknown = super().parse_known_args(args, namespace)
        if unknown:
            option = next((word.partition("=")[0] for word in unknown if word.startswith("-")), None)
            if option is None:
                self.error(f"unexpected argument {unknown[0]!r}")
            similar = difflib.get_close_matches(option, self._option_string_actions, n=1)
            self.error(f"unknown option {option}{f'; did you mean {similar[0]}?' if similar else ''}")
        return namespace, unknown

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        choices = [*action.choices]
        if action.metavar == "COMMAND":
            choices = list(dict.fromkeys([*choices, *(name.split()[0] for name in PROGRAMS)]))
        available = f"available: {', '.join(map(str, choices))}"
        if action.metavar:
            raise argparse.ArgumentError(None, f"unknown {action.metavar.lower()} {value!r}; {available}")
        raise argparse.ArgumentError(action, f"{value!r}; {available}")


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands but the programs; importing it loads nothing heavy."""
    width = max(map(len, PROGRAMS))
    programs = "\n".join(f"  {name:<{width}}  {summary}" for name, (_, summary) in PROGRAMS.items())
    parser = Parser(
        prog="pcrq",
        description=DESCRIPTION,
        epilog=f"training and evaluation:\n{programs}\n\n'pcrq COMMAND --help' explains a command.",
    )
    parser.add_argument("--version", action="version", version=f"pcrq {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (quickstart, prep, info, view, probe, embed, export, report, figure):
        command.register(commands)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: words after ``pcrq``; those of the process for None.

    Returns:
        The exit status: 0, 1 where some of many runs failed, 2 for bad input, 130 after Ctrl-C.
    """
    words = [with_underscores(word) for word in (sys.argv[1:] if arguments is None else arguments)]
    debug = ["--debug"] if "--debug" in words else []  # accepted before and after the command
    words = [word for word in words if word != "--debug"]
    try:
        name, options = find_program(words)
        if name is not None:
            return _run_program(name, [*options, *debug])
        groups = [program for program in PROGRAMS if words and program.split()[0] == words[0]]
        if groups:
            _choose_program(words, groups)
        args = build_parser().parse_args(words)
        logging.basicConfig(format="%(message)s")
        for package in ("data_prep", "octree", "projects"):  # other libraries only where they warn
            logging.getLogger(package).setLevel(logging.INFO)
        return args.run(args) or 0
    except InputError as error:
        if debug:
            raise
        command = "pcrq sweep" if words[:1] == ["sweep"] else "pcrq"
        print(f"{command}: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if debug or library not in EXTRAS:
            raise
        install = f"pip install 'pcrq[{EXTRAS[library]}]'"
        print(f"pcrq: error: this command needs {library}; install it: {install}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        if debug:
            raise
        print("\npcrq: interrupted; the same command continues where this one stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has closed it, as in `pcrq info … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def with_underscores(word: str) -> str:
    """An option with underscores in its name, as all are spelled: ``--batch-size=4`` becomes ``--batch_size=4``."""
    name, equals, value = word.partition("=")
    return f"--{name[2:].replace('-', '_')}{equals}{value}" if name.startswith("--") else word


def find_program(words: list[str]) -> tuple[str | None, list[str]]:
    """The program that a command line starts.

    Args:
        words: words after ``pcrq``.

    Returns:
        Its name in :data:`PROGRAMS` and its options; None and all words for the other commands.

    Raises:
        InputError: a sweep is named by a config that cannot be used.
    """
    for name in PROGRAMS:
        count = len(name.split())
        if words[:count] == name.split():
            return name, words[count:]
    if words[:1] == ["sweep"] and words[1:] and words[1].startswith("-"):
        kind = kind_of_config(words[1:], [name.split()[1] for name in PROGRAMS if name.startswith("sweep ")])
        if kind is not None:
            return f"sweep {kind}", words[1:]
    return None, words


def load_program(name: str) -> Any:
    """The program of a name in :data:`PROGRAMS`, which imports it."""
    module, _, attribute = PROGRAMS[name][0].partition(":")
    return getattr(importlib.import_module(module), attribute or "PROGRAM")


def _run_program(name: str, words: list[str]) -> int:
    text = HELP / f"{name.replace(' ', '_')}.txt"
    if {"--help", "-h"} & set(words) and text.exists():
        print(text.read_text(encoding="utf-8"), end="")
        return 0
    return load_program(name).main(words)


def _choose_program(words: list[str], names: list[str]) -> NoReturn:
    """Exit with the programs of a group such as "pretrain", where none of them was named."""
    group, kinds = words[0], [name.split()[1] for name in names]
    if {"--help", "-h"} & set(words):
        width = max(map(len, names))
        lines = "\n".join(f"  pcrq {name:<{width}}  {PROGRAMS[name][1]}" for name in names)
        print(f"usage: pcrq {group} {{{','.join(kinds)}}} [options]\n\n{lines}")
        if group == "sweep":
            print("\nThe config of a table contains its kind: 'pcrq sweep --config table6' is enough.")
        sys.exit(0)
    given = f"unknown {words[1]!r}; " if words[1:] and not words[1].startswith("-") else ""
    config = ", or name a --config" if group == "sweep" else ""
    print(f"pcrq {group}: error: {given}choose {', '.join(kinds[:-1])} or {kinds[-1]}{config}", file=sys.stderr)
    sys.exit(2)

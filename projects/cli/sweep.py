"""``pcrq sweep``: all runs of a table of the paper that are not recorded yet."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from pcrq import InputError

SWEEPS = {
    "classify": "projects.point_cloud.sweep:CLASSIFY",
    "segment": "projects.point_cloud.sweep:SEGMENT",
    "images": "projects.image.sweep:PROGRAM",
    "sounds": "projects.audio.sweep:PROGRAM",
}
"""The program of every kind of sweep."""


def main(args: Sequence[str] | None = None) -> int:
    """Run ``pcrq sweep [KIND] --config NAME …``; the config's entry ``sweep`` names the kind where no word does."""
    words = list(sys.argv[1:] if args is None else args)
    try:
        kind = words.pop(0) if words and not words[0].startswith("-") else _kind_of_config(words)
        if kind not in SWEEPS:
            raise InputError(f"unknown sweep {kind!r}; available: {', '.join(SWEEPS)}")
    except InputError as error:
        print(f"pcrq sweep: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    module, name = SWEEPS[kind].split(":")
    return getattr(importlib.import_module(module), name).main(words)


def _kind_of_config(words: list[str]) -> str:
    """The kind of the first config that is named, found in any of the projects."""
    from projects.training.run import find_config, read_config

    for word, following in zip(words, [*words[1:], ""], strict=True):
        option, equals, value = word.partition("=")
        if option in ("--config", "-c"):
            path = find_config(value if equals else following, Path(__file__).parents[1])
            kind = read_config(path, "sweep").get("sweep")
            if kind is None:
                raise InputError(f"config {path}: its entry 'sweep' is missing; available: {', '.join(SWEEPS)}")
            return str(kind)
    raise InputError(f"name a config, or the kind of sweep: {', '.join(SWEEPS)}")


if __name__ == "__main__":
    sys.exit(main())

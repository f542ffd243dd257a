"""``pcrq sweep --config NAME``: the kind of the sweep is read from the config."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pcrq import InputError


def kind_of_config(words: Sequence[str], kinds: Sequence[str]) -> str | None:
    """The kind of sweep that the first config of a command line is for.

    Args:
        words: words after ``pcrq sweep``.
        kinds: what the config's entry ``sweep`` may be.

    Returns:
        One of ``kinds``; None if no config is named.

    Raises:
        InputError: the config cannot be found or read, or is not one of a sweep.
    """
    for position, word in enumerate(words):
        option, equals, name = word.partition("=")
        if option not in ("--config", "-c"):
            continue
        name = name if equals else next(iter(words[position + 1 :]), "")
        if not name:
            raise InputError(f"{option}: name a config or its path")
        from projects.training.run import find_config, read_config

        path = find_config(name, Path(__file__).parents[1], "sweep")
        kind = read_config(path, "sweep").get("sweep")
        if kind not in kinds:
            found = "is missing" if kind is None else f"is {kind!r}"
            raise InputError(f"config {path}: its entry 'sweep' {found}; choose {', '.join(kinds)}")
        return kind
    return None

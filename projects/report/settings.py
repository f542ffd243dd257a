"""What records agree in and what they differ in, apart from what was measured."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from projects.training.records import Record


def differing(records: Iterable[Record], *, ignore: Collection[str] = ()) -> dict[str, list[str]]:
    """Settings that are not the same in all records, with the values that occur, in words and in order.

    Args:
        records: what to compare.
        ignore: settings to leave out.
    """
    return {name: values for name, values in _occurring(records, ignore).items() if len(values) > 1}


def agreeing(records: Iterable[Record], *, ignore: Collection[str] = ()) -> dict[str, str]:
    """Settings that are the same in all records, with their values in words."""
    return {name: values[0] for name, values in _occurring(records, ignore).items() if len(values) == 1}


def _occurring(records: Iterable[Record], ignore: Collection[str]) -> dict[str, list[str]]:
    settings = [{"method": record.method, **dict(_flat(record.config))} for record in records]
    names = dict.fromkeys(name for one in settings for name in one if name not in ignore)
    return {name: list(dict.fromkeys(_words(one.get(name)) for one in settings)) for name in names}


def _flat(config: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """All settings; those inside another one are named after it: "network.depth"."""
    for name, value in config.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _words(value: Any) -> str:
    if value is None or value == "":
        return "none"
    return value if isinstance(value, str) else json.dumps(value)

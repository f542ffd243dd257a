"""What records agree in and what they differ in, apart from what was measured."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from projects.run_record import Record

MISSING = "none"


def differing(records: Iterable[Record], *, ignore: str = "") -> dict[str, list[str]]:
    """Settings that are not the same in all records, with the values that occur, in words and in order."""
    return {name: values for name, values in _occurring(records, ignore).items() if len(values) > 1}


def agreeing(records: Iterable[Record], *, ignore: str = "") -> dict[str, str]:
    """Settings that are the same in all records, with their values in words."""
    return {name: values[0] for name, values in _occurring(records, ignore).items() if len(values) == 1}


def _occurring(records: Iterable[Record], ignore: str) -> dict[str, list[str]]:
    configs = [{"pretraining": record.arm, **record.config} for record in records]
    names = dict.fromkeys(name for config in configs for name in config if name != ignore)
    return {name: list(dict.fromkeys(_words(config.get(name)) for config in configs)) for name in names}


def _words(value: Any) -> str:
    if value is None:
        return MISSING
    return value if isinstance(value, str) else json.dumps(value)

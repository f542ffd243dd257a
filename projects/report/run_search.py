"""The records of runs, each with the file it is from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pcrq.errors import InputError
from projects.training.records import Record, read_records


@dataclass(frozen=True)
class Found:
    """A record and its results file."""

    record: Record
    path: Path


def find_records(runs: Sequence[Path]) -> list[Found]:
    """All records of some runs; a file that is named twice is read once.

    Args:
        runs: results files, and folders to search for files named results.json.

    Raises:
        InputError: a run does not exist or holds no results, or a file is no results file.
    """
    files: dict[Path, Path] = {}
    for run in runs:
        inside = sorted(run.rglob("results.json")) if run.is_dir() else [run]
        if not inside:
            raise InputError(f"{run}: no results.json in this folder; name the folder of a run that measured something")
        for path in inside:
            files.setdefault(path.resolve(), path)
    return [Found(record, path) for path in files.values() for record in read_records(path)]

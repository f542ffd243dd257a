"""Records in their places of a table, one for every seed; what cannot be decided is left out and said."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pcrq.errors import InputError
from projects.report.run_search import Found
from projects.report.settings import differing
from projects.report.table import Column, Place, Table, column_label
from projects.training.records import Record


@dataclass(frozen=True)
class Placed:
    """A record, its place in a table, and the file it is from."""

    place: Place
    record: Record
    path: Path


def place_records(table: Table, found: Sequence[Found]) -> list[Placed]:
    """Those records that belong to a table.

    Raises:
        InputError: one of them holds a number that cannot be.
    """
    placed = []
    for item in found:
        place = table.place(item.record)
        if place is not None:
            _check(item, table.samples)
            placed.append(Placed(place, item.record, item.path))
    return placed


def one_per_seed(table: Table, placed: Sequence[Placed]) -> tuple[list[Placed], list[str]]:
    """What can be averaged over seeds: one result per place, metric and seed.

    The same result found twice counts once. Different results for one seed are all left out: which of them is meant
    only the reader knows.

    Returns:
        The records that count, and a note for every disagreement.
    """
    slots: dict[tuple, list[Placed]] = defaultdict(list)
    for item in placed:
        place = item.place
        slots[place.row, place.column, place.part, item.record.metric, item.record.seed].append(item)
    counted, baselines = [], defaultdict(list)
    for items in slots.values():
        distinct: dict[tuple, Placed] = {}
        for item in items:
            distinct.setdefault((item.record.key, item.record.value), item)
        if len(distinct) == 1:
            counted.append(items[0])
        else:
            names = differing((item.record for item in items), ignore=(table.part,))
            baselines[items[0].place.row, tuple(names)] += distinct.values()
    notes = [_baselines_note(table, row, names, items) for (row, names), items in baselines.items()]
    return counted, notes + _mixed_seeds_notes(table, counted)


def columns_in_words(items: Sequence[Placed]) -> str:
    """The columns of some records: "1 %, 5 %"."""
    columns: set[Column] = {item.place.column for item in items}
    return ", ".join(column_label(column) for column in sorted(columns, key=lambda c: (isinstance(c, str), c)))


def seeds_in_words(seeds: Sequence[int]) -> str:
    """Numbers of seeds: "seeds 0, 1"."""
    ordered = sorted(set(seeds))
    return f"seed{'s' * (len(ordered) > 1)} {', '.join(map(str, ordered))}"


def _baselines_note(table: Table, row: str, names: Sequence[str], items: Sequence[Placed]) -> str:
    values = differing((item.record for item in items), ignore=(table.part,))
    listed = ", ".join(f"{name} ({' / '.join(values[name])})" for name in names)
    why = f"differ in {listed}" if names else "have the same settings but not the same value"
    where = " and ".join(dict.fromkeys(str(item.path) for item in items))
    seeds = seeds_in_words([item.record.seed for item in items])
    return (
        f"{row}, {columns_in_words(items)}, {seeds}: several results for one seed, which {why}; none of them is "
        f"counted; give only the runs that belong together ({where})"
    )


def _mixed_seeds_notes(table: Table, counted: Sequence[Placed]) -> list[str]:
    """A note for every row whose cells average seeds of different settings."""
    cells = defaultdict(list)
    for item in counted:
        cells[item.place, item.record.metric].append(item)
    mixed = defaultdict(list)
    for items in cells.values():
        names = differing((item.record for item in items), ignore=(table.part, *table.of_seed))
        if names:
            mixed[items[0].place.row, tuple(names)] += items
    return [
        f"{row}, {columns_in_words(items)}: the seeds of a cell differ in {', '.join(names)} too"
        for (row, names), items in mixed.items()
    ]


def _check(item: Found, samples: str) -> None:
    record = item.record
    wrong = None
    if not 0 <= record.value <= 1:
        wrong = f"{record.metric} {record.value} is not in [0, 1]"
    elif not 0 < record.ratio <= 1:
        wrong = f"label ratio {record.ratio} is not in (0, 1]"
    elif record.test_samples < 1:
        wrong = f"{record.test_samples} test {samples}"
    if wrong:
        raise InputError(
            f"{item.path}: {record.method}, {record.protocol}, seed {record.seed}: {wrong}; measure it again"
        )

"""Read run records, match them to the cells of a table, and take mean and deviation over seeds."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from pcrq import InputError
from projects.report.tables import Block, Column, Match, Table, column_label
from projects.training.records import Record, read_records


@dataclass(frozen=True)
class FoundRecord:
    """A record and its results file."""

    record: Record
    path: Path


@dataclass(frozen=True)
class _Matched:
    match: Match
    record: Record
    path: Path


@dataclass(frozen=True)
class Cell:
    """Mean and sample standard deviation over seeds, in percent; the deviation of a single seed is None."""

    mean: float
    deviation: float | None
    seeds: int


@dataclass(frozen=True)
class MeasuredTable:
    """A table as measured on one dataset (or on one dataset per column).

    Args:
        table: the paper's table.
        records: all records that belong to it.
        cells: by name of the block, row and column; only complete cells.
        part_cells: by metric, row, column and part.
        notes: remarks on single cells.
        train_samples: training split sizes in every column; several if records differ, none if parts are missing.
        test_samples: test split sizes in the table.
    """

    table: Table
    records: tuple[Record, ...]
    cells: dict[tuple[str, str, Column], Cell]
    part_cells: dict[tuple[str, str, Column, str], Cell]
    notes: tuple[str, ...]
    train_samples: dict[Column, list[int]]
    test_samples: list[int]

    @property
    def store(self) -> str:
        """Name of the store; several names if a store was renamed or every column has its own."""
        names = dict.fromkeys(record.store for record in self.records)
        return (", " if self.table.columns_are_data else " = ").join(names)

    @property
    def digest(self) -> str:
        """Digest of the store; of the first one if every column has its own."""
        return self.records[0].digest

    @property
    def is_paper_data(self) -> bool:
        """Whether the test split has the size of the paper's, as far as it is known."""
        return not self.test_samples or self.test_samples == [self.table.test_samples]

    def of_column(self, column: Column) -> list[Record]:
        """Return the records of a column."""
        return [record for record in self.records if self.table.find(record).column == column]

    @property
    def rows(self) -> list[str]:
        """The paper's rows, then those that were only measured."""
        return list(dict.fromkeys([*self.table.paper_rows, *(self.table.find(record).row for record in self.records)]))

    @property
    def columns(self) -> list[Column]:
        """The paper's columns and those that were only measured, sorted."""
        measured = (self.table.find(record).column for record in self.records)
        return self.table.sort_columns(list(dict.fromkeys([*self.table.columns, *measured])))

    def has_block(self, block: Block) -> bool:
        """Return whether any cell of a block was measured."""
        return any(name == block.name for name, _, _ in self.cells)


def find_records(runs: Sequence[Path]) -> list[FoundRecord]:
    """Return all records of some runs; a file that is given twice is read once.

    Args:
        runs: results files, and folders to search for files named results.json.

    Raises:
        InputError: a run does not exist or contains no results, or a file is not a results file.
    """
    files: dict[Path, Path] = {}
    for run in runs:
        inside = sorted(run.rglob("results.json")) if run.is_dir() else [run]
        if not inside:
            raise InputError(f"{run}: no results.json in this folder; choose the folder of a run with an evaluation")
        for path in inside:
            files.setdefault(path.resolve(), path)
    return [FoundRecord(record, path) for path in files.values() for record in read_records(path)]


def aggregate(table: Table, found: Sequence[FoundRecord]) -> list[MeasuredTable]:
    """Fill a table from records, once for every dataset; results on different data are never averaged.

    If every column is a dataset, a second version of one of them starts a second table.

    Raises:
        InputError: a record of the table contains an impossible number.
    """
    data: dict[Column, dict[str, list[_Matched]]] = defaultdict(lambda: defaultdict(list))
    for item in found:
        match = table.find(item.record)
        if match is not None:
            _check(item, table.samples)
            column = match.column if table.columns_are_data else ""
            data[column][item.record.digest].append(_Matched(match, item.record, item.path))
    by_column = [
        [digests[d] for d in sorted(digests, key=lambda d: (digests[d][0].record.store, d))]
        for digests in data.values()
    ]
    datasets = zip_longest(*by_column, fillvalue=[])
    return [_aggregate(table, [item for group in groups for item in group]) for groups in datasets]


def _check(item: FoundRecord, samples: str) -> None:
    record = item.record
    wrong = None
    if not 0 <= record.value <= 1:
        wrong = f"{record.metric} {record.value} is not in [0, 1]"
    elif not 0 < record.ratio <= 1:
        wrong = f"label ratio {record.ratio} is not in (0, 1]"
    elif record.test_samples < 1:
        wrong = f"{record.test_samples} test {samples}"
    if wrong:
        where = f"{item.path}: {record.method}, {record.protocol}, seed {record.seed}"
        raise InputError(f"{where}: {wrong}; run the evaluation again")


def _aggregate(table: Table, matched: Sequence[_Matched]) -> MeasuredTable:
    counted, conflicts = _one_per_seed(table, matched)
    cells, incomplete = _cells(table, counted)
    by_column: dict[Column, list[_Matched]] = defaultdict(list)
    for item in matched:
        by_column[item.match.column].append(item)
    return MeasuredTable(
        table=table,
        records=tuple(item.record for item in matched),
        cells=cells,
        part_cells=_part_cells(counted),
        notes=tuple(dict.fromkeys([*incomplete, *conflicts])),
        train_samples={column: _sizes(items, "train_samples") for column, items in by_column.items()},
        test_samples=_sizes(matched, "test_samples"),
    )


def _cells(table: Table, counted: Sequence[_Matched]) -> tuple[dict[tuple[str, str, Column], Cell], list[str]]:
    """Return all complete cells, and a note for each incomplete one."""
    cells, missing = {}, defaultdict(list)
    for block in table.blocks:
        seeds: dict[tuple[str, Column], dict[int, list[_Matched]]] = defaultdict(lambda: defaultdict(list))
        for item in counted:
            if item.record.metric == block.metric:
                seeds[item.match.row, item.match.column][item.record.seed].append(item)
        measured: dict[tuple[str, Column], dict[int, float]] = {}
        for (row, column), items in seeds.items():
            values = {}
            for seed, parts in items.items():
                expected = max(item.match.parts for item in parts)
                if len(parts) == expected:
                    records = [item.record for item in parts]
                    values[seed] = block.combine([r.value for r in records], [r.test_samples for r in records])
                else:
                    missing[row, column, len(parts), expected].append(seed)
            if values:
                measured[row, column] = values
        for (row, column), values in {**measured, **_averages(table, measured)}.items():
            cells[block.name, row, column] = _cell(list(values.values()))
    notes = [
        f"{row}, {column_label(column)}, {_seeds(seeds)}: {have} of {expected} {table.parts}"
        for (row, column, have, expected), seeds in missing.items()
    ]
    return cells, notes


def _averages(
    table: Table, measured: dict[tuple[str, Column], dict[int, float]]
) -> dict[tuple[str, Column], dict[int, float]]:
    """Return the mean over the paper's columns by seed, for rows and seeds with all of these columns."""
    columns, averages = [column for column in table.columns if column != table.average], {}
    for row in dict.fromkeys(row for row, _ in measured) if table.average else ():
        values = [measured.get((row, column), {}) for column in columns]
        seeds = [seed for seed in values[0] if all(seed in others for others in values)]
        if seeds:
            averages[row, table.average] = {seed: statistics.fmean(v[seed] for v in values) for seed in seeds}
    return averages


def _part_cells(counted: Sequence[_Matched]) -> dict[tuple[str, str, Column, str], Cell]:
    values = defaultdict(list)
    for item in counted:
        if item.match.part:
            values[item.record.metric, item.match.row, item.match.column, item.match.part].append(item.record.value)
    return {place: _cell(numbers) for place, numbers in values.items()}


def _cell(values: Sequence[float]) -> Cell:
    percents = [100 * value for value in values]
    deviation = statistics.stdev(percents) if len(percents) > 1 else None
    return Cell(statistics.fmean(percents), deviation, len(percents))


def _sizes(matched: Sequence[_Matched], name: str) -> list[int]:
    """Return the sizes of a split that occur, each the sum over the parts, if all of them were measured."""
    results = defaultdict(dict)
    for item in matched:
        match, record = item.match, item.record
        results[match.row, match.column, record.metric, record.seed][match.part] = getattr(record, name)
    parts = max(item.match.parts for item in matched)
    return sorted({sum(sizes.values()) for sizes in results.values() if len(sizes) == parts})


# Seeds


def _one_per_seed(table: Table, matched: Sequence[_Matched]) -> tuple[list[_Matched], list[str]]:
    """Select one record per cell, part, metric and seed.

    A record that occurs twice counts once. Different records for one seed are all left out, as nothing says which of
    them is meant.

    Returns:
        The selected records, and a note for every conflict.
    """
    slots: dict[tuple, list[_Matched]] = defaultdict(list)
    for item in matched:
        match = item.match
        slots[match.row, match.column, match.part, item.record.metric, item.record.seed].append(item)
    counted, conflicts = [], defaultdict(list)
    for items in slots.values():
        distinct: dict[tuple, _Matched] = {}
        for item in items:
            distinct.setdefault((item.record.key, item.record.value), item)
        if len(distinct) == 1:
            counted.append(items[0])
        else:
            names = differing_config((item.record for item in items), ignore=(table.part,))
            conflicts[items[0].match.row, tuple(names)] += distinct.values()
    notes = [_conflict_note(table, row, names, items) for (row, names), items in conflicts.items()]
    return counted, notes + _mixed_seeds_notes(table, counted)


def _conflict_note(table: Table, row: str, names: Sequence[str], items: Sequence[_Matched]) -> str:
    values = differing_config((item.record for item in items), ignore=(table.part,))
    listed = ", ".join(f"{name} ({' / '.join(values[name])})" for name in names)
    why = f"differ in {listed}" if names else "have the same config but not the same value"
    paths = " and ".join(dict.fromkeys(str(item.path) for item in items))
    seeds = _seeds([item.record.seed for item in items])
    return (
        f"{row}, {_columns(items)}, {seeds}: several results for one seed, which {why}; none of them is counted; "
        f"choose only the runs that belong together ({paths})"
    )


def _mixed_seeds_notes(table: Table, counted: Sequence[_Matched]) -> list[str]:
    """Return a note for every row with cells whose seeds differ in more than the seed."""
    cells = defaultdict(list)
    for item in counted:
        cells[item.match, item.record.metric].append(item)
    mixed = defaultdict(list)
    for items in cells.values():
        names = differing_config((item.record for item in items), ignore=(table.part, *table.per_seed))
        if names:
            mixed[items[0].match.row, tuple(names)] += items
    return [
        f"{row}, {_columns(items)}: the seeds of a cell differ in {', '.join(names)} too"
        for (row, names), items in mixed.items()
    ]


def _columns(items: Sequence[_Matched]) -> str:
    columns: set[Column] = {item.match.column for item in items}
    return ", ".join(column_label(column) for column in sorted(columns, key=lambda c: (isinstance(c, str), c)))


def _seeds(seeds: Sequence[int]) -> str:
    ordered = sorted(set(seeds))
    return f"seed{'s' * (len(ordered) > 1)} {', '.join(map(str, ordered))}"


# Config


def differing_config(records: Iterable[Record], *, ignore: Collection[str] = ()) -> dict[str, list[str]]:
    """Return the config entries that are not the same in all records, with the values that occur, in order."""
    return {name: values for name, values in _config_values(records, ignore).items() if len(values) > 1}


def shared_config(records: Iterable[Record], *, ignore: Collection[str] = ()) -> dict[str, str]:
    """Return the config entries that are the same in all records."""
    return {name: values[0] for name, values in _config_values(records, ignore).items() if len(values) == 1}


def _config_values(records: Iterable[Record], ignore: Collection[str]) -> dict[str, list[str]]:
    configs = [{"method": record.method, **dict(_flat(record.config))} for record in records]
    names = dict.fromkeys(name for config in configs for name in config if name not in ignore)
    return {name: list(dict.fromkeys(_text(config.get(name)) for config in configs)) for name in names}


def _flat(config: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield all entries; nested ones are named "network.depth"."""
    for name, value in config.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _text(value: Any) -> str:
    if value is None or value == "":
        return "none"
    return value if isinstance(value, str) else json.dumps(value)

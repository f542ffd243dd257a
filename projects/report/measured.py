"""From records to the cells of a table: mean and deviation over seeds, for all data by itself."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from projects.report.placed import Placed, one_per_seed, place_records, seeds_in_words
from projects.report.run_search import Found
from projects.report.table import Block, Column, Table, column_label
from projects.training.records import Record


@dataclass(frozen=True)
class Cell:
    """What was measured for one cell, in percent.

    Args:
        mean: over the seeds.
        deviation: sample standard deviation over the seeds, None for a single one.
        seeds: how many.
    """

    mean: float
    deviation: float | None
    seeds: int


@dataclass(frozen=True)
class Sheet:
    """A table as measured on one store, or other data.

    Args:
        table: the paper's.
        records: everything that belongs to it, from this data.
        cells: by name of the block, row and column; only where all parts were measured.
        part_cells: by metric, row, column and part.
        notes: what the reader must know about single cells.
        train_samples: sizes that occur in every column: one, where the records agree; none, where parts are missing.
        test_samples: sizes that occur in the table.
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
        """Name of the store; names, where a store was renamed, or every column has its own."""
        names = dict.fromkeys(record.store for record in self.records)
        return (", " if self.table.columns_are_data else " = ").join(names)

    @property
    def digest(self) -> str:
        """Fingerprint of the store; of the first one, where every column has its own."""
        return self.records[0].digest

    def of_column(self, column: Column) -> list[Record]:
        """The records that a column was measured by."""
        return [record for record in self.records if self.table.place(record).column == column]

    @property
    def rows(self) -> list[str]:
        """The paper's rows, then those that were only measured."""
        return list(dict.fromkeys([*self.table.rows, *(row for row, _ in self._places())]))

    @property
    def columns(self) -> list[Column]:
        """The paper's columns and those that were only measured, in the order of the table."""
        columns = list(dict.fromkeys([*self.table.columns, *(column for _, column in self._places())]))
        if self.table.column_order is not None:
            return sorted(columns, key=self.table.column_order)
        return columns if any(isinstance(column, str) for column in columns) else sorted(columns)

    def measured(self, block: Block) -> bool:
        """Whether any cell of a block was measured."""
        return any(name == block.name for name, _, _ in self.cells)

    def _places(self) -> list[tuple[str, Column]]:
        places = [self.table.place(record) for record in self.records]
        return [(place.row, place.column) for place in places if place is not None]


def measure(table: Table, found: Sequence[Found]) -> list[Sheet]:
    """A table filled from records, once for all data that occurs; results on different data are never mixed.

    Where every column is data of its own, a second data for one of them opens a second sheet.

    Raises:
        InputError: a record that belongs to the table holds a number that cannot be.
    """
    data: dict[Column, dict[str, list[Placed]]] = defaultdict(lambda: defaultdict(list))
    for item in place_records(table, found):
        column = item.place.column if table.columns_are_data else ""
        data[column][item.record.digest].append(item)
    by_column = [
        [digests[d] for d in sorted(digests, key=lambda d: (digests[d][0].record.store, d))]
        for digests in data.values()
    ]
    sheets = zip_longest(*by_column, fillvalue=[])
    return [_sheet(table, [item for group in sheet for item in group]) for sheet in sheets]


def _sheet(table: Table, placed: Sequence[Placed]) -> Sheet:
    counted, disagreements = one_per_seed(table, placed)
    cells, incomplete = _cells(table, counted)
    return Sheet(
        table=table,
        records=tuple(item.record for item in placed),
        cells=cells,
        part_cells=_part_cells(counted),
        notes=tuple(dict.fromkeys([*incomplete, *disagreements])),
        train_samples={column: _sizes(items, "train_samples") for column, items in _by_column(placed).items()},
        test_samples=_sizes(placed, "test_samples"),
    )


def _cells(table: Table, counted: Sequence[Placed]) -> tuple[dict[tuple[str, str, Column], Cell], list[str]]:
    """All whole cells, and a note for those that are not."""
    cells, missing = {}, defaultdict(list)
    for block in table.blocks:
        seeds: dict[tuple[str, Column], dict[int, list[Placed]]] = defaultdict(lambda: defaultdict(list))
        for item in counted:
            if item.record.metric == block.metric:
                seeds[item.place.row, item.place.column][item.record.seed].append(item)
        measured: dict[tuple[str, Column], dict[int, float]] = {}
        for (row, column), items in seeds.items():
            values = {}
            for seed, parts in items.items():
                expected = max(item.place.parts for item in parts)
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
        f"{row}, {column_label(column)}, {seeds_in_words(seeds)}: {have} of {expected} {table.parts}"
        for (row, column, have, expected), seeds in missing.items()
    ]
    return cells, notes


def _averages(
    table: Table, measured: dict[tuple[str, Column], dict[int, float]]
) -> dict[tuple[str, Column], dict[int, float]]:
    """The column of means, for rows of which all the paper's columns were measured, by seeds that all of them have."""
    columns, averages = [column for column in table.columns if column != table.average], {}
    for row in dict.fromkeys(row for row, _ in measured) if table.average else ():
        values = [measured.get((row, column), {}) for column in columns]
        seeds = [seed for seed in values[0] if all(seed in others for others in values)]
        if seeds:
            averages[row, table.average] = {seed: statistics.fmean(v[seed] for v in values) for seed in seeds}
    return averages


def _part_cells(counted: Sequence[Placed]) -> dict[tuple[str, str, Column, str], Cell]:
    values = defaultdict(list)
    for item in counted:
        if item.place.part:
            values[item.record.metric, item.place.row, item.place.column, item.place.part].append(item.record.value)
    return {place: _cell(numbers) for place, numbers in values.items()}


def _cell(values: Sequence[float]) -> Cell:
    percents = [100 * value for value in values]
    deviation = statistics.stdev(percents) if len(percents) > 1 else None
    return Cell(statistics.fmean(percents), deviation, len(percents))


def _sizes(placed: Sequence[Placed], name: str) -> list[int]:
    """The sizes of a split that occur, each the sum over the parts where all of them were measured."""
    results = defaultdict(dict)
    for item in placed:
        place, record = item.place, item.record
        results[place.row, place.column, record.metric, record.seed][place.part] = getattr(record, name)
    parts = max(item.place.parts for item in placed)
    return sorted({sum(sizes.values()) for sizes in results.values() if len(sizes) == parts})


def _by_column(placed: Sequence[Placed]) -> dict[Column, list[Placed]]:
    columns: dict[Column, list[Placed]] = defaultdict(list)
    for item in placed:
        columns[item.place.column].append(item)
    return columns

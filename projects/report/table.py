"""What a table of the paper is: its rows, columns and numbers, and the cell that a measured record belongs to.

A table is data, one module each; ``tables.py`` lists them. Reading runs, averaging and writing know no table by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from projects.training.records import Record

Column = float | str
"""A label ratio in (0, 1], or the name of a column of another kind."""


@dataclass(frozen=True)
class Place:
    """Where a record belongs.

    Args:
        row: method, named as in the paper where the paper has it.
        column: label ratio or name.
        part: what the record measured of the cell, where a cell is made of several records: a category.
        parts: number of records that make a cell whole.
    """

    row: str
    column: Column
    part: str = ""
    parts: int = 1


@dataclass(frozen=True)
class Block:
    """One metric of a table.

    Args:
        name: heading, as in the paper.
        metric: metric of the records that it is made from.
        combine: value of a cell from the values of its parts, (P,) in [0, 1], and their test samples, (P,) counts.
        paper: the paper's numbers in percent: for every row, one per column of the table; None where it has none.
        about: a sentence for the reader.
    """

    name: str
    metric: str
    combine: Callable[[Sequence[float], Sequence[int]], float]
    paper: dict[str, tuple[float | None, ...]]
    about: str = ""


@dataclass(frozen=True)
class Table:
    """One table of the paper.

    Args:
        number: of the table, "6".
        title: what it compares.
        setting: data and network of the paper's numbers, as the end of a sentence "The paper's numbers are …".
        test_samples: size of the paper's test split, in ``samples``; 0 where every column has its own.
        columns: the paper's columns, in order.
        blocks: its metrics; the first one has all of the paper's rows.
        locate: the place of a record whose metric is that of a block, or None for a record of another kind.
        part, parts: what a cell is made of, singular (as in the configuration of a record) and plural; "" for a cell
            of one record.
        samples: what is counted: "shapes", "images".
        data: what they come in: "store"; "data" for other kinds.
        column_order: where a column stands among the others; without, label ratios stand by size, and names as they
            come.
        of_seed: settings that every seed has its own of, by their names in the report.
        columns_are_data: every column is data of its own; else every data has a table of its own.
        average: the column that holds the mean of the paper's others, where all of them were measured; "" without.
        source: where the numbers are from.
    """

    number: str
    title: str
    setting: str
    test_samples: int
    columns: tuple[Column, ...]
    blocks: tuple[Block, ...]
    locate: Callable[[Record], Place | None]
    part: str = ""
    parts: str = ""
    samples: str = "shapes"
    data: str = "store"
    column_order: Callable[[Column], float] | None = None
    of_seed: tuple[str, ...] = ()
    columns_are_data: bool = False
    average: str = ""
    source: str = "Wu et al., Randomized Quantization, ICCV 2023"

    @property
    def rows(self) -> tuple[str, ...]:
        """The paper's rows, in order."""
        return tuple(self.blocks[0].paper)

    def place(self, record: Record) -> Place | None:
        """Where a record belongs, None if not in this table."""
        measured = any(record.metric == block.metric for block in self.blocks)
        return self.locate(record) if measured else None

    def paper(self, block: Block, row: str, column: Column) -> float | None:
        """The paper's number in percent, None where it has none."""
        return dict(zip(self.columns, block.paper.get(row, (None,) * len(self.columns)), strict=True)).get(column)


def mean_over_parts(values: Sequence[float], sizes: Sequence[int]) -> float:
    """Every part counts the same; of a cell with one part, its value."""
    return sum(values) / len(values)


def mean_over_samples(values: Sequence[float], sizes: Sequence[int]) -> float:
    """Every test sample counts the same."""
    return sum(value * size for value, size in zip(values, sizes, strict=True)) / sum(sizes)


def column_label(column: Column) -> str:
    """A label ratio in percent, or the column's name."""
    return column if isinstance(column, str) else f"{100 * column:g} %"

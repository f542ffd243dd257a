"""The report as rows for further computing: one row per table, method, column and metric."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from pcrq.files import write_text
from projects.report.measured import Cell, Sheet
from projects.report.table import Column

HEADER = ("table", "row", "column", "metric", "part", "paper", "mean", "std", "seeds", "store", "digest")


def save_csv(sheets: Sequence[Sheet], path: Path) -> None:
    """Write one table, as measured on one or more stores, to a CSV file.

    Numbers are in percent; ``column`` is a label ratio in (0, 1] or a name; ``part`` is empty for a cell of the table
    and names the category of a part of it; what was not measured, or is not in the paper, is empty.

    Raises:
        InputError: the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for sheet in sheets:
        writer.writerows(_rows(sheet))
    write_text(path, text.getvalue())


def _rows(sheet: Sheet) -> Iterator[tuple]:
    number = sheet.table.number
    for block in sheet.table.blocks:
        for row in sheet.rows:
            for column in sheet.columns:
                paper, cell = sheet.table.paper(block, row, column), sheet.cells.get((block.name, row, column))
                if paper is not None or cell is not None:
                    yield (number, row, column, block.name, "", paper, *_numbers(cell), *_data(sheet, column))
    for (metric, row, column, part), cell in sheet.part_cells.items():
        yield (number, row, column, metric, part, None, *_numbers(cell), *_data(sheet, column))


def _data(sheet: Sheet, column: Column) -> tuple[str, str]:
    """Name and digest of what a column was measured on; empty for one that none of its data belongs to."""
    if not sheet.table.columns_are_data:
        return sheet.store, sheet.digest
    records = sheet.of_column(column)
    return (records[0].store, records[0].digest) if records else ("", "")


def _numbers(cell: Cell | None) -> tuple:
    if cell is None:
        return (None, None, 0)
    return (round(cell.mean, 4), None if cell.deviation is None else round(cell.deviation, 4), cell.seeds)

"""Write measured tables as Markdown, which is also readable in a terminal, and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from pcrq.files import write_text
from projects.report.aggregate import Cell, MeasuredTable, differing_config, shared_config
from projects.report.tables import FIGURE_5, SOURCE, Block, Column, Table, column_label

LEGEND = (
    "All numbers are percentages. *paper*: number printed in the paper. *measured*: mean ± sample standard deviation "
    "over seeds (number of seeds); no deviation for a single seed. Blank: not in the paper, or not measured."
)
CSV_HEADER = ("table", "row", "column", "metric", "part", "paper", "mean", "std", "seeds", "store", "digest")


# Markdown


def markdown(tables: Sequence[MeasuredTable], unused: str = "", pictures: Sequence[str] = ()) -> str:
    """Return the whole report.

    Args:
        tables: the measured tables.
        unused: a sentence on records that belong to no table, or "".
        pictures: file name of the picture of every table, for links; empty for no pictures.
    """
    lines = ["# Results beside the paper", "", LEGEND, ""]
    for index, measured in enumerate(tables):
        lines += _table(measured)
        if pictures:
            lines += [f"![Table {measured.table.number}, measured and in the paper]({pictures[index]})", ""]
    if unused:
        lines += [unused, ""]
    return "\n".join(lines)


def _table(measured: MeasuredTable) -> list[str]:
    table = measured.table
    lines = [f"## Table {table.number}, {table.title}: {plain(measured.store)}", "", *_summary(measured), ""]
    if measured.notes:
        lines += ["Notes:", "", *(f"- {plain(note)}" for note in measured.notes), ""]
    for block in table.blocks:
        if block.paper or measured.has_block(block):
            lines += [f"### {block.name}", ""]
            lines += [block.note, ""] if block.note else []
            lines += [*_block(measured, block), ""]
    return lines + _parts(measured)


def _summary(measured: MeasuredTable) -> list[str]:
    """Describe data, config and code of a table, and how far its numbers can be compared with the paper's."""
    table = measured.table
    code = plain(", ".join(dict.fromkeys(record.code or "not recorded" for record in measured.records)))
    comparison = f"- The paper's numbers are {table.setting} ({SOURCE}, table {table.number})."
    if table.columns_are_data:
        lines = _data_of_columns(measured)
        if set(measured.columns) != set(table.columns):
            comparison += " Columns that the paper does not have are other data: compare the order of the methods, "
            comparison += "not the values."
    else:
        sizes = measured.test_samples
        test = f"{_sizes(sizes)} test {table.samples}" if sizes else f"not all {table.parts} measured yet"
        lines = [f"- {table.data.capitalize()}: {plain(measured.store)}, digest {plain(measured.digest)[:16]}; {test}."]
        train = [(column, measured.train_samples.get(column)) for column in measured.columns]
        listed = [f"{_sizes(numbers)} ({column_label(column)})" for column, numbers in train if numbers]
        lines += [f"- Training {table.samples}: {', '.join(listed)}."] if listed else []
        if not measured.is_paper_data:
            comparison += (
                f" This {table.data} differs from the paper's: compare the order of the methods, not the values."
            )
    return [*lines, *_config(measured), f"- Code: {code}.", comparison]


def _data_of_columns(measured: MeasuredTable) -> list[str]:
    lines = []
    for column in measured.columns:
        records = measured.of_column(column)
        if records:
            train, test = (
                sorted({getattr(record, name) for record in records}) for name in ("train_samples", "test_samples")
            )
            lines.append(
                f"- {plain(column_label(column))}: {plain(records[0].store)}, digest {plain(records[0].digest)[:16]}; "
                f"{_sizes(train)} training and {_sizes(test)} test {measured.table.samples}."
            )
    return lines


def _sizes(numbers: Sequence[int]) -> str:
    return " or ".join(f"{number:,}" for number in numbers)


def _config(measured: MeasuredTable) -> list[str]:
    """List the config of all records, of each method, and what varies within a method.

    These are about the first metric; config that only another metric has is listed on a separate line.
    """
    table = measured.table
    metrics = dict.fromkeys(block.metric for block in table.blocks)
    groups = [[record for record in measured.records if record.metric == metric] for metric in metrics]
    first, *others = [group for group in groups if group]
    rows: dict[str, list] = {}
    for record in first:
        rows.setdefault(table.find(record).row, []).append(record)
    shared = shared_config(first, ignore=(table.part,))
    lines = [f"- Config of all methods: {_listed(shared)}."] if shared else []
    for row in sorted(rows, key=measured.rows.index):
        own = {k: v for k, v in shared_config(rows[row], ignore=(table.part,)).items() if k not in shared}
        lines += [f"- {plain(row)}: {_listed(own)}."] if own else []
    varying = {name for records in rows.values() for name in differing_config(records, ignore=(table.part,))}
    listed = {*shared, *differing_config(first)}
    for records in others:
        own = {name: value for name, value in shared_config(records).items() if name not in listed}
        lines += [f"- {plain(records[0].metric)}: {_listed(own)}."] if own else []
        varying |= differing_config(records).keys() - listed
    return lines + ([f"- Varies within a method: {plain(', '.join(sorted(varying)))}."] if varying else [])


def _listed(config: dict[str, str]) -> str:
    """Return config in one line, nested entries together: "weights 9ab3; network: depth 5, width 32"."""
    groups: dict[str, list[str]] = {"": []}
    for name, value in config.items():
        group, _, last = name.rpartition(".")
        groups.setdefault(group, []).append(f"{last} {value}")
    listed = {group: ", ".join(own) for group, own in groups.items() if own}
    return plain("; ".join(f"{group}: {own}" if group else own for group, own in listed.items()))


def _block(measured: MeasuredTable, block: Block) -> list[str]:
    filled = [(row, column) for name, row, column in measured.cells if name == block.name]
    columns = measured.columns if block.paper else [c for c in measured.columns if any(c == col for _, col in filled)]
    lines = [["", "", *(column_label(column) for column in columns)]]
    for row in measured.rows:
        name = row
        if row in block.paper:
            numbers = [measured.table.paper(block, row, column) for column in columns]
            lines.append([name, "paper", *("" if n is None else f"{n:.1f}" for n in numbers)])
            name = ""
        if row in block.paper or any(row == r for r, _ in filled):
            cells = [measured.cells.get((block.name, row, column)) for column in columns]
            lines.append([name, "measured", *map(cell_text, cells)])
    return grid(lines, text_columns=2)


def _parts(measured: MeasuredTable) -> list[str]:
    """Return a table of the parts of the cells, in the column with most measured parts; the last one if equal."""
    table, metric = measured.table, measured.table.blocks[0].metric
    found = [(row, column, part) for name, row, column, part in measured.part_cells if name == metric]
    if not found:
        return []
    columns = [column for _, column, _ in found]
    best = max(measured.columns, key=lambda column: (columns.count(column), measured.columns.index(column)))
    rows = [row for row in measured.rows if any((r, c) == (row, best) for r, c, _ in found)]
    lines = [[table.part, *rows]]
    for part in sorted({part for _, column, part in found if column == best}):
        lines.append([part, *(cell_text(measured.part_cells.get((metric, row, best, part))) for row in rows)])
    heading = f"### {metric} of every {table.part}, {column_label(best)}"
    return [heading, "", "Measured. Not in the paper.", "", *grid(lines, text_columns=1), ""]


def figure_5_markdown(measured: MeasuredTable) -> str:
    """Return the numbers of one panel of figure 5 as a Markdown table, with a row for every number of bins."""
    title = f"Figure 5, {FIGURE_5.title}: {plain(measured.store)}, digest {plain(measured.digest)[:16]}"
    block, frameworks = FIGURE_5.blocks[0], sorted_frameworks(measured)
    lines = [["", "MoCo-v3 in the paper", *frameworks]]
    for column in measured.columns:
        paper = FIGURE_5.paper(block, "MoCo-v3", column)
        cells = [measured.cells.get((block.name, framework, column)) for framework in frameworks]
        lines.append([column, "" if paper is None else f"{paper:.1f}", *map(cell_text, cells)])
    comparison = (
        f"The paper prints two numbers of this curve, {FIGURE_5.setting} after 100 epochs (table 1); its peak is at 8 "
        "bins."
    )
    if not measured.is_paper_data:
        comparison += " This data differs from the paper's: compare the position of the peak, not the values."
    notes = [f"- {plain(note)}" for note in measured.notes]
    table = grid(lines, text_columns=1)
    return "\n".join([f"{title}; {_sizes(measured.test_samples)} test images", "", *table, "", *notes, comparison])


def sorted_frameworks(measured: MeasuredTable) -> list[str]:
    """Return the rows with at least one measured cell, in the paper's order."""
    return [row for row in measured.rows if any(row == name for _, name, _ in measured.cells)]


def cell_text(cell: Cell | None) -> str:
    """Return mean, deviation and number of seeds; "" if nothing was measured."""
    if cell is None:
        return ""
    deviation = "" if cell.deviation is None else f" ± {cell.deviation:.1f}"
    return f"{cell.mean:.1f}{deviation} ({cell.seeds})"


def grid(lines: Sequence[Sequence[str]], *, text_columns: int) -> list[str]:
    """Return a Markdown table with aligned bars; the first columns contain text, the others numbers."""
    lines = [[plain(text).replace("|", "\\|") for text in line] for line in lines]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * width if i < text_columns else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    rows = []
    for line in [lines[0], rule, *lines[1:]]:
        sized = enumerate(zip(line, widths, strict=True))
        padded = [text.ljust(width) if i < text_columns else text.rjust(width) for i, (text, width) in sized]
        rows.append(f"| {' | '.join(padded)} |")
    return rows


def plain(text: str) -> str:
    """Replace control characters, which a results file may contain, by spaces."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


# CSV


def save_csv(tables: Sequence[MeasuredTable], path: Path) -> None:
    """Write one table, as measured on one or more datasets, to a CSV file: a row per cell and per part of a cell.

    Numbers are percentages. ``column`` is a label ratio in (0, 1] or a name; ``part`` is the category, empty for a cell
    of the table. What was not measured or is not in the paper is empty.

    Raises:
        InputError: the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_HEADER)
    for measured in tables:
        writer.writerows(_csv_rows(measured))
    write_text(path, text.getvalue())


def _csv_rows(measured: MeasuredTable) -> Iterator[tuple]:
    table: Table = measured.table
    for block in table.blocks:
        for row in measured.rows:
            for column in measured.columns:
                paper, cell = table.paper(block, row, column), measured.cells.get((block.name, row, column))
                if paper is not None or cell is not None:
                    yield (table.number, row, column, block.name, "", paper, *_numbers(cell), *_data(measured, column))
    for (metric, row, column, part), cell in measured.part_cells.items():
        yield (table.number, row, column, metric, part, None, *_numbers(cell), *_data(measured, column))


def _data(measured: MeasuredTable, column: Column) -> tuple[str, str]:
    """Return name and digest of the data of a column; empty for a column without records."""
    if not measured.table.columns_are_data:
        return measured.store, measured.digest
    records = measured.of_column(column)
    return (records[0].store, records[0].digest) if records else ("", "")


def _numbers(cell: Cell | None) -> tuple:
    if cell is None:
        return (None, None, 0)
    return (round(cell.mean, 4), None if cell.deviation is None else round(cell.deviation, 4), cell.seeds)

"""The report as text: Markdown that reads well in a terminal, too."""

from __future__ import annotations

from collections.abc import Sequence

from projects.report.measured import Cell, Sheet
from projects.report.settings import agreeing, differing
from projects.report.table import Block, Column, column_label

LEGEND = (
    "Percent. *paper*: the number printed in the paper. *measured*: mean ± sample standard deviation over seeds "
    "(number of seeds); a single seed has no deviation. Blank: not in the paper, or not measured."
)


def report(sheets: Sequence[Sheet], unused: str = "", pictures: Sequence[str] = ()) -> str:
    """The whole report.

    Args:
        sheets: the tables as measured.
        unused: a sentence on records that belong to no table, or "".
        pictures: file name of the picture of every sheet, as the report shall link it; none without.
    """
    lines = ["# Measured beside the paper", "", LEGEND, ""]
    for index, sheet in enumerate(sheets):
        lines += _sheet(sheet)
        if pictures:
            lines += [f"![Table {sheet.table.number}, measured and in the paper]({pictures[index]})", ""]
    if unused:
        lines += [unused, ""]
    return "\n".join(lines)


def _sheet(sheet: Sheet) -> list[str]:
    table = sheet.table
    lines = [f"## Table {table.number}, {table.title}: {plain(sheet.store)}", "", *_about(sheet), ""]
    if sheet.notes:
        lines += ["Notes:", "", *(f"- {plain(note)}" for note in sheet.notes), ""]
    for block in table.blocks:
        if block.paper or sheet.measured(block):
            lines += [f"### {block.name}", ""]
            lines += [block.about, ""] if block.about else []
            lines += [*_block(sheet, block), ""]
    return lines + _parts(sheet)


def _about(sheet: Sheet) -> list[str]:
    """What was measured on what, and how far it can be compared with the paper."""
    table = sheet.table
    if table.columns_are_data:
        return _about_columns(sheet)
    whole = sheet.test_samples
    test = f"{_sizes(whole)} test {table.samples}" if whole else f"not all {table.parts} measured yet"
    train = [(column, sheet.train_samples.get(column)) for column in sheet.columns]
    sizes = [f"{_sizes(numbers)} ({column_label(column)})" for column, numbers in train if numbers]
    lines = [f"- {table.data.capitalize()}: {plain(sheet.store)}, digest {plain(sheet.digest)[:16]}; {test}."]
    if sizes:
        lines.append(f"- Training {table.samples}: {', '.join(sizes)}.")
    lines += [*_settings(sheet), _code(sheet)]
    comparison = _setting(sheet)
    if whole and whole != [table.test_samples]:
        comparison += f" This {table.data} is another one: compare the order of the methods, not the values."
    return [*lines, comparison]


def _about_columns(sheet: Sheet) -> list[str]:
    """The same where every column is data of its own."""
    lines = []
    for column in sheet.columns:
        records = sheet.of_column(column)
        if records:
            train, test = (
                sorted({getattr(record, name) for record in records}) for name in ("train_samples", "test_samples")
            )
            lines.append(
                f"- {plain(column_label(column))}: {plain(records[0].store)}, digest {plain(records[0].digest)[:16]}; "
                f"{_sizes(train)} training and {_sizes(test)} test {sheet.table.samples}."
            )
    comparison = _setting(sheet)
    if set(sheet.columns) != set(sheet.table.columns):
        comparison += " Columns that it does not have are other data: compare the order of the methods, not the values."
    return [*lines, *_settings(sheet), _code(sheet), comparison]


def _code(sheet: Sheet) -> str:
    return f"- Code: {plain(', '.join(dict.fromkeys(record.code or 'not recorded' for record in sheet.records)))}."


def _setting(sheet: Sheet) -> str:
    table = sheet.table
    return f"- The paper's numbers are {table.setting} ({table.source}, table {table.number})."


def _sizes(numbers: Sequence[int]) -> str:
    return " or ".join(f"{number:,}" for number in numbers)


def _settings(sheet: Sheet) -> list[str]:
    """What all records share, what those of a method share, and what varies within a method.

    Of the first metric; what a further one is measured with besides has a line of its own.
    """
    metrics = dict.fromkeys(block.metric for block in sheet.table.blocks)
    groups = [[record for record in sheet.records if record.metric == metric] for metric in metrics]
    first, *others = [group for group in groups if group]
    rows: dict[str, list] = {}
    for record in first:
        rows.setdefault(sheet.table.place(record).row, []).append(record)
    shared = agreeing(first, ignore=(sheet.table.part,))
    lines = [f"- Settings of all: {_listed(shared)}."] if shared else []
    for row in sorted(rows, key=sheet.rows.index):
        own = {k: v for k, v in agreeing(rows[row], ignore=(sheet.table.part,)).items() if k not in shared}
        lines += [f"- {plain(row)}: {_listed(own)}."] if own else []
    varying = {name for records in rows.values() for name in differing(records, ignore=(sheet.table.part,))}
    told = {*shared, *differing(first)}
    for records in others:
        own = {name: value for name, value in agreeing(records).items() if name not in told}
        lines += [f"- {plain(records[0].metric)}: {_listed(own)}."] if own else []
        varying |= differing(records).keys() - told
    return lines + ([f"- Vary within a method: {plain(', '.join(sorted(varying)))}."] if varying else [])


def _listed(settings: dict[str, str]) -> str:
    """In one line, settings inside another one together: "weights 9ab3; network: depth 5, width 32"."""
    groups: dict[str, list[str]] = {"": []}
    for name, value in settings.items():
        group, _, last = name.rpartition(".")
        groups.setdefault(group, []).append(f"{last} {value}")
    listed = {group: ", ".join(own) for group, own in groups.items() if own}
    return plain("; ".join(f"{group}: {own}" if group else own for group, own in listed.items()))


def _block(sheet: Sheet, block: Block) -> list[str]:
    columns = sheet.columns if block.paper else [c for c in sheet.columns if _any_cell(sheet, block, column=c)]
    lines = [["", "", *(column_label(column) for column in columns)]]
    for row in sheet.rows:
        name = row
        if row in block.paper:
            numbers = [sheet.table.paper(block, row, column) for column in columns]
            lines.append([name, "paper", *("" if n is None else f"{n:.1f}" for n in numbers)])
            name = ""
        if row in block.paper or _any_cell(sheet, block, row=row):
            lines.append([name, "measured", *(cell_in_words(sheet.cells.get((block.name, row, c))) for c in columns)])
    return grid(lines, words=2)


def _any_cell(sheet: Sheet, block: Block, *, row: str | None = None, column: Column | None = None) -> bool:
    places = [(r, c) for name, r, c in sheet.cells if name == block.name]
    return any(row in (None, r) and column in (None, c) for r, c in places)


def _parts(sheet: Sheet) -> list[str]:
    """The parts of the cells, at the column where most are measured; of equals, the last one."""
    metric = sheet.table.blocks[0].metric
    measured = [(row, column, part) for name, row, column, part in sheet.part_cells if name == metric]
    if not measured:
        return []
    columns = [column for _, column, _ in measured]
    best = max(sheet.columns, key=lambda column: (columns.count(column), sheet.columns.index(column)))
    rows = [row for row in sheet.rows if any((r, c) == (row, best) for r, c, _ in measured)]
    lines = [[sheet.table.part, *rows]]
    for part in sorted({part for _, column, part in measured if column == best}):
        lines.append([part, *(cell_in_words(sheet.part_cells.get((metric, row, best, part))) for row in rows)])
    heading = f"### {metric} of every {sheet.table.part}, {column_label(best)}"
    return [heading, "", "Measured; the paper does not give these.", "", *grid(lines, words=1), ""]


def cell_in_words(cell: Cell | None) -> str:
    """Mean, deviation and number of seeds; "" for what was not measured."""
    if cell is None:
        return ""
    deviation = "" if cell.deviation is None else f" ± {cell.deviation:.1f}"
    return f"{cell.mean:.1f}{deviation} ({cell.seeds})"


def grid(lines: Sequence[Sequence[str]], *, words: int) -> list[str]:
    """A Markdown table with aligned bars; the first columns hold words, the others numbers."""
    lines = [[plain(text).replace("|", "\\|") for text in line] for line in lines]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * width if i < words else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    rows = []
    for line in [lines[0], rule, *lines[1:]]:
        sized = enumerate(zip(line, widths, strict=True))
        padded = [text.ljust(width) if i < words else text.rjust(width) for i, (text, width) in sized]
        rows.append(f"| {' | '.join(padded)} |")
    return rows


def plain(text: str) -> str:
    """One line that a terminal shows as it is, whatever a results file holds."""
    return "".join(letter if letter.isprintable() else " " for letter in text)

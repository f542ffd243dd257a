"""The picture of a table: the paper's numbers dashed, the measured ones beside them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pcrq.files import atomic_write
from projects.report.colours import COLOURS, MARKERS
from projects.report.dot_plot import draw_dots
from projects.report.measured import Sheet
from projects.report.table import Block, Column, column_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Series:
    """A line of the picture.

    Args:
        row: method.
        paper: whether these are the paper's numbers, or measured ones.
        columns: where.
        values: percent.
        deviations: over seeds, percent, 0 for a single seed; all 0 for the paper's.
    """

    row: str
    paper: bool
    columns: list[Column]
    values: list[float]
    deviations: list[float]


def series(sheet: Sheet, block: Block) -> list[Series]:
    """The lines of one metric: for every method the paper's, then the measured one, where there are numbers."""
    lines = []
    for row in sheet.rows:
        paper = {c: sheet.table.paper(block, row, c) for c in sheet.columns}
        known = {column: value for column, value in paper.items() if value is not None}
        if known:
            lines.append(Series(row, True, list(known), list(known.values()), [0.0] * len(known)))
        cells = {c: sheet.cells[block.name, row, c] for c in sheet.columns if (block.name, row, c) in sheet.cells}
        if cells:
            deviations = [cell.deviation or 0.0 for cell in cells.values()]
            lines.append(Series(row, False, list(cells), [cell.mean for cell in cells.values()], deviations))
    return lines


def save_png(sheet: Sheet, path: Path) -> None:
    """Draw a table into a PNG file.

    Raises:
        InputError: the file cannot be written.
    """
    figure = draw(sheet)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png")


def draw(sheet: Sheet) -> Figure:
    """The picture as a matplotlib figure: lines along columns that have an order, dots otherwise."""
    in_order = sheet.table.column_order is not None or not isinstance(sheet.columns[0], str)
    return draw_lines(sheet) if in_order else draw_dots(sheet)


def draw_lines(sheet: Sheet) -> Figure:
    """A row of panels for every metric, a column for every protocol.

    A method has one colour in all panels; what has no protocol, such as "Scratch", is drawn in all of them.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    blocks = [block for block in sheet.table.blocks if block.paper]
    lines = {block.name: series(sheet, block) for block in blocks}
    looks = {m: (COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]) for i, m in enumerate(_methods(lines))}
    protocols = list(dict.fromkeys(p for _, p in map(method_and_protocol, sheet.rows) if p)) or [""]

    size = (1.6 + 4.6 * len(protocols), 0.7 + 3.6 * len(blocks))
    figure = Figure(figsize=size, dpi=150, layout="constrained", facecolor="white")
    panels = figure.subplots(len(blocks), len(protocols), squeeze=False, sharey="row")
    for block, row in zip(blocks, panels, strict=True):
        for protocol, axes in zip(protocols, row, strict=True):
            for line in lines[block.name]:
                method, own = method_and_protocol(line.row)
                if own in ("", protocol):
                    _draw_line(axes, line, sheet.columns, *looks[method])
            _finish(axes, sheet.columns, title=f"{block.name} ({protocol})" if protocol else block.name)
        row[0].set_ylabel("%")
    keys = [
        Line2D([], [], color=colour, marker=marker, label=name.replace("$", r"\$"))
        for name, (colour, marker) in looks.items()
    ]
    keys += [Line2D([], [], color="0.4", lw=1.8, label="measured")]
    keys += [Line2D([], [], color="0.4", ls="--", marker="o", mfc="white", markersize=4, lw=1.1, label="paper")]
    figure.legend(handles=keys, loc="outside right center", frameon=False)
    figure.suptitle(f"Table {sheet.table.number}, {sheet.table.title}: {sheet.store}", parse_math=False)
    return figure


def method_and_protocol(row: str) -> tuple[str, str]:
    """The two parts of a row's name: "Ours (ft)" is "Ours", measured by "ft"; the second is "" where there is none."""
    method, _, protocol = row.removesuffix(")").rpartition(" (")
    return (method, protocol) if row.endswith(")") and method else (row, "")


def _methods(lines: dict[str, list[Series]]) -> list[str]:
    """The methods of some panels in the order of their colours.

    Those of which the paper has a single line, and we nothing, come last: tables differ in these, and colour the
    methods that they share alike.
    """
    drawn = {(line.row, line.paper) for panel in lines.values() for line in panel}
    number = Counter(method_and_protocol(row)[0] for row, _ in drawn)
    measured = {method_and_protocol(row)[0] for row, paper in drawn if not paper}
    methods = dict.fromkeys(method_and_protocol(line.row)[0] for panel in lines.values() for line in panel)
    return sorted(methods, key=lambda method: number[method] == 1 and method not in measured)


def _draw_line(axes: Axes, line: Series, columns: list[Column], colour: str, marker: str) -> None:
    places = _places(line.columns, columns)
    if line.paper:
        axes.plot(places, line.values, "--", color=colour, marker=marker, markerfacecolor="white", markersize=4, lw=1.1)
    else:
        axes.errorbar(
            places, line.values, line.deviations, color=colour, marker=marker, markersize=5, lw=1.8, capsize=3
        )


def _places(columns: list[Column], all_columns: list[Column]) -> list[float]:
    """Positions on the axis: label ratios by their value, other columns one after another."""
    return [all_columns.index(column) if isinstance(column, str) else 100 * column for column in columns]


def _finish(axes: Axes, columns: list[Column], title: str) -> None:
    if not isinstance(columns[0], str):
        axes.set(xscale="log", xlabel="labels")
    axes.set_xticks(_places(columns, columns), [column_label(column) for column in columns])
    axes.minorticks_off()
    axes.set_title(title, parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)

"""The picture of a table whose columns are not along an axis: a line for every method, a panel for every column."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projects.report.colours import COLOURS
from projects.report.measured import Sheet
from projects.report.table import Block, Column, column_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MEASURED = {"color": COLOURS[0], "marker": "o", "linestyle": "none", "markersize": 6}
_PAPER = {"color": "0.4", "marker": "o", "linestyle": "none", "markersize": 6, "markerfacecolor": "white"}


def draw_dots(sheet: Sheet) -> Figure:
    """The picture as a matplotlib figure: a row of panels for every metric that the paper has."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    blocks = [block for block in sheet.table.blocks if block.paper]
    size = (2.6 + 2.8 * len(sheet.columns), (1.4 + 0.3 * len(sheet.rows)) * len(blocks))
    figure = Figure(figsize=size, dpi=150, layout="constrained", facecolor="white")
    panels = figure.subplots(len(blocks), len(sheet.columns), squeeze=False, sharex="row", sharey=True)
    for block, row in zip(blocks, panels, strict=True):
        for column, axes in zip(sheet.columns, row, strict=True):
            _draw_panel(axes, sheet, block, column)
    names = [name.replace("$", r"\$") for name in sheet.rows]
    panels[0, 0].set_yticks(range(len(names)), names)
    panels[0, 0].set_ylim(len(names) - 0.5, -0.5)
    keys = [Line2D([], [], **_MEASURED, label="measured"), Line2D([], [], **_PAPER, label="paper")]
    figure.legend(handles=keys, loc="outside lower right", ncols=2, frameon=False)
    figure.suptitle(f"Table {sheet.table.number}, {sheet.table.title}: {sheet.store}", parse_math=False)
    return figure


def _draw_panel(axes: Axes, sheet: Sheet, block: Block, column: Column) -> None:
    for place, row in enumerate(sheet.rows):
        paper, cell = sheet.table.paper(block, row, column), sheet.cells.get((block.name, row, column))
        if paper is not None:
            axes.plot(paper, place, **_PAPER)
        if cell is not None:
            axes.errorbar(cell.mean, place, xerr=cell.deviation, **_MEASURED, capsize=3)
    axes.set_title(column_label(column), parse_math=False)
    axes.set_xlabel(f"{block.name}, %", parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(alpha=0.25)

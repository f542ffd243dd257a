"""Plot measured tables beside the paper's numbers, and figure 5 of the paper.

Tables with ordered columns (label ratios, epochs) become lines, the others dots.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pcrq.files import atomic_write
from projects.report.aggregate import Cell, MeasuredTable
from projects.report.render import sorted_frameworks
from projects.report.tables import FIGURE_5, FRAMEWORKS, Block, Column, column_label, number_in

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette for colour-blind readers, without their yellow, which is too light for lines.
COLOURS = ("#0072B2", "#D55E00", "#000000", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = "osD^vPX"
_PAPER = {"color": "0.4", "marker": "o", "markerfacecolor": "white"}


@dataclass(frozen=True)
class Series:
    """One line of a plot.

    Args:
        row: method.
        paper: whether the numbers are the paper's or measured.
        columns: positions.
        values: percent.
        deviations: over seeds in percent; 0 for a single seed and for the paper's numbers.
    """

    row: str
    paper: bool
    columns: list[Column]
    values: list[float]
    deviations: list[float]


def series(measured: MeasuredTable, block: Block) -> list[Series]:
    """Return the lines of one metric: for every method the paper's numbers, then the measured ones."""
    lines = []
    for row in measured.rows:
        paper = {column: measured.table.paper(block, row, column) for column in measured.columns}
        known = {column: value for column, value in paper.items() if value is not None}
        if known:
            lines.append(Series(row, True, list(known), list(known.values()), [0.0] * len(known)))
        cells = _cells(measured, block, row)
        if cells:
            deviations = [cell.deviation or 0.0 for cell in cells.values()]
            lines.append(Series(row, False, list(cells), [cell.mean for cell in cells.values()], deviations))
    return lines


def save_png(measured: MeasuredTable, path: Path) -> None:
    """Plot a table into a PNG file.

    Raises:
        InputError: the file cannot be written.
    """
    _save(draw(measured), path)


def draw(measured: MeasuredTable) -> Figure:
    """Plot a table as a matplotlib figure, with a row of panels for every metric that the paper reports.

    The title names the data that was measured, with its size if that differs from the paper's test split.
    """
    figure = _draw_lines(measured) if measured.table.columns_are_ordered else _draw_dots(measured)
    table, data = measured.table, measured.store
    if not table.columns_are_data and not measured.is_paper_data:
        data += f" ({' or '.join(f'{size:,}' for size in measured.test_samples)} test {table.samples})"
    figure.suptitle(f"Table {table.number}, {table.title}: {data}", parse_math=False)
    return figure


def _cells(measured: MeasuredTable, block: Block, row: str) -> dict[Column, Cell]:
    cells = {column: measured.cells.get((block.name, row, column)) for column in measured.columns}
    return {column: cell for column, cell in cells.items() if cell is not None}


# Lines: a panel for every protocol


def _draw_lines(measured: MeasuredTable) -> Figure:
    """Plot lines over ordered columns, with a column of panels for every protocol.

    A method has one colour in all panels. Rows without a protocol, such as "Scratch", appear in all of them.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    blocks = [block for block in measured.table.blocks if block.paper]
    lines = {block.name: series(measured, block) for block in blocks}
    styles = {m: (COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]) for i, m in enumerate(_methods(lines))}
    drawn = {line.row for panel in lines.values() for line in panel}
    rows = [row for row in measured.rows if row in drawn]
    protocols = list(dict.fromkeys(p for _, p in map(method_and_protocol, rows) if p)) or [""]

    size = (1.6 + 4.6 * len(protocols), 0.7 + 3.6 * len(blocks))
    figure = Figure(figsize=size, dpi=150, layout="constrained", facecolor="white")
    panels = figure.subplots(len(blocks), len(protocols), squeeze=False, sharey="row")
    for block, row in zip(blocks, panels, strict=True):
        for protocol, axes in zip(protocols, row, strict=True):
            for line in lines[block.name]:
                method, own = method_and_protocol(line.row)
                if own in ("", protocol):
                    _draw_line(axes, line, measured.columns, *styles[method])
            if not isinstance(measured.columns[0], str):
                axes.set(xscale="log", xlabel="labels")
            labels = [column_label(column) for column in measured.columns]
            axes.set_xticks(_positions(measured.columns, measured.columns), labels)
            axes.minorticks_off()
            _finish(axes, title=f"{block.name} ({protocol})" if protocol else block.name)
        row[0].set_ylabel("%")
    keys = [
        Line2D([], [], color=colour, marker=marker, label=name.replace("$", r"\$"))
        for name, (colour, marker) in styles.items()
    ]
    keys += [Line2D([], [], color="0.4", lw=1.8, label="measured")]
    keys += [Line2D([], [], **_PAPER, ls="--", markersize=4, lw=1.1, label="paper")]
    figure.legend(handles=keys, loc="outside right center", frameon=False)
    return figure


def method_and_protocol(row: str) -> tuple[str, str]:
    """Split a row's name: "Ours (ft)" into "Ours" and "ft"; the protocol is "" if there is none."""
    method, _, protocol = row.removesuffix(")").rpartition(" (")
    return (method, protocol) if row.endswith(")") and method else (row, "")


def _methods(lines: dict[str, list[Series]]) -> list[str]:
    """Return the methods in the order of their colours.

    Methods with a single line of the paper and no measured one come last: only these differ between tables, so that the
    methods that tables share have the same colours.
    """
    drawn = {(line.row, line.paper) for panel in lines.values() for line in panel}
    number = Counter(method_and_protocol(row)[0] for row, _ in drawn)
    measured = {method_and_protocol(row)[0] for row, paper in drawn if not paper}
    methods = dict.fromkeys(method_and_protocol(line.row)[0] for panel in lines.values() for line in panel)
    return sorted(methods, key=lambda method: number[method] == 1 and method not in measured)


def _draw_line(axes: Axes, line: Series, columns: list[Column], colour: str, marker: str) -> None:
    x, style = _positions(line.columns, columns), {"color": colour, "marker": marker}
    if line.paper:
        axes.plot(x, line.values, "--", **style, markerfacecolor="white", markersize=4, lw=1.1)
    else:
        axes.errorbar(x, line.values, line.deviations, **style, markersize=5, lw=1.8, capsize=3)


def _positions(columns: list[Column], all_columns: list[Column]) -> list[float]:
    """Return positions on the axis: label ratios in percent, other columns at equal distances."""
    return [all_columns.index(column) if isinstance(column, str) else 100 * column for column in columns]


# Dots: a panel for every column, a line for every method


def _draw_dots(measured: MeasuredTable) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    dot = {"linestyle": "none", "markersize": 6}
    paper_style, measured_style = {**_PAPER, **dot}, {"color": COLOURS[0], "marker": "o", **dot}
    blocks = [block for block in measured.table.blocks if block.paper]
    size = (2.6 + 2.8 * len(measured.columns), (1.4 + 0.3 * len(measured.rows)) * len(blocks))
    figure = Figure(figsize=size, dpi=150, layout="constrained", facecolor="white")
    panels = figure.subplots(len(blocks), len(measured.columns), squeeze=False, sharex="row", sharey=True)
    for block, row in zip(blocks, panels, strict=True):
        for column, axes in zip(measured.columns, row, strict=True):
            for y, name in enumerate(measured.rows):
                paper = measured.table.paper(block, name, column)
                cell = measured.cells.get((block.name, name, column))
                if paper is not None:
                    axes.plot(paper, y, **paper_style)
                if cell is not None:
                    axes.errorbar(cell.mean, y, xerr=cell.deviation, **measured_style, capsize=3)
            axes.set_xlabel(f"{block.name}, %", parse_math=False)
            axes.tick_params(axis="y", length=0)
            _finish(axes, title=column_label(column))
    names = [name.replace("$", r"\$") for name in measured.rows]
    panels[0, 0].set_yticks(range(len(names)), names)
    panels[0, 0].set_ylim(len(names) - 0.5, -0.5)
    keys = [Line2D([], [], **measured_style, label="measured"), Line2D([], [], **paper_style, label="paper")]
    figure.legend(handles=keys, loc="outside lower right", ncols=2, frameon=False)
    return figure


# Figure 5: accuracy over the number of bins


def save_figure_5(panels: Sequence[MeasuredTable], path: Path) -> None:
    """Plot a panel for every dataset: a line for every framework, dashed for its accuracy without quantization.

    The paper's two numbers appear beside results on ImageNet only.

    Raises:
        InputError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.4 * len(panels), 4.2), dpi=150, layout="constrained", facecolor="white")
    for axes, measured in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _draw_curves(axes, measured)
    _save(figure, path)


def _draw_curves(axes: Axes, measured: MeasuredTable) -> None:
    block, frameworks = FIGURE_5.blocks[0], list(FRAMEWORKS.values())
    for framework in sorted_frameworks(measured):
        look = frameworks.index(framework)
        cells = {number_in(column): cell for column, cell in _cells(measured, block, framework).items()}
        without = cells.pop(0, None)
        means, deviations = ([c.mean for c in cells.values()], [c.deviation or 0.0 for c in cells.values()])
        style = {"color": COLOURS[look], "marker": MARKERS[look], "capsize": 3}
        axes.errorbar(list(cells), means, deviations, **style, label=framework)
        if without is not None:
            axes.axhline(without.mean, linestyle="--", color=COLOURS[look], label=f"{framework}, not quantized")
    if measured.is_paper_data:
        for framework, (without, peak) in block.paper.items():
            axes.plot(8, peak, **_PAPER, linestyle="none", label=f"{framework} in the paper, 8 bins")
            axes.axhline(without, linestyle=":", color="0.4", label=f"{framework} in the paper, not quantized")
    bins = sorted({number_in(column) for _, _, column in measured.cells} - {0})
    axes.set(xscale="log", xlabel="bins", ylabel="top-1 accuracy, %")
    axes.set_xticks(bins, [str(number) for number in bins])
    axes.minorticks_off()
    _finish(axes, title=f"{FIGURE_5.title}: {measured.store}")
    axes.title.set_fontsize(10)
    axes.legend(frameon=False, fontsize=9)


def _finish(axes: Axes, title: str) -> None:
    axes.set_title(title, parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)


def _save(figure: Figure, path: Path) -> None:
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png")

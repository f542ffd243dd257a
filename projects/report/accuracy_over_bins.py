"""Figure 5 of the paper: accuracy over the number of bins, from run records.

It is gathered like a table whose columns are numbers of bins, so that seeds are averaged and data kept apart alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pcrq.files import atomic_write
from projects.report.colours import COLOURS, MARKERS
from projects.report.image_run import FRAMEWORKS, IMAGENET_TEST, image_run
from projects.report.image_table import FROM_IMAGENET, ImageTable, accuracy_block
from projects.report.markdown import cell_in_words, grid, plain
from projects.report.measured import Cell, Sheet, measure
from projects.report.run_search import Found
from projects.report.table import Place
from projects.training.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WITHOUT = "no bins"
PAPER_ACCURACY = {"MoCo-v3": (50.0, 67.9)}  # percent, of table 1; the figure's other points are not printed


def locate(record: Record) -> Place | None:
    """The place of a network pretrained with random resized crop, alone or with random bins and values."""
    run = image_run(record)
    if run is None or not run.has_length_of_ablations:
        return None
    if run.method == "RRC":
        return Place(run.framework, WITHOUT)
    if run.method == "RRC+RQ" and run.random_edges and run.random_values:
        return Place(run.framework, f"{run.bins} bins")
    return None


def bins_of_column(column: str) -> int:
    """The number of bins that a column is for; 0 without quantization."""
    return 0 if column == WITHOUT else int(column.removesuffix(" bins"))


FIGURE_5 = ImageTable(
    number="5",
    title="accuracy over the number of bins",
    setting=FROM_IMAGENET,
    columns=(WITHOUT, "8 bins"),
    blocks=(accuracy_block(PAPER_ACCURACY),),
    locate=locate,
    column_order=bins_of_column,
)


def accuracy_over_bins(found: Sequence[Found]) -> list[Sheet]:
    """What was measured over bins, for all data by itself.

    Raises:
        InputError: a record that belongs to it holds a number that cannot be.
    """
    return measure(FIGURE_5, found)


def curves(sheet: Sheet) -> dict[str, dict[int, Cell]]:
    """Accuracy by framework and number of bins, 0 without quantization; only what was measured."""
    measured = {row: {} for row in sheet.rows}
    for (_, row, column), cell in sorted(sheet.cells.items(), key=lambda item: bins_of_column(item[0][2])):
        measured[row][bins_of_column(column)] = cell
    return {row: cells for row, cells in measured.items() if cells}


def describe(sheet: Sheet) -> str:
    """The numbers of one picture as a Markdown table, with what they can be compared with."""
    images = " or ".join(f"{number:,}" for number in sheet.test_samples)
    comparison = (
        f"The paper prints two numbers of this curve, {FIGURE_5.setting} after 100 epochs (table 1); its peak is at 8 "
        "bins."
    )
    if sheet.test_samples != [IMAGENET_TEST]:
        comparison += " This data is another one: compare where the peak lies, not the values."
    lines = [
        f"Figure 5, {FIGURE_5.title}: {plain(sheet.store)}, digest {plain(sheet.digest)[:16]}; {images} test images",
        "",
        *grid(_rows(sheet), words=1),
        "",
        *(f"- {plain(note)}" for note in sheet.notes),
        comparison,
    ]
    return "\n".join(lines)


def _rows(sheet: Sheet) -> list[list[str]]:
    """A row for every number of bins: the paper's number and, for every framework, the measured one."""
    block, measured = FIGURE_5.blocks[0], curves(sheet)
    rows = [["", "MoCo-v3 in the paper", *measured]]
    for column in sheet.columns:
        paper = FIGURE_5.paper(block, "MoCo-v3", column)
        cells = [measured[framework].get(bins_of_column(column)) for framework in measured]
        rows.append([column, "" if paper is None else f"{paper:.1f}", *map(cell_in_words, cells)])
    return rows


def save_png(sheets: Sequence[Sheet], path: Path) -> None:
    """Draw a panel for every sheet: a line for every framework, dashed where it was not quantized at all.

    The paper's two numbers are drawn beside results on ImageNet only.

    Raises:
        InputError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.4 * len(sheets), 4.2), dpi=150, layout="constrained", facecolor="white")
    panels = figure.subplots(1, len(sheets), squeeze=False)[0]
    for axes, sheet in zip(panels, sheets, strict=True):
        _draw_panel(axes, sheet)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png")


def _draw_panel(axes: Axes, sheet: Sheet) -> None:
    measured = curves(sheet)
    for framework, cells in measured.items():
        look = list(FRAMEWORKS.values()).index(framework)
        quantized = {bins: cell for bins, cell in cells.items() if bins}
        means = [cell.mean for cell in quantized.values()]
        deviations = [cell.deviation or 0.0 for cell in quantized.values()]
        style = {"color": COLOURS[look], "marker": MARKERS[look], "capsize": 3}
        axes.errorbar(list(quantized), means, deviations, **style, label=framework)
        if 0 in cells:
            axes.axhline(cells[0].mean, linestyle="--", color=COLOURS[look], label=f"{framework}, not quantized")
    if sheet.test_samples == [IMAGENET_TEST]:
        without, peak = PAPER_ACCURACY["MoCo-v3"]
        axes.plot(8, peak, "o", color="0.4", markerfacecolor="white", label="MoCo-v3 in the paper, 8 bins")
        axes.axhline(without, linestyle=":", color="0.4", label="MoCo-v3 in the paper, not quantized")
    bins = sorted({number for cells in measured.values() for number in cells if number})
    axes.set(xscale="log", xlabel="bins", ylabel="top-1 accuracy, %")
    axes.set_xticks(bins, [str(number) for number in bins])
    axes.minorticks_off()
    axes.set_title(f"{FIGURE_5.title}: {sheet.store}", fontsize=10, parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=9)

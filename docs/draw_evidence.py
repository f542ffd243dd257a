"""Draw the accuracy of every seed of some sweeps: ``python docs/draw_evidence.py runs/flowers runs/digits --save PNG``.

A panel for each sweep of images or sounds, a row for each method: its seeds and their mean.
"""

import argparse
import statistics
from pathlib import Path

from matplotlib.figure import Figure

from projects.report.aggregate import find_records
from projects.report.plot import COLOURS
from projects.report.tables import TABLES

LINEAR = ("linear probe", "linear evaluation")


def accuracies(run: Path) -> dict[str, dict[int, float]]:
    """Accuracy of the linear evaluations of a sweep in percent, by method and seed."""
    found: dict[str, dict[int, float]] = {}
    for record in (item.record for item in find_records([run])):
        if record.metric == "accuracy" and record.protocol in LINEAR:
            match = TABLES["1"].find(record)  # names what the methods RRC+RQ differ in
            row = record.method if match is None else match.row
            found.setdefault(row, {})[record.seed] = 100 * record.value
    return found


def draw(runs: list[Path], save: Path) -> None:
    """Write the figure; methods are in the order of the paper's tables."""
    order = ["untrained", "scratch", *TABLES["1"].paper_rows, "RRC+Mixup", "RRC+RQ"]
    figure = Figure(figsize=(3.6 * len(runs), 2.2), layout="constrained")
    for axes, run in zip(figure.subplots(1, len(runs), squeeze=False)[0], runs, strict=True):
        found = accuracies(run)
        names = sorted(found, key=lambda name: (order.index(name) if name in order else len(order), name))
        for y, name in enumerate(reversed(names)):
            values, color = list(found[name].values()), COLOURS[names.index(name) % len(COLOURS)]
            axes.plot(values, [y] * len(values), "o", color=color, markersize=4, alpha=0.7)
            axes.plot([statistics.mean(values)] * 2, [y - 0.3, y + 0.3], color=color)
        axes.set_yticks(range(len(names)), reversed(names))
        axes.set_title(run.name)
        axes.set_xlabel("accuracy, %")
        axes.grid(axis="x", alpha=0.3)
    figure.savefig(save, dpi=100)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of a sweep")
    parser.add_argument("--save", type=Path, required=True, metavar="PNG", help="the picture")
    arguments = parser.parse_args()
    draw(arguments.runs, arguments.save)

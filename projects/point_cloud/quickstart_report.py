"""The report of the quick start: tables, figures, and a page to try quantization."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pcrq.files import atomic_write, write_text
from pcrq.stores import Shape, ShapeStore
from projects.point_cloud.view.figure import figure_quantized
from projects.point_cloud.view.page import save_html
from projects.training.records import Record

COLORS = {"scratch": "#8c8c8c", "MID": "#3b6fb6", "MID + quantization": "#d1492e"}
"""The color of every method, in the order of the tables."""
FAMILIAR = (
    *("chair", "airplane", "mug", "lamp", "car", "guitar"),
    *("table", "laptop", "motorbike", "sofa", "rocket", "cap"),
)
"""Categories of the figure and the page."""


def write(folder: Path, store: ShapeStore, records: Sequence[Record], runs: Mapping[str, Path]) -> Path:
    """Write report.md, its figures, and viewer.html.

    Args:
        folder: of the quick start.
        store: the built-in shapes.
        records: probes of all methods.
        runs: run folder of every pretrained method, by its name.

    Returns:
        The report.
    """
    metrics = {method: _read_metrics(run) for method, run in runs.items()}
    figures = folder / "figures"
    figures.mkdir(exist_ok=True)
    shapes = _familiar_shapes(store)
    figure_quantized(shapes[:3], figures / "quantized.png", bins=(30, 30, 10, 5))
    _save_accuracy(records, figures / "accuracy.png")
    _save_curves(metrics, figures / "knn.png")
    title = "Randomized quantization of built-in shapes"
    save_html(shapes, folder / "viewer.html", title=title, parts=store.parts or ())
    report = folder / "report.md"
    write_text(report, _report(store, records, metrics))
    return report


def _read_metrics(run: Path) -> list[dict[str, float]]:
    """All rows of all starts of a run, in the order of the steps; empty cells are left out.

    After an interruption some steps are repeated; the later row of a step counts.
    """
    rows: dict[tuple, dict[str, float]] = {}
    versions = sorted((run / "logs").glob("version_*"), key=lambda folder: int(folder.name.split("_")[1]))
    for file in (version / "metrics.csv" for version in versions):
        if file.exists():
            with file.open(newline="") as opened:
                for row in csv.DictReader(opened):
                    values = {name: float(value) for name, value in row.items() if value}
                    rows[values["step"], "knn_accuracy" in values] = values
    return [rows[key] for key in sorted(rows)]


# --- text ---


def _report(store: ShapeStore, records: Sequence[Record], metrics: Mapping[str, list[dict[str, float]]]) -> str:
    train, test = len(store.indices("train")), len(store.indices("test"))
    ratios, subsets = sorted({record.ratio for record in records}), len({record.seed for record in records})
    config = records[-1].config  # of a pretrained method
    network = config["network"]
    nodes = "non-empty" if network.get("nempty") else "all"
    return f"""\
# Quick start: randomized quantization on built-in shapes

{len(store.classes)} categories of computed shapes, {train} for training and {test} for testing. All methods have the \
same network (MID-Net, octree depth {network["depth"]}, width {network["width"]}, convolutions over {nodes} nodes), \
and the pretrained ones the same budget of {config["epochs"]} epochs. This small experiment shows how the parts work \
together; it does not reproduce the paper.

![shapes beside their quantized versions](figures/quantized.png)

## Linear probe

Accuracy on the test shapes in percent: mean ± standard deviation over {subsets} random subsets of the \
labels (one if all labels are used). Chance is {100 / len(store.classes):.1f}. With one network per method and {test} \
test shapes, differences of up to about {100 / test**0.5:.0f} points are within sampling noise.

{_accuracy_table(records, ratios)}

{_differences(records, ratios)}

![accuracy over the label ratio](figures/accuracy.png)

## Pretraining

{_pretraining_table(metrics, network["depth"])}

![kNN accuracy during pretraining](figures/knn.png)

Open [viewer.html](viewer.html) to quantize twelve of the shapes with any number of bins.

All measurements are in [results.json](results.json), the runs in [runs](runs).
"""


def _accuracies(records: Sequence[Record], method: str, ratio: float) -> np.ndarray:
    """Accuracies in percent of all random subsets."""
    return np.array([100 * record.value for record in records if record.method == method and record.ratio == ratio])


def _accuracy_table(records: Sequence[Record], ratios: Sequence[float]) -> str:
    lines = [
        "| labels | " + " | ".join(f"{100 * ratio:g} %" for ratio in ratios) + " |",
        "| --- |" + " ---: |" * len(ratios),
    ]
    for method in COLORS:
        cells = []
        for ratio in ratios:
            values = _accuracies(records, method, ratio)
            cells.append(f"{values.mean():.1f}" + (f" ± {values.std():.1f}" if ratio < 1 else ""))
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _differences(records: Sequence[Record], ratios: Sequence[float]) -> str:
    """One line per comparison: the difference in points at every label ratio."""
    *others, ours = COLORS
    lines = []
    for other in reversed(others):
        differences = [(_accuracies(records, ours, r) - _accuracies(records, other, r)).mean() for r in ratios]
        parts = [f"{points:+.1f} at {100 * ratio:g} %" for points, ratio in zip(differences, ratios, strict=True)]
        lines.append(f"- {ours} against {other}, in points: {', '.join(parts)}.")
    return "\n".join(lines)


def _pretraining_table(metrics: Mapping[str, list[dict[str, float]]], depth: int) -> str:
    def values(rows: list[dict[str, float]], name: str) -> list[float]:
        return [row[name] for row in rows if name in row]

    lines = [
        f"| method | leaves per shape (depth {depth}) | shapes/s | kNN accuracy, untrained | kNN accuracy, trained |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for method, rows in metrics.items():
        leaves = np.mean(values(rows, f"nodes_depth_{depth}"))
        speed, knn = np.median(values(rows, "samples_per_second")), values(rows, "knn_accuracy")
        lines.append(f"| {method} | {leaves:,.0f} | {speed:.0f} | {100 * knn[0]:.1f} % | {100 * knn[-1]:.1f} % |")
    return "\n".join(lines)


# --- figures ---


def _familiar_shapes(store: ShapeStore) -> list[Shape]:
    """One test shape of each familiar category that the store has; its category replaces its identifier."""
    shapes = []
    for name in FAMILIAR:
        if name in store.classes:
            of_category = np.flatnonzero(store.category == store.classes.index(name))
            shape = store[int(of_category[-1])]
            shapes.append(Shape(**{**shape.__dict__, "id": name}))
    return shapes


def _save_accuracy(records: Sequence[Record], path: Path) -> None:
    """Accuracy of the linear probe over the label ratio, mean and standard deviation over subsets of the labels."""
    figure, axes = _new_figure()
    for method, color in COLORS.items():
        ratios = sorted({record.ratio for record in records if record.method == method})
        values = [_accuracies(records, method, ratio) for ratio in ratios]
        mean, deviation = np.array([np.mean(v) for v in values]), np.array([np.std(v) for v in values])
        axes.plot([100 * ratio for ratio in ratios], mean, "o-", color=color, label=method)
        axes.fill_between([100 * r for r in ratios], mean - deviation, mean + deviation, color=color, alpha=0.15)
    axes.set_xscale("log")
    axes.set_xticks([100 * ratio for ratio in ratios], [f"{100 * ratio:g} %" for ratio in ratios])
    axes.minorticks_off()
    axes.set(xlabel="labels seen by the probe", ylabel="accuracy on test shapes (%)", title="Linear probe")
    _finish(figure, axes, path)


def _save_curves(metrics: Mapping[str, list[dict[str, float]]], path: Path) -> None:
    """kNN accuracy of every pretrained method over its epochs."""
    figure, axes = _new_figure()
    for method, rows in metrics.items():
        points = [(row["epoch"], 100 * row["knn_accuracy"]) for row in rows if "knn_accuracy" in row]
        axes.plot(*zip(*points, strict=True), "o-", color=COLORS[method], label=method)
    axes.set(xlabel="epoch (0: untrained)", ylabel="kNN accuracy on test shapes (%)", title="During pretraining")
    _finish(figure, axes, path)


def _new_figure() -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), dpi=150, layout="constrained")
    return figure, figure.subplots()


def _finish(figure: Any, axes: Any, path: Path) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png")

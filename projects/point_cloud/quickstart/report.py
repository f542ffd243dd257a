"""The report of the quick start: what was measured, in a table, with the sentence that the numbers support."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pcrq.stores.shape_store import ShapeStore
from projects.point_cloud.quickstart.settings import METHODS, Settings
from projects.training.records import Record


def write_report(
    settings: Settings, store: ShapeStore, records: Sequence[Record], metrics: dict[str, list[dict]]
) -> str:
    """The report in Markdown.

    Args:
        settings: what was run.
        store: the built-in shapes.
        records: probes of all methods.
        metrics: logged rows of every pretrained method.
    """
    train, test = len(store.indices("train")), len(store.indices("test"))
    depth = settings.network["depth"]
    kind = "non-empty" if settings.network.get("nempty") else "all"
    lines = [
        "# Quick start: randomized quantization on built-in shapes",
        "",
        f"{len(store.classes)} categories of computed shapes, {train} for training and {test} for testing. Every "
        f"method has the same network (MID-Net, octree depth {depth}, width {settings.network['width']}, convolutions over "
        f"{kind} nodes) and the pretrained ones the same budget of {settings.epochs} epochs. This is a small "
        "experiment to see the parts at work; it is not the paper's.",
        "",
        "![shapes beside their quantized versions](figures/quantized.png)",
        "",
        "## Linear probe",
        "",
        "Accuracy on the test shapes in percent; mean ± standard deviation over "
        f"{settings.probe_seeds} draws of the labelled shapes (with all labels there is nothing to draw). Chance is "
        f"{100 / len(store.classes):.1f}. One network per method and {test} test shapes: differences of up to about "
        f"{100 / test**0.5:.0f} points are within the chance of the draw.",
        "",
        *_accuracy_table(settings, records),
        "",
        *_findings(settings, records),
        "",
        "![accuracy over the label ratio](figures/accuracy.png)",
        "",
        "## Pretraining",
        "",
        *_pretraining_table(metrics, depth),
        "",
        "![kNN accuracy while pretraining](figures/knn.png)",
        "",
        "Open [viewer.html](viewer.html) to quantize a dozen of the shapes with any number of bins.",
        "",
        "The single measurements are in [results.json](results.json), the runs under [runs](runs).",
        "",
    ]
    return "\n".join(lines)


def _values(records: Sequence[Record], method: str, ratio: float) -> np.ndarray:
    return np.array([100 * record.value for record in records if record.method == method and record.ratio == ratio])


def _accuracy_table(settings: Settings, records: Sequence[Record]) -> list[str]:
    header = "| labels | " + " | ".join(f"{100 * ratio:g} %" for ratio in settings.ratios) + " |"
    lines = [header, "| --- |" + " ---: |" * len(settings.ratios)]
    for method in METHODS:
        cells = []
        for ratio in settings.ratios:
            values = _values(records, method.name, ratio)
            cells.append(f"{values.mean():.1f}" + (f" ± {values.std():.1f}" if ratio < 1 else ""))
        lines.append(f"| {method.name} | " + " | ".join(cells) + " |")
    return lines


def _findings(settings: Settings, records: Sequence[Record]) -> list[str]:
    """One line per comparison: by how many points quantization is ahead, or behind, at every label ratio."""
    lines = []
    ours = METHODS[-1].name
    for other in (method.name for method in reversed(METHODS[:-1])):
        parts = []
        for ratio in settings.ratios:
            difference = (_values(records, ours, ratio) - _values(records, other, ratio)).mean()
            parts.append(f"{difference:+.1f} at {100 * ratio:g} %")
        lines.append(f"- {ours} against {other}, in points: {', '.join(parts)}.")
    return lines


def _pretraining_table(metrics: dict[str, list[dict]], depth: int) -> list[str]:
    leaves_name = f"nodes_depth_{depth}"
    lines = [
        f"| method | leaves a shape (depth {depth}) | shapes/s | kNN accuracy, untrained | kNN accuracy, trained |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for method, rows in metrics.items():
        leaves = np.mean([row[leaves_name] for row in rows if leaves_name in row])
        speed = np.median([row["samples_per_second"] for row in rows if "samples_per_second" in row])
        knn = [row["knn_accuracy"] for row in rows if "knn_accuracy" in row]
        lines.append(f"| {method} | {leaves:,.0f} | {speed:.0f} | {100 * knn[0]:.1f} % | {100 * knn[-1]:.1f} % |")
    return lines

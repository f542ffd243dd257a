"""The pictures of the quick start."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pcrq.files import atomic_write
from pcrq.stores.shape_store import Shape, ShapeStore
from projects.point_cloud.view.figure import figure_quantized
from projects.point_cloud.view.page import save_html
from projects.training.records import Record

COLOURS = {"scratch": "#8c8c8c", "MID": "#3b6fb6", "MID + quantization": "#d1492e"}
FAMILIAR = (
    "chair",
    "airplane",
    "mug",
    "lamp",
    "car",
    "guitar",
    "table",
    "laptop",
    "motorbike",
    "sofa",
    "rocket",
    "cap",
)


def familiar_shapes(store: ShapeStore) -> list[Shape]:
    """One test shape of each familiar category that the store has, renamed to its category."""
    shapes = []
    for name in FAMILIAR:
        if name in store.classes:
            mine = np.flatnonzero(store.category == store.classes.index(name))
            shape = store[int(mine[-1])]
            shapes.append(Shape(**{**shape.__dict__, "id": name}))
    return shapes


def save_quantized_shapes(store: ShapeStore, path: Path) -> None:
    """Three shapes beside quantized draws, as in figure 2 of the paper."""
    figure_quantized(familiar_shapes(store)[:3], path, bins=(30, 30, 10, 5))


def save_viewer(store: ShapeStore, path: Path) -> None:
    """A page to try quantization on a dozen shapes."""
    save_html(familiar_shapes(store), path, title="Randomized quantization of built-in shapes", parts=store.parts or ())


def save_accuracy(records: Sequence[Record], path: Path) -> None:
    """Accuracy of the linear probe over the label ratio, mean and standard deviation over draws of the labels."""
    figure, axes = _new_figure()
    for method, colour in COLOURS.items():
        ratios = sorted({record.ratio for record in records if record.method == method})
        values = [[100 * r.value for r in records if r.method == method and r.ratio == ratio] for ratio in ratios]
        mean, deviation = np.array([np.mean(v) for v in values]), np.array([np.std(v) for v in values])
        axes.plot([100 * ratio for ratio in ratios], mean, "o-", color=colour, label=method)
        axes.fill_between([100 * r for r in ratios], mean - deviation, mean + deviation, color=colour, alpha=0.15)
    axes.set_xscale("log")
    axes.set_xticks([100 * ratio for ratio in ratios], [f"{100 * ratio:g} %" for ratio in ratios])
    axes.minorticks_off()
    axes.set(xlabel="labels seen by the probe", ylabel="accuracy on test shapes (%)", title="Linear probe")
    _finish(figure, axes, path)


def save_curves(metrics: dict[str, list[dict]], path: Path) -> None:
    """kNN accuracy of every pretrained method over its epochs."""
    figure, axes = _new_figure()
    for method, rows in metrics.items():
        points = [(row["epoch"], 100 * row["knn_accuracy"]) for row in rows if "knn_accuracy" in row]
        axes.plot(*zip(*points, strict=True), "o-", color=COLOURS[method], label=method)
    axes.set(xlabel="epoch (0: untrained)", ylabel="kNN accuracy on test shapes (%)", title="While pretraining")
    _finish(figure, axes, path)


def _new_figure():
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), dpi=150, layout="constrained")
    return figure, figure.subplots()


def _finish(figure, axes, path: Path) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png")

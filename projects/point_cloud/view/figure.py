"""Pictures like figure 2 of the paper: a row per shape with the original and quantized samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from pcrq.files import atomic_write
from pcrq.stores import Shape
from projects.point_cloud.view.cloud import Cloud, ball_radius, original, quantized
from projects.point_cloud.view.render import render

_CELL = 480  # pixels along each side of a cloud
_DPI = 100


def figure_quantized(
    shapes: Sequence[Shape],
    path: str | Path,
    *,
    bins: Sequence[int] = (30, 30, 30),
    seed: int = 0,
    title: str = "",
) -> None:
    """Draw shapes beside quantized samples: a row per shape with the original and one sample per entry of ``bins``.

    Args:
        shapes: at least one.
        path: PNG file to write.
        bins: number of bins in each column after the first; a repeated number is sampled again.
        seed: random seed.
        title: line above the picture; "" for none.

    Raises:
        InputError: ``path`` cannot be written.
    """
    save_png(quantized_rows(shapes, bins=bins, seed=seed), path, title=title)


def quantized_rows(shapes: Sequence[Shape], *, bins: Sequence[int], seed: int = 0) -> list[list[Cloud]]:
    """Return the original and one quantized cloud per entry of ``bins``, for every shape."""
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for shape in shapes:
        first = original(shape, title="original" if len(shapes) == 1 else f"{shape.id}, original")
        rows.append([first, *(quantized(first, count, generator) for count in bins)])
    return rows


def save_png(rows: Sequence[Sequence[Cloud]], path: str | Path, *, title: str = "") -> None:
    """Draw clouds in a grid into a PNG file, all with the same camera and scale, with titles and counts.

    Args:
        rows: clouds, in rows of equal length.
        path: file to write; every cloud has 480 pixels.
        title: line above the picture; "" for none.

    Raises:
        InputError: ``path`` cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    path = Path(path)
    width, height = len(rows[0]) * _CELL, len(rows) * (_CELL + 56) + (56 if title else 16)
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    if title:
        figure.text(0.5, 1 - 34 / height, title, ha="center", va="center", fontsize=17, weight="bold")
    radius = float(np.mean([ball_radius(row[0].points) for row in rows]))
    pictures = iter(render([cloud for row in rows for cloud in row], _CELL, radius))
    for row_index, row in enumerate(rows):
        bottom = height - (56 if title else 16) - (row_index + 1) * (_CELL + 56)
        for column, cloud in enumerate(row):
            figure.figimage(next(pictures), column * _CELL, bottom)
            center = (column + 0.5) * _CELL / width
            above = bottom + _CELL
            figure.text(center, (above + 34) / height, cloud.title, ha="center", va="center", fontsize=15)
            counts = f"{cloud.distinct:,} points · {cloud.leaves:,} leaves"
            figure.text(center, (above + 10) / height, counts, ha="center", va="center", fontsize=11, color="0.4")
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png")

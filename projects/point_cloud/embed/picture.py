"""A picture of what a network holds to be alike: a row for every query, its nearest shapes beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from pcrq.files import atomic_write
from pcrq.stores.shape_store import Shape, ShapeStore
from projects.point_cloud.view.cloud import ball_radius, original
from projects.point_cloud.view.render import render

_CELL = 240  # pixels along each side of a cloud
_TITLE = 44  # pixels for the two lines above a cloud
_MARGIN = 16
_DPI = 100
_LETTERS = 30  # of a name that fit above a cloud
_SAME, _OTHER, _UNKNOWN = "#1a7f37", "#b5351c", "0.35"


def save_neighbours(
    path: Path, store: ShapeStore, queries: Sequence[int], found: np.ndarray, cosines: np.ndarray, *, title: str = ""
) -> None:
    """Draw queries in the first column and their neighbours in the others, as shaded points under one camera.

    Args:
        path: the PNG file to write.
        store: where the shapes are.
        queries: positions of Q shapes.
        found: (Q, K) positions of their neighbours, nearest first.
        cosines: (Q, K) their similarities.
        title: a line above the picture; none for "".

    Raises:
        InputError: the file cannot be written, or a shape cannot be read.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    rows, columns = len(queries), found.shape[1] + 1
    head = 48 if title else _MARGIN
    gap = 2 * _MARGIN  # between the queries and their neighbours
    width, height = columns * _CELL + gap + 2 * _MARGIN, rows * (_CELL + _TITLE) + head + _MARGIN
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    if title:
        figure.text(0.5, 1 - 24 / height, title, ha="center", va="center", fontsize=14, weight="bold")
    edge = _MARGIN / 2
    box = (edge / width, edge / height, (_CELL + _MARGIN) / width, (height - head - edge + 4) / height)
    figure.add_artist(Rectangle(box[:2], *box[2:], facecolor="none", edgecolor="0.75", linewidth=1.2))
    pictures = _draw(store, [index for query, row in zip(queries, found, strict=True) for index in (query, *row)])
    for row, query in enumerate(queries):
        bottom = _MARGIN + (rows - 1 - row) * (_CELL + _TITLE)
        for column, index in enumerate((query, *found[row])):
            left = _MARGIN + column * _CELL + gap * (column > 0)
            figure.figimage(pictures[int(index)], left, bottom, zorder=-1)
            lines = [short_name(store.id[index]), _second_line(store, index, cosines[row, column - 1], column == 0)]
            looks = [{"color": "0"}, {"color": _colour(store, query, index)}]
            for line, look, above in zip(lines, looks, (28, 11), strict=True):
                at = ((left + _CELL / 2) / width, (bottom + _CELL + above) / height)
                figure.text(*at, line, ha="center", va="center", fontsize=9, parse_math=False, **look)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png")


def short_name(shape_id: str) -> str:
    """What fits above a cloud: the file without folder and suffix, its middle left out where it is long."""
    name = PurePosixPath(shape_id).stem or shape_id
    half = _LETTERS // 2 - 1
    return name if len(name) <= _LETTERS else f"{name[:half]}…{name[-half:]}"


def _second_line(store: ShapeStore, index: int, cosine: float, is_query: bool) -> str:
    category = int(store.category[index])
    words = [store.classes[category]] if category >= 0 else []
    if not is_query:
        words.append(f"{cosine:.2f}")
    return " · ".join(words)


def _colour(store: ShapeStore, query: int, index: int) -> str:
    """Of a neighbour's category: green where it is the query's, red where it is another."""
    mine, theirs = store.category[query], store.category[index]
    if index == query or mine < 0 or theirs < 0:
        return _UNKNOWN
    return _SAME if mine == theirs else _OTHER


def _draw(store: ShapeStore, indices: Sequence[int]) -> dict[int, np.ndarray]:
    """The picture of every shape by its position; one that occurs more than once is drawn once."""
    different = sorted({int(index) for index in indices})
    shapes: list[Shape] = [store[index] for index in different]
    radius = float(np.median([ball_radius(shape.points) for shape in shapes]))
    return dict(zip(different, render([original(shape) for shape in shapes], _CELL, radius), strict=True))

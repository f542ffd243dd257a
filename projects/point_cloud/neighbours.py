"""Nearest neighbours of shapes by the cosine similarity of their features, and a picture of them.

Features are compared without centring or standardizing, as the kNN accuracy of pretraining does, so that the similarity
of two shapes does not depend on a third one. On 175 real meshes, centring or standardizing the features of a pretrained
network changed the agreement of categories among neighbours by at most 0.2 of 37 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from pcrq.files import atomic_write
from pcrq.stores import Shape, ShapeStore
from projects.point_cloud.view.cloud import ball_radius, original
from projects.point_cloud.view.render import render

_QUERIES = 1024  # per block: the similarities of all pairs of a large store do not fit into memory

_CELL = 240  # pixels along each side of a cloud
_TITLE = 44  # pixels for the two lines above a cloud
_MARGIN = 16
_DPI = 100
_LETTERS = 30  # of a name that fit above a cloud
_SAME, _OTHER, _UNKNOWN = "#1a7f37", "#b5351c", "0.35"


def nearest_shapes(features: np.ndarray, queries: Sequence[int], nearest: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest neighbours of some shapes among all others.

    Args:
        features: (S, D) float32, S at least 2.
        queries: indices of Q shapes.
        nearest: neighbours per query; fewer if there are not so many shapes.

    Returns:
        (Q, K) int64 indices, nearest first, and (Q, K) float32 cosines in [-1, 1].
    """
    queries, nearest = np.asarray(queries), min(nearest, len(features) - 1)
    directions = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    found, cosines = [], []
    for first in range(0, len(queries), _QUERIES):
        some = queries[first : first + _QUERIES]
        similarity = directions[some] @ directions.T
        similarity[np.arange(len(some)), some] = -np.inf
        order = np.argsort(-similarity, axis=1, kind="stable")[:, :nearest]
        found.append(order)
        cosines.append(np.take_along_axis(similarity, order, axis=1))
    return np.concatenate(found), np.concatenate(cosines).clip(-1, 1)


def spread_queries(category: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Select random shapes, one of every category before a second of any.

    Args:
        category: (S,) integers; -1 (unknown) counts as one category.
        count: number of shapes; all if there are fewer.
        seed: random seed.

    Returns:
        Indices, sorted by category.
    """
    order = np.random.default_rng(seed).permutation(len(category))
    turn, seen = np.empty(len(category), np.int64), {}
    for position, index in enumerate(order):
        seen[category[index]] = turn[position] = seen.get(category[index], -1) + 1
    chosen = order[np.argsort(turn, kind="stable")[:count]]
    return chosen[np.lexsort((chosen, category[chosen]))]


def category_agreement(features: np.ndarray, category: np.ndarray, nearest: int) -> tuple[float, float] | None:
    """Return how often the nearest neighbours of a shape have its category.

    Args:
        features: (S, D) float32.
        category: (S,) integers; shapes of unknown category, -1, are left out.
        nearest: neighbours per shape.

    Returns:
        The share of neighbours with the category of the shape, and the expected share among random shapes, both in
        [0, 1]; None if fewer than two shapes have a known category.
    """
    known = category >= 0
    features, category = features[known], category[known]
    if len(category) < 2:
        return None
    found, _ = nearest_shapes(features, np.arange(len(category)), nearest)
    sizes = np.bincount(category)
    chance = (sizes * (sizes - 1)).sum() / (len(category) * (len(category) - 1))
    return float((category[found] == category[:, None]).mean()), float(chance)


def save_neighbours(
    path: Path, store: ShapeStore, queries: Sequence[int], found: np.ndarray, cosines: np.ndarray, *, title: str = ""
) -> None:
    """Draw queries in the first column and their neighbours in the others, all with the same camera.

    Args:
        path: PNG file to write.
        store: store of the shapes.
        queries: indices of Q shapes.
        found: (Q, K) indices of their neighbours, nearest first.
        cosines: (Q, K) cosine similarities.
        title: line above the picture; "" for none.

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
    pictures = _render(store, [index for query, row in zip(queries, found, strict=True) for index in (query, *row)])
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
    """Return the file name without folder and suffix, with the middle of a long one left out."""
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
    """Return green for a neighbour with the category of the query, red for another category."""
    mine, theirs = store.category[query], store.category[index]
    if index == query or mine < 0 or theirs < 0:
        return _UNKNOWN
    return _SAME if mine == theirs else _OTHER


def _render(store: ShapeStore, indices: Sequence[int]) -> dict[int, np.ndarray]:
    """Return the picture of every shape by its index; each shape is rendered once."""
    different = sorted({int(index) for index in indices})
    shapes: list[Shape] = [store[index] for index in different]
    radius = float(np.median([ball_radius(shape.points) for shape in shapes]))
    return dict(zip(different, render([original(shape) for shape in shapes], _CELL, radius), strict=True))

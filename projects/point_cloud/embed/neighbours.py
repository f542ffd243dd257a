"""The nearest shapes of a shape, by the cosine of their features.

The features are compared as they are, as the kNN accuracy during pretraining does it (``octree/knn.py``): the
similarity of two shapes then depends on no third one. On 175 real meshes, centring or standardising the features of a
pretrained network first changed the agreement of neighbours by no more than 0.2 of 37 %.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_QUERIES = 1024  # at a time: the similarities of all pairs of a large set do not fit into memory


def nearest_shapes(features: np.ndarray, queries: Sequence[int], nearest: int) -> tuple[np.ndarray, np.ndarray]:
    """The nearest neighbours of some shapes among all of them, never a shape itself.

    Args:
        features: (S, D) float32, S at least 2.
        queries: positions of Q shapes.
        nearest: neighbours of each, fewer where there are not so many shapes.

    Returns:
        (Q, K) int64 positions, nearest first, and (Q, K) float32 cosines in [-1, 1].
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
    """Draw shapes, one of every category before a second of any.

    Args:
        category: (S,) integers; unknown ones (-1) count as one category.
        count: how many; all where there are not so many.
        seed: the draw.

    Returns:
        Positions, ordered by category.
    """
    order = np.random.default_rng(seed).permutation(len(category))
    turn, seen = np.empty(len(category), np.int64), {}
    for position, index in enumerate(order):
        seen[category[index]] = turn[position] = seen.get(category[index], -1) + 1
    chosen = order[np.argsort(turn, kind="stable")[:count]]
    return chosen[np.lexsort((chosen, category[chosen]))]


def category_agreement(features: np.ndarray, category: np.ndarray, nearest: int) -> tuple[float, float] | None:
    """How often the nearest neighbours of a shape are of its category.

    Args:
        features: (S, D) float32.
        category: (S,) integers, -1 where unknown; shapes of unknown category are left out.
        nearest: neighbours of each shape.

    Returns:
        The share of neighbours that have the category of the shape, and the share that randomly drawn shapes would
        have, both in [0, 1]; None where fewer than two shapes have a known category.
    """
    known = category >= 0
    features, category = features[known], category[known]
    if len(category) < 2:
        return None
    found, _ = nearest_shapes(features, np.arange(len(category)), nearest)
    sizes = np.bincount(category)
    chance = (sizes * (sizes - 1)).sum() / (len(category) * (len(category) - 1))
    return float((category[found] == category[:, None]).mean()), float(chance)

"""Thin out dense points: one point per occupied cell of a grid, the mean of the points in it."""

from __future__ import annotations

import numpy as np

from data_prep.point_cloud import PointCloud

# A mean of unit normals shorter than this is what is left of opposite normals, and points nowhere in particular.
_CANCELLED = 1e-4


def simplify(cloud: PointCloud, grid: int = 64) -> PointCloud:
    """Average points and normals per cell of a grid over [-1, 1]³.

    Args:
        cloud: N points in [-1, 1]³ with unit normals.
        grid: cells along each axis.

    Returns:
        One point per occupied cell, in the order of the cells (x slowest): mean of the points; mean of the normals
        at unit length, or, where they cancel out (the two sides of a sheet), the normal of the cell's first point;
        the label that most points have, the smallest of equally frequent ones.
    """
    cell = ((cloud.points + 1) * (grid / 2)).astype(np.int64).clip(0, grid - 1)
    keys = (cell[:, 0] * grid + cell[:, 1]) * grid + cell[:, 2]
    _, first, which = np.unique(keys, return_index=True, return_inverse=True)
    points = _means(cloud.points, which)
    normals = None
    if cloud.normals is not None:
        normals = _means(cloud.normals, which)
        length = np.linalg.norm(normals, axis=1)
        cancelled = length < _CANCELLED
        normals[cancelled] = cloud.normals[first[cancelled]]
        normals /= np.where(cancelled, 1, length)[:, None]
    labels = None if cloud.labels is None else _majorities(np.asarray(cloud.labels), which)
    return PointCloud(points, normals, labels)


def _means(values: np.ndarray, which: np.ndarray) -> np.ndarray:
    """(groups, 3) mean of the rows of every group."""
    sums = np.stack([np.bincount(which, column) for column in values.T], axis=1)
    return sums / np.bincount(which)[:, None]


def _majorities(labels: np.ndarray, which: np.ndarray) -> np.ndarray:
    """The most frequent label of every group."""
    pairs, votes = np.unique(np.stack([which, labels], axis=1), axis=0, return_counts=True)
    order = np.lexsort((pairs[:, 1], -votes, pairs[:, 0]))
    _, winner = np.unique(pairs[order, 0], return_index=True)
    return pairs[order[winner], 1]

"""The smallest sphere around points, by which every shape is normalized."""

from __future__ import annotations

from itertools import combinations

import numpy as np

_TOLERANCE = 1e-9  # relative; far below the float32 in which points are stored


def bounding_sphere(points: np.ndarray) -> tuple[np.ndarray, float]:
    """The smallest sphere that contains all points.

    Starts from the two ends of the widest axis. While a point lies outside, the farthest one joins the support, and
    the sphere of the support, at most five points, is solved exactly. The radius grows each time, so this terminates.

    Args:
        points: (N, 3) float, N > 0.

    Returns:
        center (3,) float64 and radius; no point is farther from the center than the radius.
    """
    points = np.asarray(points, np.float64)
    axis = np.ptp(points, axis=0).argmax()
    support = points[[points[:, axis].argmin(), points[:, axis].argmax()]]
    center, radius = support.mean(0), np.linalg.norm(support[1] - support[0]) / 2
    for _ in range(1000):  # ten are usual; the bound is for rounding alone
        distances = np.linalg.norm(points - center, axis=1)
        farthest = distances.argmax()
        if distances[farthest] <= radius * (1 + _TOLERANCE):
            break
        support, center, radius = _sphere_of_few(np.concatenate([support, points[farthest : farthest + 1]]))
    return center, float(np.linalg.norm(points - center, axis=1).max())


def _sphere_of_few(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """The smallest sphere of at most five points, and the subset of them that determines it."""
    best = None
    for count in range(2, min(4, len(points)) + 1):
        for chosen in combinations(range(len(points)), count):
            support = points[list(chosen)]
            center = _circumcenter(support)
            radius = np.linalg.norm(support - center, axis=1).max()
            reach = np.linalg.norm(points - center, axis=1).max()
            if reach <= radius * (1 + _TOLERANCE) and (best is None or radius < best[2]):
                best = support, center, radius
    if best is None:  # rounding made every candidate too small: keep all points around their middle
        center = (points.min(0) + points.max(0)) / 2
        best = points[:4], center, np.linalg.norm(points - center, axis=1).max()
    return best


def _circumcenter(points: np.ndarray) -> np.ndarray:
    """The point at equal distance from all points and in their plane, line or space."""
    edges = points[1:] - points[0]
    weights = np.linalg.lstsq(edges @ edges.T, (edges**2).sum(1) / 2, rcond=None)[0]
    return points[0] + weights @ edges

"""The smallest sphere around points, by which every shape is normalized."""

from __future__ import annotations

from functools import cache
from itertools import combinations

import numpy as np

_TOLERANCE = 1e-9  # relative; far below the float32 in which points are stored
_FEW = 1000


def bounding_sphere(points: np.ndarray) -> tuple[np.ndarray, float]:
    """The smallest sphere that contains all points.

    Starts from the two ends of the widest axis. While a point lies outside, the farthest one joins the support, and
    the sphere of the support, at most five points, is solved exactly. The radius grows each time, so this terminates.
    It is run on about a thousand points first. The sphere of all points is then hardly larger, which bounds how far its
    center can be, so that most points are inside it wherever it is and need not be looked at again.

    Args:
        points: (N, 3) float, N > 0.

    Returns:
        center (3,) float64 and radius; no point is farther from the center than the radius.
    """
    columns = np.ascontiguousarray(np.asarray(points, np.float64).T)
    widest = columns[np.ptp(columns, axis=1).argmax()]
    support = columns.T[[widest.argmin(), widest.argmax()]]
    center, radius = support.mean(0), np.linalg.norm(support[1] - support[0]) / 2
    for candidates in (columns[:, :: columns.shape[1] // _FEW + 1], columns):
        for _ in range(1000):  # ten are usual; the bound is for rounding alone
            distances = np.linalg.norm(candidates - center[:, None], axis=0)
            farthest = distances.argmax()
            reach, outside = distances[farthest], candidates[:, farthest]
            # The sphere of all points has a radius R in [radius, reach] and its center within sqrt(R² - radius²).
            shift = np.sqrt(max(reach**2 - radius**2, 0))
            candidates = candidates.take(np.flatnonzero(distances >= radius * (1 - _TOLERANCE) - shift), axis=1)
            if reach <= radius * (1 + _TOLERANCE):
                break
            support, center, radius = _sphere_of_few(np.concatenate([support, outside[None]]))
    return center, float(np.linalg.norm(columns - center[:, None], axis=0).max())


def _sphere_of_few(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """The smallest sphere of at most five points with the last on its surface, and the points that determine it."""
    subsets = _subsets(len(points))
    chosen = points[subsets]
    edges = chosen[:, 1:] - chosen[:, :1]
    # The center is in the plane, line or space of a subset, at equal distance from its points.
    offsets = np.linalg.pinv(edges, rcond=_TOLERANCE) @ ((edges**2).sum(2, keepdims=True) / 2)
    centers = chosen[:, 0] + offsets[:, :, 0]
    radii = np.linalg.norm(chosen - centers[:, None], axis=2).max(1)
    reach = np.linalg.norm(points - centers[:, None], axis=2).max(1)
    radii[reach > radii * (1 + _TOLERANCE)] = np.inf
    best = radii.argmin()
    if radii[best] < np.inf:
        return points[np.unique(subsets[best])], centers[best], radii[best]
    # Rounding made every candidate too small: keep all points around their middle.
    center = (points.min(0) + points.max(0)) / 2
    return points[:4], center, np.linalg.norm(points - center, axis=1).max()


@cache
def _subsets(count: int) -> np.ndarray:
    """(S, 4) all sets of two to four of ``count`` indices with the last among them; smaller sets repeat it."""
    last = count - 1
    others = [chosen for size in (1, 2, 3) for chosen in combinations(range(last), size)]
    return np.array([[last] * (4 - len(chosen)) + list(chosen) for chosen in others])

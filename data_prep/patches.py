"""Patches: the k-means clusters of a shape that MID-Net's point loss tells apart."""

from __future__ import annotations

from functools import cache

import numpy as np


def cluster_patches(points: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Cluster points by position, one initialisation (k-means++).

    One thread, so that neither the result nor the speed depends on how many shapes are worked on side by side.

    Args:
        points: (N, 3) coordinates.
        count: clusters, at most 256; fewer where there are fewer different points.
        seed: in [0, 2³²).

    Returns:
        (N,) uint8 patch of every point.
    """
    from sklearn.cluster import KMeans  # heavy

    points = np.ascontiguousarray(points, np.float32)
    if len(points) < 4 * count:  # only then can duplicates leave too few to go round
        count = min(count, len(np.unique(points, axis=0)))
    with _thread_pools().limit(limits=1):
        return KMeans(count, n_init=1, random_state=seed).fit_predict(points).astype(np.uint8)


@cache
def _thread_pools():
    """The numerical libraries of this process; looking for them takes longer than a clustering."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()

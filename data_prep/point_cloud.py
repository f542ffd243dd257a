"""The point cloud that scanners, samplers and point-cloud readers return and the simplifier takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PointCloud:
    """Points in the units of their source, y upward.

    Args:
        points: (N, 3) float coordinates.
        normals: (N, 3) float unit normals, or None where they are unknown.
        labels: (N,) integers, the part of every point, or None where parts are unknown.
    """

    points: np.ndarray
    normals: np.ndarray | None = None
    labels: np.ndarray | None = None

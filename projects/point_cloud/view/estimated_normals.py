"""Normals for a point cloud that has none, good enough for colours."""

from __future__ import annotations

import numpy as np

NEIGHBOURS = 20


def estimate_normals(points: np.ndarray) -> np.ndarray:
    """Fit a plane to the neighbours of every point.

    Args:
        points: (N, 3) finite coordinates.

    Returns:
        (N, 3) float64 unit normals that look away from the middle of the cloud.
    """
    import open3d  # heavy

    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
    cloud.estimate_normals(open3d.geometry.KDTreeSearchParamKNN(NEIGHBOURS))
    cloud.orient_normals_towards_camera_location(points.mean(axis=0))
    return -np.asarray(cloud.normals)

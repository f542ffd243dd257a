"""Points on the surface of a mesh, as the scanner and the sampler return them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data_prep.mesh import Mesh
from data_prep.point_cloud import PointCloud


@dataclass(frozen=True)
class SurfacePoints:
    """Points that know their triangle.

    Args:
        points: (N, 3) float64 coordinates in the units of the mesh.
        normals: (N, 3) float64 unit normals.
        triangles: (N,) int64 index of the face of the mesh that each point lies on.
    """

    points: np.ndarray
    normals: np.ndarray
    triangles: np.ndarray

    def as_cloud(self, mesh: Mesh) -> PointCloud:
        """The points with the part of their face, where ``mesh`` knows parts."""
        labels = None if mesh.face_labels is None else mesh.face_labels[self.triangles]
        return PointCloud(self.points, self.normals, labels)

"""Points drawn evenly over the surface of a mesh: the quick alternative to the scanner.

Unlike a scan it includes what is hidden inside, and normals keep the side that the winding of their face gives.
"""

from __future__ import annotations

import numpy as np

from data_prep.mesh import Mesh
from data_prep.mesh_cleaning import face_normals
from data_prep.surface_points import SurfacePoints


def sample(mesh: Mesh, count: int, seed: int) -> SurfacePoints:
    """Draw points uniformly by area.

    Args:
        mesh: a cleaned mesh.
        count: how many points.
        seed: the same seed draws the same points.

    Returns:
        ``count`` points.

    Source: Osada et al., "Shape Distributions", 2002, section 4.2 (uniform points in a triangle).
    """
    random = np.random.default_rng(seed)
    normals = face_normals(mesh.vertices, mesh.faces)
    doubled_areas = np.linalg.norm(normals, axis=1)
    up_to = np.cumsum(doubled_areas)
    triangles = np.searchsorted(up_to, random.random(count) * up_to[-1], side="right")
    triangles = np.minimum(triangles, len(mesh.faces) - 1)
    away, along = np.sqrt(random.random((count, 1))), random.random((count, 1))
    first, second, third = (mesh.vertices[mesh.faces[triangles, corner]] for corner in range(3))
    points = (1 - away) * first + away * (1 - along) * second + away * along * third
    return SurfacePoints(points, normals[triangles] / doubled_areas[triangles, None], triangles)

"""The virtual scanner of MID-Net and O-CNN: parallel rays from 14 directions, first hits kept.

Seen from the six faces and eight corners of a cube, a shape shows its outside only, with normals turned to the
viewer; so triangles may be wound either way and what is hidden inside stays out. Open3D casts the rays (Embree).
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product

import numpy as np

from data_prep.bounding_sphere import bounding_sphere
from data_prep.mesh import Mesh
from data_prep.mesh_cleaning import face_normals
from data_prep.surface_points import SurfacePoints

_FACES = [direction for direction in product((-1, 0, 1), repeat=3) if np.abs(direction).sum() == 1]
_CORNERS = list(product((-1, 1), repeat=3))
DIRECTIONS = np.stack([direction / np.linalg.norm(direction) for direction in _FACES + _CORNERS])
"""(14, 3) unit vectors from the shape to the viewer."""


def scan(mesh: Mesh, resolution: int = 128) -> SurfacePoints:
    """Scan the visible surface of a mesh.

    Every view is a square that just holds the bounding sphere of the mesh, with a ray through the middle of each
    of its resolution × resolution cells. Runs on one thread and gives the same result every time.

    Args:
        mesh: a cleaned mesh.
        resolution: rays along each side of a view.

    Returns:
        The hits of all views, view after view; normals are face normals turned against the ray. Empty where every
        ray missed, as it can for a shape thinner than the distance of two rays from wherever it is seen.
    """
    import open3d  # heavy

    center, radius = bounding_sphere(mesh.vertices)
    vertices = (mesh.vertices - center) / radius  # so that Embree's float32 is precise for any unit of the source
    scene = open3d.t.geometry.RaycastingScene(nthreads=1)
    scene.add_triangles(vertices.astype(np.float32), mesh.faces.astype(np.uint32))
    rays = _rays(resolution)
    hits = scene.cast_rays(open3d.core.Tensor.from_numpy(rays), nthreads=1)
    depth = hits["t_hit"].numpy()
    hit = np.flatnonzero(np.isfinite(depth))
    triangles = hits["primitive_ids"].numpy()[hit].astype(np.int64)
    start, direction = rays[hit, :3].astype(np.float64), rays[hit, 3:].astype(np.float64)

    normals = face_normals(vertices, mesh.faces)[triangles]
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    normals[(normals * direction).sum(1) > 0] *= -1
    points = (start + depth[hit, None] * direction) * radius + center
    return SurfacePoints(points, normals, triangles)


@lru_cache(maxsize=1)
def _rays(resolution: int) -> np.ndarray:
    """(14 · resolution², 6) float32 rays, origin and direction, towards the unit ball from outside it."""
    steps = (np.arange(resolution) + 0.5) / resolution * 2 - 1
    across, upward = (grid.reshape(-1, 1) for grid in np.meshgrid(steps, steps))
    views = []
    for viewer in DIRECTIONS:
        beside = np.eye(3)[np.abs(viewer).argmin()]  # any axis that is not along the view
        right = np.cross(beside, viewer)
        right /= np.linalg.norm(right)
        origins = 2 * viewer + across * right + upward * np.cross(viewer, right)
        views.append(np.concatenate([origins, np.broadcast_to(-viewer, origins.shape)], axis=1))
    return np.concatenate(views).astype(np.float32)

"""Sampling the surface of a mesh: the virtual scanner of O-CNN and MID-Net, or points distributed evenly by area.

The scanner casts parallel rays from the six faces and eight corners of a cube and keeps the first hits. It sees only
the outside of a shape, with normals towards the viewer, so triangles may be wound either way and hidden interiors are
excluded. Open3D casts the rays (Embree). Even sampling is faster, but includes interiors, and its normals depend on the
winding of the faces.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np

from data_prep.bounding_sphere import bounding_sphere
from data_prep.mesh import Mesh, face_normals
from data_prep.point_cloud import PointCloud

_FACES = [direction for direction in product((-1, 0, 1), repeat=3) if np.abs(direction).sum() == 1]
_CORNERS = list(product((-1, 1), repeat=3))
DIRECTIONS = np.stack([direction / np.linalg.norm(direction) for direction in _FACES + _CORNERS])
"""(14, 3) unit vectors from the shape to the viewer."""


@dataclass(frozen=True)
class SurfacePoints:
    """Points on the surface of a mesh.

    Args:
        points: (N, 3) float64 coordinates in the units of the mesh.
        normals: (N, 3) float64 unit normals.
        triangles: (N,) int64 index of the face of every point.
    """

    points: np.ndarray
    normals: np.ndarray
    triangles: np.ndarray

    def as_cloud(self, mesh: Mesh) -> PointCloud:
        """The points with the part of their face as label, if ``mesh`` has face labels."""
        labels = None if mesh.face_labels is None else mesh.face_labels[self.triangles]
        return PointCloud(self.points, self.normals, labels)


def scan(mesh: Mesh, resolution: int = 128) -> SurfacePoints:
    """Scan the visible surface of a mesh.

    Every view is a square around the bounding sphere of the mesh, with a ray through the center of each of its
    resolution × resolution cells. Uses one thread and is deterministic.

    Args:
        mesh: a cleaned mesh.
        resolution: rays along each side of a view.

    Returns:
        The hits of all 14 views, one view after another; normals are face normals turned against the ray. Empty if
        every ray missed, which happens if the shape is thinner than the distance between rays from all directions.
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


def sample(mesh: Mesh, count: int, seed: int) -> SurfacePoints:
    """Sample points uniformly by area.

    Args:
        mesh: a cleaned mesh.
        count: number of points.
        seed: random seed.

    Returns:
        ``count`` points.

    Source: Osada et al., "Shape Distributions", 2002, section 4.2 (uniform points in a triangle).
    """
    random = np.random.default_rng(seed)
    normals = face_normals(mesh.vertices, mesh.faces)
    doubled_areas = np.linalg.norm(normals, axis=1)
    cumulative = np.cumsum(doubled_areas)
    triangles = np.searchsorted(cumulative, random.random(count) * cumulative[-1], side="right")
    triangles = np.minimum(triangles, len(mesh.faces) - 1)
    away, along = np.sqrt(random.random((count, 1))), random.random((count, 1))
    first, second, third = (mesh.vertices[mesh.faces[triangles, corner]] for corner in range(3))
    points = (1 - away) * first + away * (1 - along) * second + away * along * third
    return SurfacePoints(points, normals[triangles] / doubled_areas[triangles, None], triangles)


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

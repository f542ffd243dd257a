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
_ROUNDING = 1e-3  # of the distance between two rays


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
    outward = face_normals(vertices, mesh.faces)
    outward = (outward / np.linalg.norm(outward, axis=1, keepdims=True)).T.copy()
    scene = open3d.t.geometry.RaycastingScene(nthreads=1)
    scene.add_triangles(vertices.astype(np.float32), mesh.faces.astype(np.uint32))
    views = []
    for view in _views(resolution):
        rays = view.rays_towards(vertices)
        hits = scene.cast_rays(open3d.core.Tensor.from_numpy(rays), nthreads=1)
        depth = hits["t_hit"].numpy()
        hit = np.flatnonzero(np.isfinite(depth))
        triangles = hits["primitive_ids"].numpy()[hit].astype(np.int64)
        start, direction = rays.take(hit, axis=0)[:, :3].T, rays[0, 3:].astype(np.float64)
        points = depth[hit] * direction[:, None]
        points += start
        normals = outward.take(triangles, axis=1)
        normals *= np.where(direction @ normals > 0, -1, 1)
        views.append((points, normals, triangles))
    points, normals, triangles = (np.concatenate(arrays, axis=-1) for arrays in zip(*views, strict=True))
    points *= radius
    points += center[:, None]
    return SurfacePoints(points.T, normals.T, triangles)


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


@dataclass(frozen=True)
class _View:
    """Parallel rays through the cells of a square around the unit ball.

    Args:
        rays: (resolution, resolution, 6) float32 origin and direction; rows are upward, columns to the right.
        right, upward: (3,) float64 unit vectors of the square.
    """

    rays: np.ndarray
    right: np.ndarray
    upward: np.ndarray

    def rays_towards(self, vertices: np.ndarray) -> np.ndarray:
        """(R, 6) the rays through the bounding rectangle of the vertices: no other ray hits their mesh."""
        cells = len(self.rays)
        window = []
        for axis in (self.upward, self.right):
            along = (vertices @ axis + 1) * (cells / 2) - 0.5  # in the numbers of the rays, 0 the first
            first, last = np.ceil(along.min() - _ROUNDING), np.floor(along.max() + _ROUNDING)
            first = min(max(0, int(first)), cells - 1)
            window.append(slice(first, max(first, int(last)) + 1))  # never empty
        return self.rays[tuple(window)].reshape(-1, 6)


@lru_cache(maxsize=1)
def _views(resolution: int) -> list[_View]:
    """The views from all directions, from outside the unit ball."""
    steps = (np.arange(resolution) + 0.5) / resolution * 2 - 1
    across, high = (grid[..., None] for grid in np.meshgrid(steps, steps))
    views = []
    for viewer in DIRECTIONS:
        beside = np.eye(3)[np.abs(viewer).argmin()]  # any axis that is not along the view
        right = np.cross(beside, viewer)
        right /= np.linalg.norm(right)
        upward = np.cross(viewer, right)
        origins = 2 * viewer + across * right + high * upward
        rays = np.concatenate([origins, np.broadcast_to(-viewer, origins.shape)], axis=-1)
        views.append(_View(rays.astype(np.float32), right, upward))
    return views

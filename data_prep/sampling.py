"""Sampling the surface of a mesh: the virtual scanner of O-CNN and MID-Net, or points distributed evenly by area.

The scanner casts parallel rays from the six faces and eight corners of a cube and keeps the first hits. It sees only
the outside of a shape, with normals towards the viewer, so triangles may be wound either way and hidden interiors are
excluded. Open3D casts the rays (Embree). Even sampling is faster, but includes interiors, and its normals depend on the
winding of the faces.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import NamedTuple

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
    outward = (outward / np.linalg.norm(outward, axis=1, keepdims=True).clip(min=np.finfo(np.float64).tiny)).T.copy()
    scene = open3d.t.geometry.RaycastingScene(nthreads=1)
    scene.add_triangles(vertices.astype(np.float32), mesh.faces.astype(np.uint32))
    views, hits = _views(resolution), []
    for view in views:
        opposite = hits[view.opposite][0] if view.opposite < len(hits) else None
        cells = _window(view, vertices) if opposite is None else _mirrored(opposite, resolution)
        rays = view.rays.take(cells, axis=0)
        cast = scene.cast_rays(open3d.core.Tensor.from_numpy(rays), nthreads=1)
        depth = cast["t_hit"].numpy()
        hit = np.flatnonzero(np.isfinite(depth))
        hits.append((cells[hit], rays.take(hit, axis=0)[:, :3].T, depth[hit], cast["primitive_ids"].numpy()[hit]))

    triangles = np.concatenate([found for *_, found in hits]).astype(np.int64)
    normals = outward.take(triangles, axis=1)
    points, stop = np.empty_like(normals), 0
    for view, (_, start, depth, _) in zip(views, hits, strict=True):
        part = np.s_[:, stop : (stop := stop + len(depth))]
        direction = view.rays[0, 3:, None].astype(np.float64)
        points[part] = start + depth * direction
        normals[part] *= np.where((direction * normals[part]).sum(0) > 0, -1, 1)
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


class _View(NamedTuple):
    """Parallel rays through the cells of a square around the unit ball.

    Args:
        rays: (resolution², 6) float32 origin and direction, row by row.
        right, upward: (3,) float64 unit vectors, along the rows and across them.
        opposite: index of the view from the other side, whose rows are along the same lines in reverse order.
    """

    rays: np.ndarray
    right: np.ndarray
    upward: np.ndarray
    opposite: int


@lru_cache(maxsize=1)
def _views(resolution: int) -> list[_View]:
    """The views from all directions, from outside the unit ball."""
    steps = (np.arange(resolution) + 0.5) / resolution * 2 - 1
    across, high = (grid.reshape(-1, 1) for grid in np.meshgrid(steps, steps))
    views = []
    for viewer in DIRECTIONS:
        beside = np.eye(3)[np.abs(viewer).argmin()]  # any axis that is not along the view
        right = np.cross(beside, viewer)
        right /= np.linalg.norm(right)
        upward = np.cross(viewer, right)
        origins = 2 * viewer + across * right + high * upward
        rays = np.concatenate([origins, np.broadcast_to(-viewer, origins.shape)], axis=1)
        views.append(_View(rays.astype(np.float32), right, upward, int((DIRECTIONS @ viewer).argmin())))
    return views


def _window(view: _View, vertices: np.ndarray) -> np.ndarray:
    """The rays through the bounding rectangle of the vertices, at least one; no other ray hits their mesh."""
    resolution, sides = math.isqrt(len(view.rays)), []
    for axis in (view.upward, view.right):
        along = (vertices @ axis + 1) * (resolution / 2) - 0.5  # in cells from the first ray
        first = min(max(math.ceil(along.min() - _ROUNDING), 0), resolution - 1)
        last = min(max(math.floor(along.max() + _ROUNDING), first), resolution - 1)
        sides.append(np.arange(first, last + 1))
    return (sides[0][:, None] * resolution + sides[1]).ravel()


def _mirrored(rays: np.ndarray, resolution: int) -> np.ndarray:
    """The rays of the opposite view along the same lines: those that hit from one side hit from the other."""
    hits = np.zeros((resolution, resolution), bool)
    hits.flat[rays] = True
    return np.flatnonzero(hits[:, ::-1])

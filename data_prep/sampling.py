"""Sampling the surface of a mesh: the virtual scanner of O-CNN and MID-Net, or points distributed evenly by area.

The scanner casts parallel rays from the six faces and eight corners of a cube and keeps the first hits. It sees only
the outside of a shape, with normals towards the viewer, so triangles may be wound either way and hidden interiors are
excluded. A compiled rasterizer finds the hits of two opposite views at once (``rasterizer.cpp``); where it was not
compiled, Open3D casts the rays, with equal hits and points within float32 rounding, in several times the time. Even
sampling includes interiors, and its normals depend on the winding of the faces.
"""

from __future__ import annotations

import ctypes
import importlib.machinery
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
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
    center, radius = bounding_sphere(mesh.vertices)
    vertices = (mesh.vertices - center) / radius  # so that float32 is precise for any unit of the source
    outward = face_normals(vertices, mesh.faces)
    length = np.linalg.norm(outward, axis=1, keepdims=True).clip(min=np.finfo(np.float64).tiny)
    outward = (outward / length).T.copy()
    first_hits = _cast if _rasterizer is None else _rasterize
    hits = first_hits(vertices, mesh.faces, resolution)

    triangles = np.concatenate([found for *_, found in hits]).astype(np.int64)
    normals = outward.take(triangles, axis=1)
    points, stop = np.empty_like(normals), 0
    for view, (cells, depth, _) in zip(VIEWS, hits, strict=True):
        part = np.s_[:, stop : (stop := stop + len(depth))]
        high, across = ((cell * 2 + 1) / resolution - 1 for cell in divmod(cells, resolution))
        points[part] = view.right[:, None] * across + view.upward[:, None] * high + view.viewer[:, None] * depth
        normals[part] *= np.where(view.viewer @ normals[part] < 0, -1, 1)
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


class View(NamedTuple):
    """A square around the unit ball, seen along parallel rays through the centers of its cells.

    Args:
        viewer: (3,) unit vector from the shape to the viewer.
        right, upward: (3,) unit vectors along the rows of cells and across them.
        opposite: index of the view from the other side, whose rows are along the same lines in reverse order.
    """

    viewer: np.ndarray
    right: np.ndarray
    upward: np.ndarray
    opposite: int


def _view(viewer: np.ndarray) -> View:
    beside = np.eye(3)[np.abs(viewer).argmin()]  # any axis that is not along the view
    right = np.cross(beside, viewer)
    right /= np.linalg.norm(right)
    return View(viewer, right, np.cross(viewer, right), int((DIRECTIONS @ viewer).argmin()))


VIEWS = [_view(viewer) for viewer in DIRECTIONS]
Hits = list[tuple[np.ndarray, np.ndarray, np.ndarray]]
"""For each view the cells whose ray hits, in ascending order, the height of the hit above the center, and its face."""


def _rasterize(vertices: np.ndarray, faces: np.ndarray, resolution: int) -> Hits:
    """First hits by the compiled rasterizer, which draws the triangles for two opposite views at once."""
    faces = np.ascontiguousarray(faces, np.int64)
    depths, found = np.empty((2, resolution, resolution)), np.empty((2, resolution, resolution), np.int32)
    hits: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
    for number, view in enumerate(VIEWS):
        if number in hits:
            continue
        cells = [(vertices @ axis + 1) * (resolution / 2) - 0.5 for axis in (view.right, view.upward)]
        corners = np.stack([*cells, vertices @ view.viewer], axis=1)
        arrays = (depths[0], found[0], depths[1], found[1], corners, faces)
        pointers = [ctypes.c_void_p(array.ctypes.data) for array in arrays]
        _rasterizer(*pointers, ctypes.c_int64(len(faces)), ctypes.c_int64(resolution))
        for seen_by, depth, face in (
            (number, depths[0], found[0]),
            (view.opposite, -depths[1, :, ::-1], found[1, :, ::-1]),
        ):
            hit = np.flatnonzero(face >= 0)
            hits[seen_by] = hit, depth.ravel().take(hit), face.ravel().take(hit)
    return [hits[number] for number in range(len(VIEWS))]


def _cast(vertices: np.ndarray, faces: np.ndarray, resolution: int) -> Hits:
    """First hits by Open3D's ray casting."""
    import open3d  # heavy

    scene = open3d.t.geometry.RaycastingScene(nthreads=1)
    scene.add_triangles(vertices.astype(np.float32), faces.astype(np.uint32))
    hits: Hits = []
    for view in VIEWS:
        opposite = hits[view.opposite][0] if view.opposite < len(hits) else None
        cells = _window(view, vertices, resolution) if opposite is None else _mirrored(opposite, resolution)
        high, across = ((cell * 2 + 1) / resolution - 1 for cell in divmod(cells[:, None], resolution))
        rays = np.empty((len(cells), 6), np.float32)
        rays[:, :3] = 2 * view.viewer + across * view.right + high * view.upward
        rays[:, 3:] = -view.viewer
        cast = scene.cast_rays(open3d.core.Tensor.from_numpy(rays), nthreads=1)
        depth = cast["t_hit"].numpy()
        hit = np.flatnonzero(np.isfinite(depth))
        hits.append((cells[hit], 2 - depth[hit].astype(np.float64), cast["primitive_ids"].numpy()[hit]))
    return hits


def _window(view: View, vertices: np.ndarray, resolution: int) -> np.ndarray:
    """The cells in the bounding rectangle of the vertices, at least one; no ray of another one hits their mesh."""
    sides = []
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


def _load_rasterizer() -> Callable[..., None] | None:
    """The function of ``rasterizer.cpp``, or None where it was not compiled."""
    names = [f"_rasterizer{suffix}" for suffix in importlib.machinery.EXTENSION_SUFFIXES]
    path = next((path for path in map(Path(__file__).with_name, names) if path.exists()), None)
    try:
        return None if path is None else ctypes.CDLL(str(path)).pcrq_rasterize_1
    except (OSError, AttributeError):  # of another system, or of another version of this package
        return None


_rasterizer = _load_rasterizer()

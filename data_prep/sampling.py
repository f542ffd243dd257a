"""Sampling the surface of a mesh: the virtual scanner of O-CNN and MID-Net, or points distributed evenly by area.

The scanner casts parallel rays from the six faces and eight corners of the bounding box and keeps the first hits. It
sees only the outside of a shape, with normals towards the viewer, so triangles may be wound either way and hidden
interiors are excluded. A compiled rasterizer finds the hits, of two opposite faces at once (``rasterizer.cpp``); where
it was not compiled, Open3D casts the rays, with equal hits and points within float32 rounding, in several times the
time. Even sampling includes interiors, and its normals depend on the winding of the faces.
"""

from __future__ import annotations

import ctypes
import importlib.machinery
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_prep.mesh import TO_Y_UP, Mesh, face_normals
from data_prep.point_cloud import PointCloud

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


def scan(mesh: Mesh, resolution: int = 255) -> SurfacePoints:
    """Scan the visible surface of a mesh.

    Every view is a square around the center of the bounding box, as wide as its longest side, with a ray through the
    center of each of its resolution × resolution cells. The box is seen along its axes and along its own diagonals;
    where it extends beyond the square of a diagonal view, it is not seen from there. Uses one thread and is
    deterministic.

    Args:
        mesh: a cleaned mesh.
        resolution: rays along each side of a view.

    Returns:
        The hits of all 14 views, one view after another; normals are face normals turned against the ray. Empty if
        every ray missed, which happens if the shape is thinner than the distance between rays from all directions.

    Source: the virtual scanner of O-CNN (Wang et al., SIGGRAPH 2017), whose rays are the same.
    """
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    center, half = (low + high) / 2, (high - low).max() / 2
    vertices = (mesh.vertices - center) / half  # so that float32 is precise for any unit of the source
    outward = face_normals(vertices, mesh.faces)
    length = np.linalg.norm(outward, axis=1, keepdims=True).clip(min=np.finfo(np.float64).tiny)
    outward = (outward / length).T.copy()
    views = _views((high - low) / half, TO_Y_UP[mesh.up])
    hits = list((_cast if _rasterizer is None else _rasterize)(views, vertices, mesh.faces, resolution))

    triangles = np.concatenate([hit.faces for hit in hits]).astype(np.int64)
    normals = outward.take(triangles, axis=1)
    points, stop = np.empty_like(normals), 0
    for view, viewer, cells, depth, _ in hits:
        part = np.s_[:, stop : (stop := stop + len(depth))]
        row, column = ((cell * 2 + 1) / resolution - 1 for cell in divmod(cells, resolution))
        points[part] = view.right[:, None] * column + view.upward[:, None] * row + view.toward[:, None] * depth
        normals[part] *= np.where(viewer @ normals[part] < 0, -1, 1)
    points *= half
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
    """Parallel lines through the centers of the cells of a square around [-1, 1]³.

    Args:
        toward: (3,) unit vector along the lines, to the viewer.
        right, upward: (3,) unit vectors along the rows of cells and across them.
        both: whether the shape is also scanned from the other end of the lines.
    """

    toward: np.ndarray
    right: np.ndarray
    upward: np.ndarray
    both: bool


class _Hits(NamedTuple):
    """First hits along the lines of a view, from one of their ends.

    Args:
        view: the lines.
        viewer: (3,) unit vector to the viewer: ``view.toward`` or its opposite.
        cells: (N,) cells whose line hits the mesh, in ascending order.
        depth: (N,) coordinate of the hits along ``view.toward``.
        faces: (N,) face of every hit.
    """

    view: _View
    viewer: np.ndarray
    cells: np.ndarray
    depth: np.ndarray
    faces: np.ndarray


def _views(extent: np.ndarray, axes: tuple[int, int, int]) -> list[_View]:
    """Three views along the axes, each from both ends, and eight along the diagonals of a box.

    The lines of two opposite diagonal views differ, because O-CNN turns the square of the z axis towards each viewer.

    Args:
        extent: (3,) sides of the box.
        axes: axis of the source, in which O-CNN scans, of each axis of the mesh.
    """
    order = list(axes)
    sides = np.empty(3)
    sides[order] = extent
    corners = np.array(list(product((1, -1), repeat=3))) * (sides / np.linalg.norm(sides))
    views = []
    for toward in [*np.eye(3), *corners]:
        x, y, z = toward
        across = math.hypot(x, y)
        x, y = (x / across, y / across) if across else (0.0, 0.0)
        right = np.array([1 - x * x * (1 - z), -x * y * (1 - z), -toward[0]])  # the x axis turned as z to the viewer
        upward = np.array([-x * y * (1 - z), 1 - y * y * (1 - z), -toward[1]])
        views.append(_View(toward[order], right[order], upward[order], both=len(views) < 3))
    return views


def _rasterize(views: list[_View], vertices: np.ndarray, faces: np.ndarray, resolution: int) -> Iterator[_Hits]:
    """First hits by the compiled rasterizer, which draws the triangles for both ends of the lines at once."""
    faces = np.ascontiguousarray(faces, np.int64)
    depths, found = np.empty((2, resolution**2)), np.empty((2, resolution**2), np.int32)
    for view in views:
        columns, rows = ((vertices @ axis + 1) * (resolution / 2) - 0.5 for axis in (view.right, view.upward))
        corners = np.stack([columns, rows, vertices @ view.toward], axis=1)
        arrays = (depths[0], found[0], depths[1], found[1], corners, faces)
        pointers = [ctypes.c_void_p(array.ctypes.data) for array in arrays]
        _rasterizer(*pointers, ctypes.c_int64(len(faces)), ctypes.c_int64(resolution))
        cells = np.flatnonzero(found[0] >= 0)
        for end, viewer in enumerate((view.toward, -view.toward)[: 1 + view.both]):
            yield _Hits(view, viewer, cells, depths[end].take(cells), found[end].take(cells))


def _cast(views: list[_View], vertices: np.ndarray, faces: np.ndarray, resolution: int) -> Iterator[_Hits]:
    """First hits by Open3D's ray casting."""
    import open3d  # heavy

    scene = open3d.t.geometry.RaycastingScene(nthreads=1)
    scene.add_triangles(vertices.astype(np.float32), faces.astype(np.uint32))
    for view in views:
        cells = _window(view, vertices, resolution)
        for viewer in (view.toward, -view.toward)[: 1 + view.both]:
            row, column = ((cell * 2 + 1) / resolution - 1 for cell in divmod(cells[:, None], resolution))
            rays = np.empty((len(cells), 6), np.float32)
            rays[:, :3] = 2 * viewer + column * view.right + row * view.upward  # no vertex is farther than √3
            rays[:, 3:] = -viewer
            cast = scene.cast_rays(open3d.core.Tensor.from_numpy(rays), nthreads=1)
            height = 2 - cast["t_hit"].numpy().astype(np.float64)
            hit = np.flatnonzero(np.isfinite(height))
            cells = cells[hit]  # a line that hits from one end hits from the other
            depth = height[hit] if viewer is view.toward else -height[hit]
            yield _Hits(view, viewer, cells, depth, cast["primitive_ids"].numpy()[hit])


def _window(view: _View, vertices: np.ndarray, resolution: int) -> np.ndarray:
    """The cells in the bounding rectangle of the vertices, at least one; no ray of another one hits their mesh."""
    sides = []
    for axis in (view.upward, view.right):
        along = (vertices @ axis + 1) * (resolution / 2) - 0.5  # in cells from the first ray
        first = min(max(math.ceil(along.min() - _ROUNDING), 0), resolution - 1)
        last = min(max(math.floor(along.max() + _ROUNDING), first), resolution - 1)
        sides.append(np.arange(first, last + 1))
    return (sides[0][:, None] * resolution + sides[1]).ravel()


def _load_rasterizer() -> Callable[..., None] | None:
    """The function of ``rasterizer.cpp``, or None where it was not compiled."""
    names = [f"_rasterizer{suffix}" for suffix in importlib.machinery.EXTENSION_SUFFIXES]
    path = next((path for path in map(Path(__file__).with_name, names) if path.exists()), None)
    try:
        return None if path is None else ctypes.CDLL(str(path)).pcrq_rasterize_1
    except (OSError, AttributeError):  # of another system, or of another version of this package
        return None


_rasterizer = _load_rasterizer()

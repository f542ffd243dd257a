"""Closed solids from which the built-in shapes are put together; y is up, lengths are in metres.

Nearly everything is a *loft*: a row of rings with equally many points, joined ring to ring and capped at both ends.
Tubes, surfaces of revolution, wings and extruded outlines are lofts with different rings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_AXES = {"x": 0, "y": 1, "z": 2}


@dataclass(frozen=True)
class Solid:
    """A closed triangle mesh whose faces wind counter-clockwise seen from outside.

    Args:
        vertices: (V, 3) float64 coordinates.
        faces: (F, 3) int64 indices into ``vertices``.
    """

    vertices: np.ndarray
    faces: np.ndarray

    def at(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Solid:
        """The solid moved by (x, y, z)."""
        return Solid(self.vertices + np.array((x, y, z)), self.faces)

    def turned(self, axis: str, degrees: float) -> Solid:
        """The solid turned about the x, y or z axis through the origin, counter-clockwise seen from its tip."""
        first, second = (_AXES[axis] + 1) % 3, (_AXES[axis] + 2) % 3
        cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
        vertices = self.vertices.copy()
        vertices[:, first] = cos * self.vertices[:, first] - sin * self.vertices[:, second]
        vertices[:, second] = sin * self.vertices[:, first] + cos * self.vertices[:, second]
        return Solid(vertices, self.faces)

    def scaled(self, x: float = 1.0, y: float = 1.0, z: float = 1.0) -> Solid:
        """The solid stretched along the axes; a negative factor mirrors it."""
        faces = self.faces[:, ::-1] if x * y * z < 0 else self.faces
        return Solid(self.vertices * np.array((x, y, z)), faces)


Part = tuple[str, Solid]
"""A solid and the name of the part that it belongs to; a shape is made of these."""


def loft(rings: np.ndarray, *, closed: bool = False, tips: tuple = (None, None)) -> Solid:
    """Join rings of points to a closed surface.

    Args:
        rings: (K, M, 3), K ≥ 2 rings of M ≥ 3 points each, in matching order.
        closed: whether the last ring joins the first one; otherwise both ends are capped.
        tips: the apex of either cap, (3,) each; None for the centre of the end ring.

    Returns:
        The solid. A ring that caps an end must be visible as a whole from its apex (convex is enough).
    """
    rings = np.asarray(rings, np.float64)
    count, points = rings.shape[:2]
    here = np.arange(count * points).reshape(count, points)
    if closed:
        here = np.concatenate([here, here[:1]])
    a, b = here[:-1], np.roll(here[:-1], -1, axis=1)
    c, d = here[1:], np.roll(here[1:], -1, axis=1)
    faces = [np.stack([a, b, d], -1).reshape(-1, 3), np.stack([a, d, c], -1).reshape(-1, 3)]
    vertices = rings.reshape(-1, 3)
    if not closed:
        apexes = [ring.mean(0) if tip is None else tip for ring, tip in zip(rings[[0, -1]], tips, strict=True)]
        vertices = np.concatenate([vertices, apexes])
        first, last = count * points, count * points + 1
        faces.append(np.stack([b[0], a[0], np.full(points, first)], -1))
        faces.append(np.stack([c[-1], d[-1], np.full(points, last)], -1))
    return _outward(vertices, np.concatenate(faces))


def _outward(vertices: np.ndarray, faces: np.ndarray) -> Solid:
    """Turn all faces around when the enclosed volume comes out negative."""
    corners = (vertices - vertices[0])[faces]
    x, y, z = corners[:, 0].T, corners[:, 1].T, corners[:, 2].T
    volume = (x[0] * (y[1] * z[2] - y[2] * z[1]) - x[1] * (y[0] * z[2] - y[2] * z[0])).sum()
    volume += (x[2] * (y[0] * z[1] - y[1] * z[0])).sum()
    return Solid(vertices, faces[:, ::-1] if volume < 0 else faces)


def circle(points: int) -> np.ndarray:
    """(points, 2) corners of a regular polygon around the unit circle, with two sides parallel to the axes."""
    angle = 2 * np.pi * (np.arange(points) + 0.5) / points
    return np.stack([np.cos(angle), np.sin(angle)], 1) / np.cos(np.pi / points)


def box(width: float, height: float, depth: float) -> Solid:
    """A box that stands centred on the origin, with its extents along x, y and z."""
    corners = np.array([(x, y, z) for x in (-0.5, 0.5) for y in (0, 1) for z in (-0.5, 0.5)])
    quads = np.array(
        [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)], dtype=np.int64
    )
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    return Solid(corners * (width, height, depth), faces)


def rounded_box(width: float, height: float, depth: float, radius: float) -> Solid:
    """A box with spherical edges that stands centred on the origin; ``radius`` is cut to the smallest half."""
    half = np.array((width, height, depth)) / 2
    radius = min(radius, 0.98 * half.min())
    steps = np.array((-1.0, -1.0, -1.0, 1.0, 1.0, 1.0))[:, None] * half
    steps += np.array((0, 0.5, 1, -1, -0.5, 0))[:, None] * radius
    vertices, faces = [], []
    grid = np.arange(36).reshape(6, 6)
    a, b, c, d = (g.ravel() for g in (grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]))
    patch = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        for side in (-1, 1):
            points = np.empty((6, 6, 3))
            points[..., axis] = side * half[axis]
            points[..., u] = steps[:, u][:, None]
            points[..., v] = steps[:, v][None, :]
            faces.append((patch if side > 0 else patch[:, ::-1]) + 36 * len(vertices))
            vertices.append(points.reshape(-1, 3))
    vertices = np.concatenate(vertices)
    core = vertices.clip(radius - half, half - radius)
    outside = vertices - core
    vertices = core + radius * outside / np.linalg.norm(outside, axis=1, keepdims=True)
    return Solid(vertices + (0, height / 2, 0), np.concatenate(faces))


def lathe(profile, segments: int = 24) -> Solid:
    """Turn a profile about the y axis.

    Args:
        profile: (K, 2) radius and height from one end to the other; an end with radius 0 becomes a tip, any other end
            a flat cap. A hollow vessel goes up its outer wall and down its inner one.
        segments: corners around.
    """
    profile = np.asarray(profile, np.float64)
    tips = [(0.0, profile[0, 1], 0.0), (0.0, profile[-1, 1], 0.0)]
    walls = profile[profile[:, 0] > 0]
    around = circle(segments)
    rings = np.empty((len(walls), segments, 3))
    rings[..., [0, 2]] = walls[:, None, :1] * around
    rings[..., 1] = walls[:, None, 1]
    return loft(rings, tips=tips)


def cylinder(radius: float, height: float, top: float | None = None, segments: int = 24) -> Solid:
    """An upright cylinder on the origin, or a truncated cone with the radius ``top`` above."""
    return lathe([(radius, 0), (radius if top is None else top, height)], segments)


def ellipsoid(x: float, y: float, z: float, segments: int = 16) -> Solid:
    """An ellipsoid centred on the origin with the half axes x, y, z."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, segments // 2 + 1)
    profile = np.stack([np.cos(angle), np.sin(angle)], 1)
    profile[[0, -1], 0] = 0
    return lathe(profile, segments).scaled(x, y, z)


def tube(path, radius, sides: int = 10, *, closed: bool = False) -> Solid:
    """Sweep a regular polygon along a path.

    Args:
        path: (K, 3) points, K ≥ 2, no two neighbours equal.
        radius: half the thickness, one for all or (K,) along the path.
        sides: corners of the cross-section; 4 for a square bar.
        closed: whether the path returns to its start (the start is not repeated).
    """
    path = np.asarray(path, np.float64)
    ahead, behind = np.roll(path, -1, axis=0), np.roll(path, 1, axis=0)
    if not closed:
        ahead[-1], behind[0] = path[-1], path[0]
    tangents = (ahead - path) / _lengths(ahead - path) + (path - behind) / _lengths(path - behind)
    tangents /= _lengths(tangents)
    normals = np.empty_like(path)
    # The first frame leans on the axis least along the path; every other one is the frame before it, turned by the
    # smallest rotation that takes the one tangent to the other, so that the tube does not twist.
    normal = np.eye(3)[np.argmin(np.abs(tangents[0]))]
    normal = normal - (normal @ tangents[0]) * tangents[0]
    previous = tangents[0]
    for index, tangent in enumerate(tangents):
        normal = normal - (normal @ tangent) / max(1 + previous @ tangent, 1e-9) * (previous + tangent)
        normal = normals[index] = normal / np.sqrt(normal @ normal)
        previous = tangent
    sideways = np.cross(tangents, normals)
    width = np.broadcast_to(np.asarray(radius, np.float64), len(path))[:, None, None]
    around = circle(sides)
    offsets = around[:, 0, None] * normals[:, None] + around[:, 1, None] * sideways[:, None]
    return loft(path[:, None] + width * offsets, closed=closed)


def _lengths(vectors: np.ndarray) -> np.ndarray:
    return np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def rod(start, end, radius: float, end_radius: float | None = None, sides: int = 10) -> Solid:
    """A straight bar between two points (3,), tapered when ``end_radius`` is given."""
    return tube([start, end], [radius, radius if end_radius is None else end_radius], sides)


def arc(radius_x: float, radius_y: float, start: float, stop: float, points: int = 13) -> np.ndarray:
    """(points, 3) path along an ellipse in the xy plane; angles in degrees from the x axis."""
    angle = np.deg2rad(np.linspace(start, stop, points))
    return np.stack([radius_x * np.cos(angle), radius_y * np.sin(angle), np.zeros(points)], 1)


def slab(one_side, other_side, thickness) -> Solid:
    """A plate in the xy plane, given by its two edges.

    Args:
        one_side, other_side: (K, 2) points x, y along either edge, in matching order; edges that meet at an end
            make a point there.
        thickness: extent along z, one for all or (K,); the plate is centred on z = 0.
    """
    one, other = np.asarray(one_side, np.float64), np.asarray(other_side, np.float64)
    half = np.broadcast_to(np.asarray(thickness, np.float64) / 2, len(one))
    rings = np.empty((len(one), 4, 3))
    rings[:, [0, 3], :2], rings[:, [1, 2], :2] = one[:, None], other[:, None]
    rings[:, :2, 2], rings[:, 2:, 2] = -half[:, None], half[:, None]
    return loft(rings)

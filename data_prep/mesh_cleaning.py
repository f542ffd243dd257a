"""Take out of a mesh what no scanner can use: non-finite corners, faces without area, faces given twice."""

from __future__ import annotations

import numpy as np

from data_prep.mesh import Mesh
from pcrq.errors import InputError

# Faces with less area than this times the squared extent are needles or points within rounding.
_NO_AREA = 1e-14


def clean(mesh: Mesh, name: str) -> Mesh:
    """Keep the usable faces of a mesh.

    Faces with a missing or non-finite corner, without area, or with the same three positions as an earlier face
    (whatever their order) are dropped; equal positions become one vertex, unused vertices go.

    Args:
        mesh: any mesh; its arrays are not changed.
        name: what error messages call it.

    Returns:
        A mesh with at least one face, finite coordinates and positive extent; ``face_labels`` follow their faces.

    Raises:
        InputError: nothing usable is left.
    """
    vertices, faces = np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces, np.int64)
    if len(faces) == 0:
        what = f"{len(vertices)} points but no faces" if len(vertices) else "neither vertices nor faces"
        raise InputError(f"{name}: {what}; a mesh is needed")
    kept = np.flatnonzero(((faces >= 0) & (faces < len(vertices))).all(1))
    if len(kept) == 0:
        raise InputError(f"{name}: all {len(faces)} faces name vertices that do not exist")
    finite = np.isfinite(vertices).all(1)
    kept = kept[finite[faces[kept]].all(1)]
    if len(kept) == 0:
        raise InputError(f"{name}: all {len(faces)} faces have corners that are not finite (NaN or infinity)")

    corners, used = _merge_equal(vertices[np.unique(faces[kept])])
    renumber = np.full(len(vertices), -1)
    renumber[np.unique(faces[kept])] = used
    triangles = renumber[faces[kept]]

    with np.errstate(over="ignore"):
        extent = np.ptp(corners, axis=0).max()
    if not 1e-30 < extent < 1e30:
        raise InputError(f"{name}: extent {extent:g}; a shape needs a positive, finite size")
    solid = np.flatnonzero(face_areas(corners / extent, triangles) > _NO_AREA)
    if len(solid) == 0:
        raise InputError(f"{name}: all {len(faces)} faces are degenerate (no area)")
    _, first = np.unique(np.sort(triangles[solid], axis=1), axis=0, return_index=True)
    solid = solid[np.sort(first)]

    occurring, triangles = np.unique(triangles[solid], return_inverse=True)
    labels = mesh.face_labels
    return Mesh(
        vertices=corners[occurring],
        faces=triangles.reshape(-1, 3).astype(np.int64),
        face_labels=None if labels is None else np.asarray(labels, np.int64)[kept[solid]],
    )


def face_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F, 3) float64 normals by the right-hand rule, twice the face's area long."""
    first, second, third = (vertices[faces[:, corner]] for corner in range(3))
    return np.cross(second - first, third - first)


def face_areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F,) float64 areas of the faces."""
    return np.linalg.norm(face_normals(vertices, faces), axis=1) / 2


def _merge_equal(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different points, and for every point which of them it is."""
    points = points + 0.0  # -0.0 becomes 0.0
    order = np.lexsort(points.T)
    starts = np.ones(len(points), bool)
    starts[1:] = (points[order[1:]] != points[order[:-1]]).any(1)
    which = np.empty(len(points), np.int64)
    which[order] = np.cumsum(starts) - 1
    return points[order[starts]], which

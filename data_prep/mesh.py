"""The triangle mesh that every loader and generator returns and every scanner takes."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Mesh:
    """Triangles in the units of their source, y upward.

    Args:
        vertices: (V, 3) float64 coordinates.
        faces: (F, 3) int64 indices into ``vertices``.
        face_labels: (F,) int64 part of every face, or None where parts are unknown.
    """

    vertices: np.ndarray
    faces: np.ndarray
    face_labels: np.ndarray | None = None

"""Colours of points: the part where parts are known, else the direction of the normal."""

from __future__ import annotations

import numpy as np

from pcrq.stores.shape_store import Shape

# Twelve hues that differ in lightness too, so that neighbouring parts stay apart for colour-blind eyes and in print.
PART_COLOURS = np.array(
    [
        (0.27, 0.47, 0.77), (0.96, 0.62, 0.20), (0.35, 0.68, 0.42), (0.86, 0.33, 0.33),
        (0.58, 0.46, 0.76), (0.42, 0.74, 0.82), (0.93, 0.80, 0.33), (0.90, 0.55, 0.70),
        (0.50, 0.38, 0.30), (0.62, 0.78, 0.35), (0.45, 0.50, 0.56), (0.15, 0.35, 0.45),
    ],
    dtype=np.float32,
)  # fmt: skip


def normal_colours(normals: np.ndarray) -> np.ndarray:
    """(N, 3) unit normals to (N, 3) colours in [0, 1]: x to red, y to green, z to blue, none of them too dark."""
    return (0.58 + 0.37 * normals).astype(np.float32).clip(0, 1)


def part_colours(labels: np.ndarray) -> np.ndarray:
    """(N,) part labels to (N, 3) colours in [0, 1]; after twelve parts the colours repeat."""
    return PART_COLOURS[np.asarray(labels, np.int64) % len(PART_COLOURS)]


def point_colours(shape: Shape) -> np.ndarray:
    """(N, 3) float32 colours in [0, 1] of the points of a shape."""
    return normal_colours(shape.normals) if shape.labels is None else part_colours(shape.labels)

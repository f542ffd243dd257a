"""The classes of the built-in images: outlines and textures as signed distances.

Every figure takes coordinates u, v, float32 arrays in which the figure spans about [-1, 1], and returns a field that is
negative inside, zero on the edge and grows about like the distance from it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Field = np.ndarray
Figure = Callable[[Field, Field, np.random.Generator], Field]


def _disc(u: Field, v: Field, rng: np.random.Generator) -> Field:
    return np.hypot(u, v) - 0.8


def _ring(u: Field, v: Field, rng: np.random.Generator) -> Field:
    return np.abs(np.hypot(u, v) - 0.62) - 0.2


def _square(u: Field, v: Field, rng: np.random.Generator) -> Field:
    return np.maximum(np.abs(u), np.abs(v)) - 0.7


def _triangle(u: Field, v: Field, rng: np.random.Generator) -> Field:
    return np.maximum(np.abs(u) * 0.866 + v * 0.5, -v) - 0.45


def _cross(u: Field, v: Field, rng: np.random.Generator) -> Field:
    a, b = np.abs(u), np.abs(v)
    return np.minimum(np.maximum(a - 0.27, b - 0.9), np.maximum(b - 0.27, a - 0.9))


def _star(u: Field, v: Field, rng: np.random.Generator) -> Field:
    return 0.7 * (np.hypot(u, v) - 0.62 - 0.3 * np.cos(5 * np.arctan2(v, u)))


def _crescent(u: Field, v: Field, rng: np.random.Generator) -> Field:
    return np.maximum(np.hypot(u, v) - 0.85, 0.66 - np.hypot(u - 0.38, v))


def _zigzag(u: Field, v: Field, rng: np.random.Generator) -> Field:
    """The strokes of a letter N or Z."""
    bars = np.maximum(np.abs(np.abs(u) - 0.6) - 0.16, np.abs(v) - 0.8)
    diagonal = np.maximum(np.abs(0.8 * u + 0.6 * v) - 0.16, np.abs(v) - 0.8)
    return np.minimum(bars, diagonal)


def _blobs(u: Field, v: Field, rng: np.random.Generator) -> Field:
    """Six discs, here and there."""
    field = np.full_like(u, np.inf)
    for x, y, radius in rng.uniform((-0.9, -0.9, 0.16), (0.9, 0.9, 0.34), (6, 3)).astype(np.float32):
        np.minimum(field, np.hypot(u - x, v - y) - radius, out=field)
    return field


def _bands(t: Field) -> Field:
    """Signed distance from bands of width 1/2 at every integer t."""
    return np.abs(t - np.floor(t) - 0.5) - 0.25


def _stripes(u: Field, v: Field, rng: np.random.Generator) -> Field:
    return _bands(u * 2) / 2


def _waves(u: Field, v: Field, rng: np.random.Generator) -> Field:
    return _bands((u + 0.22 * np.sin(5.5 * v)) * 2) / 2.6


def _checker(u: Field, v: Field, rng: np.random.Generator) -> Field:
    a, b = _bands(u * 1.4), _bands(v * 1.4)
    return np.sign(a * b) * np.minimum(np.abs(a), np.abs(b)) / 1.4


def _dots(u: Field, v: Field, rng: np.random.Generator) -> Field:
    a, b = u * 1.9, v * 1.9
    return (np.hypot(a - np.floor(a) - 0.5, b - np.floor(b) - 0.5) - 0.32) / 1.9


def _spiral(u: Field, v: Field, rng: np.random.Generator) -> Field:
    return _bands(np.hypot(u, v) * 1.7 - np.arctan2(v, u) / (2 * np.pi)) / 1.7


def _target(u: Field, v: Field, rng: np.random.Generator) -> Field:
    return _bands(np.hypot(u, v) * 1.9) / 1.9


def _rays(u: Field, v: Field, rng: np.random.Generator) -> Field:
    return _bands(np.arctan2(v, u) * (8 / (2 * np.pi))) * np.hypot(u, v) * 0.8


OUTLINES: dict[str, Figure] = {
    "disc": _disc,
    "ring": _ring,
    "square": _square,
    "triangle": _triangle,
    "cross": _cross,
    "star": _star,
    "crescent": _crescent,
    "zigzag": _zigzag,
}
"""Figures with a place in the image."""

TEXTURES: dict[str, Figure] = {
    "blobs": _blobs,
    "stripes": _stripes,
    "waves": _waves,
    "checker": _checker,
    "dots": _dots,
    "spiral": _spiral,
    "target": _target,
    "rays": _rays,
}
"""Figures that fill the image."""

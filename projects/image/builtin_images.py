"""Built-in procedural images: outlines and textures of sixteen classes, without a download.

Lightness, tint, shading, noise and clutter have the same distribution for all classes. As in photographs, colors differ
mostly by lightness and slightly by tint. So color says nothing about the class but much about the image: a shortcut
that an augmentation has to remove.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from PIL import Image

from pcrq import InputError
from projects.image.image_source import ImageSource, Split

VERSION = 2
"""Increases when the images change."""

_COUNTS = {"train": 8192, "test": 4096}
_TINT = 0.15  # largest offset of a channel
_CONTRAST = 0.35  # smallest difference in lightness of figure and ground
_MEMORY = 2**26  # bytes; smaller datasets are cached


class BuiltinImages(ImageSource):
    """Procedural images; image ``index`` has the class ``index % 16`` and depends on seed, split and index only.

    Args:
        split: "train" and "test" share no image; "pretrain" equals "train".
        count: number of images, 8,192 ("train") and 4,096 ("test") by default. A smaller set is a prefix of a larger.
        size: height and width in pixels, at least 8.
        seed: random seed of the images.

    Raises:
        InputError: ``count``, ``size`` or ``seed`` is out of range.
    """

    mean = (0.50, 0.50, 0.50)
    std = (0.28, 0.28, 0.28)

    def __init__(self, split: Split = "train", count: int | None = None, size: int = 32, seed: int = 0):
        drawn = "train" if split == "pretrain" else split
        count = _COUNTS[drawn] if count is None else count
        if count < 1 or size < 8 or seed < 0:
            raise InputError(f"built-in images: count {count}, size {size}, seed {seed}: must be at least 1, 8 and 0")
        self.name = f"built-in images {drawn}"
        self.classes = [*OUTLINES, *TEXTURES]
        self.size = size
        self._count, self._seed = count, seed
        self._drawn: dict[int, np.ndarray] = {}  # drawing an image takes longer than cropping it
        self._stream = [VERSION, seed, int(drawn == "test")]

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        self._check_index(index)
        label = index % len(self.classes)
        pixels = self._drawn.get(index)
        if pixels is None:
            pixels = _draw(label, self.size, np.random.default_rng([*self._stream, index]))
            if pixels.nbytes * len(self) <= _MEMORY:
                self._drawn[index] = pixels
        return Image.fromarray(pixels), label

    @property
    def digest(self) -> str:
        """Digest of the version of the generator and the arguments."""
        return hashlib.sha256(f"{self.name} {self._stream} {self._count} {self.size}".encode()).hexdigest()


def _draw(label: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw an image of a class, (size, size, 3) uint8."""
    x, y, rise = _grid(size)
    is_outline = label < len(OUTLINES)
    figure = (*OUTLINES.values(), *TEXTURES.values())[label]
    scale = rng.uniform(0.55, 0.95) if is_outline else rng.uniform(0.7, 1.1)
    reach = 1 - 0.9 * scale if is_outline else 0.35
    u, v = _turned(x, y, rng.uniform(-reach, reach, 2), rng.uniform(0, 2 * np.pi), scale)
    coverage = _coverage(figure(u, v, rng), 2 / (size * scale))
    ground, front = _two_colors(rng)
    pixels = _shaded(ground, x, y, rise, rng)
    pixels += coverage * (_shaded(front, x, y, rise, rng) - pixels)
    for _ in range(rng.integers(3)):  # clutter: up to two bars
        u, v = _turned(x, y, rng.uniform(-1, 1, 2), rng.uniform(0, 2 * np.pi), 1)
        length, width = rng.uniform(0.15, 0.4), rng.uniform(0.03, 0.1)
        bar = _coverage(np.maximum(np.abs(u) - length, np.abs(v) - width), 2 / size)
        pixels += bar * (_color(rng)[:, None, None] - pixels)
    pixels += rng.standard_normal(pixels.shape, np.float32) * np.float32(rng.uniform(0, 0.06))
    np.clip(pixels, 0, 1, out=pixels)
    return np.ascontiguousarray((pixels * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0))


@lru_cache(maxsize=4)
def _grid(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixel centers x and y in [-1, 1], and (size, 4) weights of a linear interpolation between four values."""
    x = ((np.arange(size) + 0.5) * (2 / size) - 1).astype(np.float32)
    rise = np.maximum(0, 1 - np.abs((x[:, None] + 1) * 1.5 - np.arange(4))).astype(np.float32)
    return x[None, :], x[:, None], rise


def _turned(
    x: np.ndarray, y: np.ndarray, center: np.ndarray, angle: float, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    cosine, sine = np.float32(np.cos(angle) / scale), np.float32(np.sin(angle) / scale)
    x, y = x - np.float32(center[0]), y - np.float32(center[1])
    return x * cosine + y * sine, y * cosine - x * sine


def _coverage(field: np.ndarray, pixel: float) -> np.ndarray:
    """Part of each pixel that lies inside, in [0, 1]."""
    return np.clip(0.5 - field * np.float32(1 / pixel), 0, 1)


def _color(rng: np.random.Generator) -> np.ndarray:
    """A random lightness with a slight tint, so that the channels are correlated as in photographs."""
    return rng.uniform(0.05, 0.95) + rng.uniform(-_TINT, _TINT, 3).astype(np.float32)


def _two_colors(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two colors of different lightness."""
    ground = _color(rng)
    while True:
        front = _color(rng)
        if abs(front.mean() - ground.mean()) > _CONTRAST:
            return ground, front


def _shaded(color: np.ndarray, x: np.ndarray, y: np.ndarray, rise: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(3, size, size): the color with a gradient across the image and soft spots."""
    slope = rng.uniform(-0.15, 0.15, (2, 1, 1, 1)).astype(np.float32)
    spots = rng.uniform(-0.15, 0.15, (1, 4, 4)).astype(np.float32)
    return color[:, None, None] + slope[0] * x + slope[1] * y + rise @ spots @ rise.T


# --- the classes: outlines and textures as signed distances ---

Field = np.ndarray
Figure = Callable[[Field, Field, np.random.Generator], Field]
"""Maps coordinates u, v (float32, the figure spans about [-1, 1]) to a signed distance, negative inside."""


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
    """Six discs at random places."""
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
"""Figures at a random place in the image."""

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

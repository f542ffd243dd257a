"""Built-in procedural images: a data set of outlines and textures that needs no download.

Sixteen classes, drawn in any place, size and direction. Lightness, tint, shade, grain and clutter are drawn alike for
every class. As in photographs, colours differ by their lightness first and by a slight tint second; so colour tells
nothing about the class but much about the image: the short cut that an augmentation has to close.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
from PIL import Image

from pcrq.errors import InputError
from projects.image.sources.builtin_figures import OUTLINES, TEXTURES
from projects.image.sources.source import ImageSource, Split

VERSION = 2
"""Goes up when the images change."""

_COUNTS = {"train": 8192, "test": 4096}
_TINT = 0.15  # of a channel, at most
_CONTRAST = 0.35  # of the lightness of figure and ground, at least
_MEMORY = 2**26  # bytes up to which all images are kept once they are drawn


class BuiltinImages(ImageSource):
    """Procedural images; image ``index`` is of class ``index % 16`` and a function of seed, split and index alone.

    Args:
        split: "train" and "test" have no image in common; "pretrain" is "train".
        count: images; 8,192 and 4,096 by default. A smaller set is the beginning of a larger one.
        size: pixels along each side, at least 8.
        seed: another seed gives other images.

    Raises:
        InputError: ``count``, ``size`` or ``seed`` is out of range.
    """

    mean = (0.50, 0.50, 0.50)
    std = (0.28, 0.28, 0.28)

    def __init__(self, split: Split = "train", count: int | None = None, size: int = 32, seed: int = 0):
        drawn = "train" if split == "pretrain" else split
        count = _COUNTS[drawn] if count is None else count
        if count < 1 or size < 8 or seed < 0:
            raise InputError(f"built-in images: count {count}, size {size}, seed {seed}; choose at least 1, 8 and 0")
        self.name = f"built-in images {drawn}"
        self.classes = [*OUTLINES, *TEXTURES]
        self.size = size
        self._count, self._seed = count, seed
        self._drawn: dict[int, np.ndarray] = {}  # to draw an image of 32 pixels takes longer than to crop and flip it
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
        """From the version of the generator and the arguments."""
        return hashlib.sha256(f"{self.name} {self._stream} {self._count} {self.size}".encode()).hexdigest()


def _draw(label: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """(size, size, 3) uint8."""
    x, y, rise = _grid(size)
    is_outline = label < len(OUTLINES)
    figure = (*OUTLINES.values(), *TEXTURES.values())[label]
    scale = rng.uniform(0.55, 0.95) if is_outline else rng.uniform(0.7, 1.1)
    reach = 1 - 0.9 * scale if is_outline else 0.35
    u, v = _turned(x, y, rng.uniform(-reach, reach, 2), rng.uniform(0, 2 * np.pi), scale)
    coverage = _coverage(figure(u, v, rng), 2 / (size * scale))
    behind, front = _two_colours(rng)
    pixels = _shaded(behind, x, y, rise, rng)
    pixels += coverage * (_shaded(front, x, y, rise, rng) - pixels)
    for _ in range(rng.integers(3)):  # a bar or two that belong to no class
        u, v = _turned(x, y, rng.uniform(-1, 1, 2), rng.uniform(0, 2 * np.pi), 1)
        length, width = rng.uniform(0.15, 0.4), rng.uniform(0.03, 0.1)
        bar = _coverage(np.maximum(np.abs(u) - length, np.abs(v) - width), 2 / size)
        pixels += bar * (_colour(rng)[:, None, None] - pixels)
    pixels += rng.standard_normal(pixels.shape, np.float32) * np.float32(rng.uniform(0, 0.06))
    np.clip(pixels, 0, 1, out=pixels)
    return np.ascontiguousarray((pixels * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0))


@lru_cache(maxsize=4)
def _grid(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixel centres x and y in [-1, 1], and (size, 4) weights that interpolate linearly between four values."""
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
    """The part of every pixel that lies inside, in [0, 1]."""
    return np.clip(0.5 - field * np.float32(1 / pixel), 0, 1)


def _colour(rng: np.random.Generator) -> np.ndarray:
    """Any lightness, a slight tint: photographs are like this, and their channels resemble one another."""
    return rng.uniform(0.05, 0.95) + rng.uniform(-_TINT, _TINT, 3).astype(np.float32)


def _two_colours(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Colours that an eye tells apart, the first free."""
    behind = _colour(rng)
    while True:
        front = _colour(rng)
        if abs(front.mean() - behind.mean()) > _CONTRAST:
            return behind, front


def _shaded(colour: np.ndarray, x: np.ndarray, y: np.ndarray, rise: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(3, size, size): the colour with a gradient across the image and soft spots."""
    slope = rng.uniform(-0.15, 0.15, (2, 1, 1, 1)).astype(np.float32)
    spots = rng.uniform(-0.15, 0.15, (1, 4, 4)).astype(np.float32)
    return colour[:, None, None] + slope[0] * x + slope[1] * y + rise @ spots @ rise.T

"""Figures of quantized images: figures 4 and 6 of the paper, and samples of randomized quantization."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2

from pcrq import InputError, randomized_quantize
from pcrq.files import atomic_write

PAPER_BINS = (2, 3, 5, 8, 10, 15, 20, 30)

_CELL = 2.0  # inches, width and height of an image
_GAP = 0.06
_TITLE = 0.3
_DPI = 120
_LARGEST = 240  # pixels; larger images are resized before quantization, as in training


def figure_bins(images: Sequence[Image.Image], path: str | Path, *, bins: Sequence[int] = PAPER_BINS) -> None:
    """Draw images quantized with increasing numbers of evenly spaced bins (figure 4).

    Args:
        images: images in mode "RGB", one row each.
        path: the PNG file to write.
        bins: number of bins per column after the original.

    Raises:
        InputError: there are no images, or ``path`` cannot be written.
    """
    rows = []
    for image in images:
        pixels = _pixels(image)
        uniform = [randomized_quantize(pixels, n, random_edges=False, random_values=False) for n in bins]
        rows.append([pixels, *uniform])
    _save(rows, ["original", *(f"{n} bins" for n in bins)], path)


def figure_samples(
    images: Sequence[Image.Image], path: str | Path, *, bins: Sequence[int] = (8, 8, 8), seed: int = 0
) -> None:
    """Draw images beside samples of randomized quantization.

    Args:
        images: images in mode "RGB", one row each.
        path: the PNG file to write.
        bins: number of bins per column after the original; each column is a new sample.
        seed: random seed.

    Raises:
        InputError: there are no images, or ``path`` cannot be written.
    """
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for image in images:
        pixels = _pixels(image)
        rows.append([pixels, *(randomized_quantize(pixels, n, generator=generator) for n in bins)])
    _save(rows, ["original", *(f"{n} bins" for n in bins)], path)


def figure_views(
    images: Sequence[Image.Image], path: str | Path, *, views: int = 3, bins: int = 8, seed: int = 0
) -> None:
    """Draw images beside views by color jitter and by randomized quantization (figure 6).

    Args:
        images: images in mode "RGB", one row each.
        path: the PNG file to write.
        views: number of views of either kind.
        bins: number of bins.
        seed: random seed.

    Raises:
        InputError: there are no images, or ``path`` cannot be written.
    """
    generator = torch.Generator().manual_seed(seed)
    jitter = v2.ColorJitter(0.4, 0.4, 0.2, 0.1)
    rows = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for image in images:
            pixels = _pixels(image)
            jittered = [jitter(pixels) for _ in range(views)]
            quantized = [randomized_quantize(pixels, bins, generator=generator) for _ in range(views)]
            rows.append([pixels, *jittered, *quantized])
    _save(rows, ["original", *["color jitter"] * views, *[f"quantization, {bins} bins"] * views], path)


def _pixels(image: Image.Image) -> torch.Tensor:
    """The central square, (3, S, S) float32 in [0, 1]."""
    square = v2.functional.center_crop(image, [min(image.size)])
    if square.width > _LARGEST:
        square = square.resize((_LARGEST, _LARGEST), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.asarray(square).copy()).permute(2, 0, 1).float() / 255


def _save(rows: Sequence[Sequence[torch.Tensor]], titles: Sequence[str], path: str | Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    path = Path(path)
    if not rows:
        raise InputError(f"{path}: there are no images; name at least one")
    width = len(titles) * (_CELL + _GAP) + _GAP
    height = _TITLE + len(rows) * (_CELL + _GAP)
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    for row, pictures in enumerate(rows):
        bottom = height - _TITLE - row * (_CELL + _GAP) - _CELL
        for column, pixels in enumerate(pictures):
            left = _GAP + column * (_CELL + _GAP)
            axes = figure.add_axes((left / width, bottom / height, _CELL / width, _CELL / height))
            axes.set_axis_off()
            small = pixels.shape[-1] < _CELL * _DPI
            axes.imshow(pixels.permute(1, 2, 0).numpy(), interpolation="nearest" if small else "antialiased")
            if row == 0:
                axes.set_title(titles[column], fontsize=11, pad=4)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png")

"""Pictures of quantized spectrograms: the sounds of the paper's figure 2."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from pcrq.files import atomic_write
from projects.audio.log_mel import HIGHEST, HOP, LOWEST, MELS, SAMPLE_RATE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HEIGHT, _NARROWEST, _WIDEST = 2.0, 2.6, 5.0  # inches, of a panel
_LEFT, _RIGHT, _TOP, _BOTTOM, _GAP = 0.65, 0.8, 0.35, 0.5, 0.3  # inches, around the panels and between them
_BAR = 0.1  # inches, of the colour scale
_DPI = 120
_TICKS = (250, 500, 1000, 2000, 4000)  # Hz


def save_spectrograms(spectrograms: Tensor, titles: Sequence[str], path: str | Path) -> None:
    """Write :func:`draw_spectrograms` as a PNG file.

    Raises:
        InputError: ``path`` cannot be written.
    """
    figure = draw_spectrograms(spectrograms, titles)
    with atomic_write(Path(path)) as temporary:
        figure.savefig(temporary, format="png")


def draw_spectrograms(spectrograms: Tensor, titles: Sequence[str]) -> Figure:
    """Draw log-mel spectrograms side by side, all with one colour scale.

    Args:
        spectrograms: (N, 64, frames), N > 0.
        titles: N, one above each.

    Returns:
        The figure: seconds to the right, hertz upwards as the mel bands lie.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count, _, frames = spectrograms.shape
    panel = min(max(_NARROWEST, frames / _DPI), _WIDEST)
    width, height = _LEFT + count * (panel + _GAP) + _RIGHT, _TOP + _HEIGHT + _BOTTOM
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    hop = HOP / SAMPLE_RATE
    low, high = float(spectrograms.min()), float(spectrograms.max())
    shown = {
        "vmin": low,
        "vmax": max(high, low + 1),  # silence has one value only
        "cmap": "magma",
        "origin": "lower",
        "aspect": "auto",
        "interpolation": "nearest" if frames <= panel * _DPI else "antialiased",
        "extent": (-hop / 2, (frames - 0.5) * hop, -0.5, MELS - 0.5),  # a frame and a band lie around their middles
    }
    for column, (log_mel, title) in enumerate(zip(spectrograms, titles, strict=True)):
        left = _LEFT + column * (panel + _GAP)
        axes = figure.add_axes((left / width, _BOTTOM / height, panel / width, _HEIGHT / height))
        image = axes.imshow(log_mel.numpy(), **shown)
        axes.set_title(title, fontsize=11, pad=4)
        axes.tick_params(labelsize=8)
        axes.set_xlabel("seconds", fontsize=9)
        axes.set_yticks(band_of(np.array(_TICKS)), [f"{hertz:,}" for hertz in _TICKS] if column == 0 else [])
        if column == 0:
            axes.set_ylabel("Hz", fontsize=9)
    left = _LEFT + count * (panel + _GAP)
    bar = figure.add_axes((left / width, _BOTTOM / height, _BAR / width, _HEIGHT / height))
    figure.colorbar(image, cax=bar).set_label("ln(power)", fontsize=9)
    bar.tick_params(labelsize=8)
    return figure


def band_of(hertz: np.ndarray) -> np.ndarray:
    """Where frequencies lie among the 64 mel bands: 0.0 is the middle of the first, 63.0 that of the last."""
    from librosa import hz_to_mel

    lowest, highest = hz_to_mel(LOWEST), hz_to_mel(HIGHEST)
    return (hz_to_mel(hertz) - lowest) / (highest - lowest) * (MELS + 1) - 1

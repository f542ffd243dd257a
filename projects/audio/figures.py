"""Quantized spectrograms as a picture (figure 2 of the paper), and inverted to waveforms to hear them."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from data_prep import load_sound
from pcrq import InputError, randomized_quantize
from pcrq.files import atomic_write
from pcrq.stores import SoundStore, entry_index, split_store_name
from projects.audio.log_mel import FFT, HIGHEST, HOP, LOWEST, MELS, SAMPLE_RATE, LogMel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAUSE = SAMPLE_RATE // 2
"""Samples of silence between two sounds."""

_HEIGHT, _NARROWEST, _WIDEST = 2.0, 2.6, 5.0  # inches, of a panel
_LEFT, _RIGHT, _TOP, _BOTTOM, _GAP = 0.65, 0.8, 0.35, 0.5, 0.3  # inches, around the panels and between them
_BAR = 0.1  # inches, width of the color bar
_DPI = 120
_TICKS = (250, 500, 1000, 2000, 4000)  # Hz


def load_waveform(name: str) -> Tensor:
    """Load one sound.

    Args:
        name: a wav, flac, ogg or mp3 file, or ``STORE.h5:KEY``, where KEY is an index (negative ones count from the
            end) or the id of a sound.

    Returns:
        (T,) float32 in [-1, 1] at 16 kHz, long enough for a spectrogram.

    Raises:
        InputError: there is no such file or sound, or it cannot be used.
    """
    named = split_store_name(name)
    if named is None:
        samples = load_sound(name)
    else:
        path, key = named
        with contextlib.closing(SoundStore(path)) as store:
            samples = store.samples(entry_index(store, store.ids, key))
    if len(samples) <= FFT // 2:
        raise InputError(f"{name}: {len(samples)} samples at 16 kHz; a spectrogram needs at least {FFT // 2 + 1}")
    return torch.from_numpy(samples)


def quantized_spectrograms(
    waveform: Tensor, *, bins: Sequence[int] = (5, 5, 5), seed: int = 0, per_frequency: bool = False
) -> Tensor:
    """Quantize the whole log-mel spectrogram of a sound several times.

    Args:
        waveform: (T,) floating point at 16 kHz, T > 512.
        bins: number of bins of every quantized spectrogram.
        seed: random seed of the quantizers.
        per_frequency: one quantizer per frequency instead of one for the spectrogram.

    Returns:
        (1 + len(bins), 64, 1 + T // 160) float32: the original, then the quantized ones.

    Raises:
        InputError: the waveform has another type or shape, or is too short.
    """
    generator = torch.Generator().manual_seed(seed)
    log_mel = LogMel()(waveform[None])[0]
    channels = (0, 1) if per_frequency else (0,)
    quantized = [randomized_quantize(log_mel, count, channels, generator=generator) for count in bins]
    return torch.cat([log_mel, *quantized])


# --- picture ---


def save_spectrograms(spectrograms: Tensor, titles: Sequence[str], path: str | Path) -> None:
    """Write :func:`draw_spectrograms` as a PNG file.

    Raises:
        InputError: ``path`` cannot be written.
    """
    figure = draw_spectrograms(spectrograms, titles)
    with atomic_write(Path(path)) as temporary:
        figure.savefig(temporary, format="png")


def draw_spectrograms(spectrograms: Tensor, titles: Sequence[str]) -> Figure:
    """Draw log-mel spectrograms side by side with a common color scale.

    Args:
        spectrograms: (N, 64, frames), N > 0.
        titles: N titles.

    Returns:
        The figure: time in seconds to the right, frequency in hertz upwards, spaced like the mel bands.
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
        "vmax": max(high, low + 1),  # silence has a single value
        "cmap": "magma",
        "origin": "lower",
        "aspect": "auto",
        "interpolation": "nearest" if frames <= panel * _DPI else "antialiased",
        "extent": (-hop / 2, (frames - 0.5) * hop, -0.5, MELS - 0.5),  # frames and bands are centered
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
    """Position of frequencies on the axis of the 64 mel bands: 0.0 is the center of the first, 63.0 of the last."""
    from librosa import hz_to_mel

    lowest, highest = hz_to_mel(LOWEST), hz_to_mel(HIGHEST)
    return (hz_to_mel(hertz) - lowest) / (highest - lowest) * (MELS + 1) - 1


# --- sound ---


def save_wav(spectrograms: Tensor, waveform: Tensor, path: str | Path, seed: int = 0) -> list[float]:
    """Write :func:`spectrograms_to_waveform` as a WAV file (16 bits, 16 kHz, mono).

    Returns:
        The second at which each sound begins.

    Raises:
        InputError: ``path`` cannot be written.
    """
    import soundfile

    encoded, samples = io.BytesIO(), spectrograms_to_waveform(spectrograms, waveform, seed).numpy()
    soundfile.write(encoded, samples, SAMPLE_RATE, "PCM_16", format="WAV")
    with atomic_write(Path(path)) as temporary:
        temporary.write_bytes(encoded.getvalue())
    return [number * (len(waveform) + PAUSE) / SAMPLE_RATE for number in range(len(spectrograms))]


def spectrograms_to_waveform(spectrograms: Tensor, waveform: Tensor, seed: int = 0) -> Tensor:
    """Invert spectrograms one after another, with the same initial phases and the loudness of the original sound.

    Args:
        spectrograms: (N, 64, frames) log-mel, N > 0.
        waveform: (T,) float32 in [-1, 1], the original sound.
        seed: random seed of the initial phases.

    Returns:
        (N * T + (N - 1) * PAUSE,) float32 in [-1, 1], with silence between the sounds. Each has the root mean square
        of ``waveform``; where a peak would exceed 1, all are scaled down together.
    """
    pause = waveform.new_zeros(PAUSE)
    parts = []
    for log_mel in spectrograms:
        inverted = invert(log_mel, len(waveform), seed)
        loudness = _root_mean_square(inverted).clamp(min=torch.finfo(torch.float32).tiny)
        parts += [pause, inverted * (_root_mean_square(waveform) / loudness)]
    sounds = torch.cat(parts[1:])
    return sounds / sounds.abs().max().clamp(min=1)


def invert(log_mel: Tensor, samples: int, seed: int = 0) -> Tensor:
    """Estimate a waveform from its log-mel spectrogram.

    The spectrogram has no phases, and 64 bands instead of the 513 of the Fourier transform, so that the result sounds
    similar but is not the original waveform. Compare it with the inverted original spectrogram.

    Args:
        log_mel: (64, frames) floating point, as of ``LogMel``.
        samples: length of the waveform; the spectrogram has ``1 + samples // 160`` frames.
        seed: random seed of the initial phases.

    Returns:
        (samples,) float32, not limited to [-1, 1].

    Source: librosa's non-negative least squares for the 513 powers of a frame, then its Griffin-Lim (Griffin & Lim,
    1984, in the fast version of Perraudin et al., 2013).
    """
    from librosa import griffinlim
    from librosa.feature.inverse import mel_to_stft

    power = (log_mel.float().exp() - torch.finfo(torch.float32).eps).clamp(min=0)
    magnitude = mel_to_stft(power.numpy(), sr=SAMPLE_RATE, n_fft=FFT, power=2.0, fmin=LOWEST, fmax=HIGHEST)
    waveform = griffinlim(magnitude, n_fft=FFT, hop_length=HOP, pad_mode="reflect", length=samples, random_state=seed)
    return torch.from_numpy(waveform)


def _root_mean_square(waveform: Tensor) -> Tensor:
    return waveform.square().mean().sqrt()

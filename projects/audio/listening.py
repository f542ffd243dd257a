"""Spectrograms to listen to, one after another in one file."""

from __future__ import annotations

import io
from pathlib import Path

import torch
from torch import Tensor

from pcrq.files import atomic_write
from projects.audio.inversion import invert
from projects.audio.log_mel import SAMPLE_RATE

PAUSE = SAMPLE_RATE // 2
"""Samples of silence between two sounds."""


def save_wav(spectrograms: Tensor, waveform: Tensor, path: str | Path, seed: int = 0) -> list[float]:
    """Write :func:`sounds_of` as a WAV file of 16 bits, 16 kHz, mono.

    Returns:
        The second at which each sound begins.

    Raises:
        InputError: ``path`` cannot be written.
    """
    import soundfile

    encoded = io.BytesIO()
    soundfile.write(encoded, sounds_of(spectrograms, waveform, seed).numpy(), SAMPLE_RATE, "PCM_16", format="WAV")
    with atomic_write(Path(path)) as temporary:
        temporary.write_bytes(encoded.getvalue())
    return [number * (len(waveform) + PAUSE) / SAMPLE_RATE for number in range(len(spectrograms))]


def sounds_of(spectrograms: Tensor, waveform: Tensor, seed: int = 0) -> Tensor:
    """Invert spectrograms, all from the same phases and as loud as the sound they come from.

    Args:
        spectrograms: (N, 64, frames) log-mel, N > 0.
        waveform: (T,) float32 in [-1, 1], the sound.
        seed: of the phases.

    Returns:
        (N * T + (N - 1) * PAUSE,) float32 in [-1, 1], with silence between the sounds. Each has the root mean square
        of ``waveform``, unless a peak would then be beyond full scale: all are turned down by as much as that needs.
    """
    pause = waveform.new_zeros(PAUSE)
    parts = []
    for log_mel in spectrograms:
        inverted = invert(log_mel, len(waveform), seed)
        loudness = _root_mean_square(inverted).clamp(min=torch.finfo(torch.float32).tiny)
        parts += [pause, inverted * (_root_mean_square(waveform) / loudness)]
    sounds = torch.cat(parts[1:])
    return sounds / sounds.abs().max().clamp(min=1)


def _root_mean_square(waveform: Tensor) -> Tensor:
    return waveform.square().mean().sqrt()

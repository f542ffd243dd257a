"""Waveforms of any length to a fixed one: a random segment, or the whole between zeros."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pcrq.errors import InputError
from projects.audio.draws import integers_below
from projects.audio.log_mel import SEGMENT_SAMPLES


def random_segment(
    waveforms: Tensor, samples: int = SEGMENT_SAMPLES, generator: torch.Generator | None = None
) -> Tensor:
    """Cut ``samples`` consecutive samples at random; what is shorter is centred between zeros.

    Args:
        waveforms: (T,), or (B, T) for a segment of its own for every row; any type and device, T >= 0.
        samples: length of the segments, at least 1.
        generator: source of randomness, on any device; None for torch's global one of the device of the waveforms.

    Returns:
        (samples,) or (B, samples), of the type and on the device of the waveforms.

    Raises:
        InputError: there are other than one or two dimensions, or ``samples`` is below 1.

    Source: nttcslab/byol-a, byol_a/dataset.py: every start is equally likely, and padding is not random.
    """
    if waveforms.ndim not in (1, 2):
        raise InputError(f"waveforms of shape {tuple(waveforms.shape)}: expected (T,) or (B, T)")
    if samples < 1:
        raise InputError(f"segments of {samples} samples: choose at least 1")
    spare = waveforms.shape[-1] - samples
    if spare <= 0:
        return between_zeros(waveforms, samples)
    limits = torch.full((*waveforms.shape[:-1], 1), spare + 1, device=waveforms.device)
    return waveforms.gather(-1, integers_below(limits, generator) + torch.arange(samples, device=waveforms.device))


def between_zeros(waveforms: Tensor, samples: int) -> Tensor:
    """Centre short waveforms between zeros.

    Args:
        waveforms: (..., T), any type and device, T at most ``samples``.
        samples: length of the result.

    Returns:
        (..., samples), of the type and on the device of the waveforms.
    """
    spare = samples - waveforms.shape[-1]
    return F.pad(waveforms, (spare // 2, spare - spare // 2))

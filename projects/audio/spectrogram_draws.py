"""A spectrogram beside quantized draws of it, to be looked at and listened to."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pcrq import randomized_quantize
from projects.audio.log_mel import LogMel


def spectrogram_draws(
    waveform: Tensor, *, bins: Sequence[int] = (5, 5, 5), seed: int = 0, per_frequency: bool = False
) -> Tensor:
    """Quantize the log-mel spectrogram of a sound, whole, as training quantizes crops.

    Args:
        waveform: (T,) floating point at 16 kHz, T > 512.
        bins: of every draw; a number that comes again is drawn again.
        seed: of the draws.
        per_frequency: a quantizer for every frequency; False: one for the spectrogram.

    Returns:
        (1 + len(bins), 64, 1 + T // 160) float32: the original, then the draws.

    Raises:
        InputError: the waveform has another type or shape, or is too short.
    """
    generator = torch.Generator().manual_seed(seed)
    log_mel = LogMel()(waveform[None])[0]
    channels = (0, 1) if per_frequency else (0,)
    draws = [randomized_quantize(log_mel, count, channels, generator=generator) for count in bins]
    return torch.cat([log_mel, *draws])

"""Log-mel spectrograms of waveforms, batched on the device, and their normalization.

The parameters are those of BYOL-A (nttcslab/byol-a, config.yaml). The spectrogram is librosa's, with which the
published weights were trained. That of torchaudio, on an HTK mel scale without area normalization, is about four units
louder.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pcrq import InputError

SAMPLE_RATE = 16_000
"""Hertz; resample other waveforms first."""
FFT = 1024
"""Samples of a frame, under a Hann window of the same length."""
HOP = 160
"""Samples between the starts of two frames: 10 ms."""
MELS = 64
"""Mel bands."""
LOWEST, HIGHEST = 60.0, 7800.0
"""Hertz, lower end of the first mel band and upper end of the last one."""
SEGMENT_SAMPLES = 15_200
"""0.95 s, the 96 frames of a training sample."""

_FRAMES_AT_ONCE = {"cpu": 256}  # fits the cache of a core, which takes a third of the time
_FRAMES_AT_ONCE_ELSEWHERE = 2**14  # 400 MB, whatever the batch and the length


def frame_count(samples: int) -> int:
    """Number of frames of a waveform: one centered on its start, and one every ``HOP`` samples; 96 for 0.95 s."""
    return 1 + samples // HOP


class LogMel(nn.Module):
    """Natural logarithm of the power in 64 mel bands, plus the epsilon of float32.

    Within 1e-4 of librosa, also under autocast. Like librosa it transforms in double precision, which matters in bands
    far below the loudest one (GPUs of Apple have none; there, these bands differ by up to 1e-3). It has no parameters
    and adds nothing to a checkpoint.

    Shape:
        (B, T) floating-point waveforms at 16 kHz, in [-1, 1], T > 512 samples -> (B, 1, 64, 1 + T // 160) float32.

    Raises:
        InputError: (when called) the waveforms have another type or shape, or are too short.

    Source: nttcslab/byol-a, byol_a/dataset.py. Frames beyond the ends see the reflected waveform, the default of
    torchaudio, and of librosa before 0.9, when BYOL-A was published.
    """

    window: Tensor
    filters: Tensor

    def __init__(self):
        super().__init__()
        from librosa.filters import mel  # takes a second

        filters = mel(sr=SAMPLE_RATE, n_fft=FFT, n_mels=MELS, fmin=LOWEST, fmax=HIGHEST)
        self.register_buffer("filters", torch.from_numpy(filters), persistent=False)
        self.register_buffer("window", torch.hann_window(FFT, dtype=torch.float64).float(), persistent=False)

    @torch.no_grad()
    def forward(self, waveforms: Tensor) -> Tensor:
        """Log-mel spectrograms of a batch of waveforms."""
        if waveforms.ndim != 2 or not waveforms.is_floating_point():
            raise InputError(
                f"waveforms: {waveforms.dtype} of shape {tuple(waveforms.shape)}, expected floating point (B, T)"
            )
        if waveforms.shape[1] <= FFT // 2:
            raise InputError(
                f"waveforms of {waveforms.shape[1]} samples: a frame needs at least {FFT // 2 + 1}; pad them"
            )
        count, frames = len(waveforms), frame_count(waveforms.shape[1])
        at_once = _FRAMES_AT_ONCE.get(waveforms.device.type, _FRAMES_AT_ONCE_ELSEWHERE)
        together = max(1, at_once // frames)  # waveforms; a longer one is transformed in slices
        waveforms = waveforms.to(torch.promote_types(waveforms.dtype, torch.float32))
        with torch.autocast(waveforms.device.type, enabled=False):
            power = waveforms.new_empty((count, MELS, frames), dtype=torch.float32)
            for first in range(0, count, together):
                rows = slice(first, first + together)
                padded = F.pad(waveforms[rows], (FFT // 2, FFT // 2), mode="reflect")
                for start in range(0, frames, at_once):
                    stop = min(start + at_once, frames)
                    power[rows, :, start:stop] = self._mel_power(padded[:, start * HOP : (stop - 1) * HOP + FFT])
            return power.add_(torch.finfo(torch.float32).eps).log_().unsqueeze(1)

    def _mel_power(self, waveforms: Tensor) -> Tensor:
        """Power of the frames that begin every ``HOP`` samples and end within the waveforms."""
        precision = torch.float32 if waveforms.device.type == "mps" else torch.float64
        waveforms, window = waveforms.to(precision), self.window.to(precision)
        spectrum = torch.stft(waveforms, FFT, HOP, window=window, center=False, return_complex=True)
        return self.filters @ (spectrum.real.square() + spectrum.imag.square()).float()


# --- normalization ---
# Source: BYOL-A (Niizumi et al., IJCNN 2021), section III; nttcslab/byol-a, byol_a/augmentations.py. Mean and standard
# deviation are scalars, over samples, frequencies and frames.


@dataclass(frozen=True)
class LogMelStatistics:
    """Mean and standard deviation of all values of a dataset's log-mel spectrograms.

    Args:
        mean, std: in log-mel units; std is above 0.

    Raises:
        InputError: the values are not finite, or the standard deviation is not positive.
    """

    mean: float
    std: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.mean) and math.isfinite(self.std) and self.std > 0):
            raise InputError(
                f"log-mel statistics: mean {self.mean}, standard deviation {self.std}; the sounds are all silent, or "
                "not finite"
            )

    def normalize(self, log_mel: Tensor) -> Tensor:
        """(log_mel - mean) / std, for a floating-point tensor of any shape."""
        return (log_mel - self.mean) / self.std


def log_mel_statistics(batches: Iterable[Tensor]) -> LogMelStatistics:
    """Compute the statistics of a dataset in one pass, with the memory of one batch.

    Args:
        batches: log-mel spectrograms of any shapes and devices. BYOL-A takes one random segment of every sound.

    Returns:
        Mean and population standard deviation, accumulated in double precision over the batches.

    Raises:
        InputError: there are no values, they are not finite, or all equal.
    """
    count, mean, squares = 0, 0.0, 0.0
    for batch in batches:
        if batch.numel() == 0:
            continue
        variance, batch_mean = (float(value) for value in torch.var_mean(batch.float(), correction=0))
        share = batch.numel() / (count + batch.numel())
        difference = batch_mean - mean
        squares += batch.numel() * (variance + difference**2 * (1 - share))
        mean += difference * share
        count += batch.numel()
    if count == 0:
        raise InputError("log-mel statistics: the dataset is empty; name one with sounds")
    return LogMelStatistics(mean, math.sqrt(squares / count))


def normalize_batch(views: Tensor) -> Tensor:
    """Normalize a batch by its own mean and standard deviation, which crops and mixing have shifted.

    Args:
        views: (N, C, F, T) floating point. BYOL-A joins both views of a batch, so that they are shifted equally.

    Returns:
        The same shape: mean 0 and (unbiased) standard deviation 1 over samples, frequencies and frames of a channel.
    """
    std, mean = torch.std_mean(views, dim=(0, 2, 3), keepdim=True)
    return (views - mean) / std.clamp(min=torch.finfo(torch.float32).eps)

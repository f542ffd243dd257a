"""Waveforms to log-mel spectrograms, batched on the device.

The numbers are those of BYOL-A (nttcslab/byol-a, config.yaml): the spectrogram is librosa's, by which the published
weights were trained. torchaudio's, on an HTK mel scale without area normalisation, is about four units louder.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pcrq.errors import InputError

SAMPLE_RATE = 16_000
"""Hertz; resample anything else before."""
FFT = 1024
"""Samples of a frame, all of them under a Hann window."""
HOP = 160
"""Samples from a frame to the next: 10 ms."""
MELS = 64
"""Mel bands."""
LOWEST, HIGHEST = 60.0, 7800.0
"""Hertz, where the first mel band starts and the last one ends."""
SEGMENT_SAMPLES = 15_200
"""0.95 s, which make the 96 frames of a training sample."""

_FRAMES_AT_ONCE = {"cpu": 256}  # what fits a core's cache takes a third of the time
_FRAMES_AT_ONCE_ELSEWHERE = 2**14  # in 400 MB, whatever the batch and the length


def frame_count(samples: int) -> int:
    """Frames of a waveform: one centred on its start, and one every ``HOP`` samples; 96 for 0.95 s."""
    return 1 + samples // HOP


class LogMel(nn.Module):
    """The natural logarithm of the power in 64 mel bands, with float32's epsilon added.

    Within 1e-4 of librosa, under autocast too: like librosa it transforms in double precision, which tells in bands far
    below the loudest one (on Apple's GPUs, which have none, these differ by up to 1e-3). It has no parameters and adds
    nothing to a checkpoint.

    Shape:
        (B, T) floating-point waveforms at 16 kHz, in [-1, 1], T > 512 samples -> (B, 1, 64, 1 + T // 160) float32.

    Raises:
        InputError: (when called) the waveforms are of another type or shape, or too short.

    Source: nttcslab/byol-a, byol_a/dataset.py. Frames that reach over the ends see the waveform reflected there, the
    default of librosa before 0.9, when BYOL-A was published, and of torchaudio.
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
        """The log-mel spectrograms of a batch of waveforms."""
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
        together = max(1, at_once // frames)  # waveforms; one that is longer passes in slices
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
        """Of frames that begin every ``HOP`` samples and end within the waveforms."""
        precision = torch.float32 if waveforms.device.type == "mps" else torch.float64
        waveforms, window = waveforms.to(precision), self.window.to(precision)
        spectrum = torch.stft(waveforms, FFT, HOP, window=window, center=False, return_complex=True)
        return self.filters @ (spectrum.real.square() + spectrum.imag.square()).float()

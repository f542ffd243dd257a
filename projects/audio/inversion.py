"""Log-mel spectrograms back to waveforms, so that a person can hear what a quantizer leaves.

A spectrogram has no phase and 64 bands where the Fourier transform has 513: what comes back sounds alike and is not the
waveform. Hear it beside the inverted original, which lacks as much.
"""

from __future__ import annotations

import torch
from torch import Tensor

from projects.audio.log_mel import FFT, HIGHEST, HOP, LOWEST, SAMPLE_RATE


def invert(log_mel: Tensor, samples: int, seed: int = 0) -> Tensor:
    """A waveform whose log-mel spectrogram is near the given one.

    Args:
        log_mel: (64, frames) floating point, as of ``LogMel``.
        samples: of the waveform; of ``1 + samples // 160`` frames nothing is cut or added.
        seed: of the phases that the search begins with.

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

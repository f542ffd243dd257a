"""Log-mel spectrograms and augmentation of sounds in batches on the device, beside clip by clip on the CPU.

The alternatives run as in the worker processes of a data loader. The limit of the spectrograms is the short-time
Fourier transform alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import librosa
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.quantize import by_mask, draw
from benchmarks.timing import Options, Row, measure
from projects.audio.augmentation import AudioViews, Augmentation, ResizeCrops
from projects.audio.log_mel import (
    FFT,
    HIGHEST,
    HOP,
    LOWEST,
    MELS,
    SAMPLE_RATE,
    SEGMENT_SAMPLES,
    LogMel,
    LogMelStatistics,
)

FREQUENCIES, FRAMES, CANVAS = 64, 96, 144
RATIO = 0.4


def rows(options: Options) -> Iterator[Row]:
    """The front end, then the augmentations of the paper's table 9."""
    clips = 8 if options.quick else 256
    yield from _log_mel(0.1 * torch.randn(clips, SEGMENT_SAMPLES), options)
    samples = torch.randn(clips, 1, FREQUENCIES, FRAMES)
    on_device = samples.to(options.device)
    crops = ResizeCrops.sample(on_device)
    sides = (side.tolist() for side in (crops.top, crops.left, crops.height, crops.width))
    cropped = [crop_one(sample, *rectangle) for sample, *rectangle in zip(samples, *sides, strict=True)]
    torch.testing.assert_close(crops(on_device).cpu(), torch.stack(cropped), rtol=0, atol=1e-3)
    rng = np.random.default_rng(0)
    for augmentation in (Augmentation(bins=None), Augmentation(mixup=RATIO, bins=None), Augmentation()):
        views = AudioViews(augmentation, LogMelStatistics(0, 1)).to(options.device)
        memory = torch.randn(2048, 1, FREQUENCIES, FRAMES) if augmentation.mixup else None
        contenders = {
            "pcrq": lambda views=views: views(on_device),
            "clip by clip": lambda memory=memory, bins=augmentation.bins: one_by_one(samples, memory, bins, rng),
        }
        yield from measure(f"two views of {clips} clips, {augmentation.name}", contenders, options)


def _log_mel(waveforms: Tensor, options: Options) -> Iterator[Row]:
    log_mel, on_device = LogMel().to(options.device), waveforms.to(options.device)
    filters = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=FFT, n_mels=MELS, fmin=LOWEST, fmax=HIGHEST)
    window = torch.hann_window(FFT, device=options.device)

    def one(waveform: np.ndarray) -> np.ndarray:
        spectrum = librosa.stft(waveform, n_fft=FFT, hop_length=HOP, pad_mode="reflect")
        return np.log(filters @ np.abs(spectrum) ** 2 + np.finfo(np.float32).eps)

    expected = np.stack([one(waveform) for waveform in waveforms[:8].numpy()])
    torch.testing.assert_close(log_mel(on_device[:8])[:, 0].cpu(), torch.from_numpy(expected), rtol=0, atol=1e-3)
    contenders = {
        "pcrq": lambda: log_mel(on_device),
        "librosa, clip by clip": lambda: [one(waveform) for waveform in waveforms.numpy()],
        "torch.stft": lambda: torch.stft(on_device, FFT, HOP, window=window, return_complex=True),
    }
    yield from measure(f"log-mel spectrograms of {len(waveforms)} clips of 0.95 s", contenders, options, "torch.stft")


def crop_one(sample: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """Put one sample (1, F, T) on the canvas, crop and resize it."""
    canvas = torch.zeros(1, FREQUENCIES, CANVAS)
    canvas[:, :, (CANVAS - FRAMES) // 2 : (CANVAS + FRAMES) // 2] = sample
    rectangle = canvas[None, :, top : top + height, left : left + width]
    return F.interpolate(rectangle, (FREQUENCIES, FRAMES), mode="bicubic", align_corners=True)[0]


def random_crop_one(sample: Tensor, rng: np.random.Generator) -> Tensor:
    """A random rectangle of one sample (1, F, T), resized."""
    height = min(int(rng.uniform(0.6, 1.5) * FREQUENCIES), FREQUENCIES)
    width = min(int(rng.uniform(0.6, 1.5) * FRAMES), CANVAS)
    top, left = rng.integers(FREQUENCIES - height + 1), rng.integers(CANVAS - width + 1)
    return crop_one(sample, int(top), int(left), height, width)


def mix_one(sample: Tensor, memory: Tensor, rng: np.random.Generator) -> Tensor:
    """Mix one log-mel spectrogram with a random earlier one."""
    share = RATIO * rng.random()
    mixed = (1 - share) * sample.exp() + share * memory[rng.integers(len(memory))].exp()
    return (mixed + torch.finfo(torch.float32).eps).log()


def one_by_one(samples: Tensor, memory: Tensor | None, bins: int | None, rng: np.random.Generator) -> Tensor:
    """Two views of every clip, one sample at a time."""
    views = []
    for sample in samples.repeat(2, 1, 1, 1):
        view = sample if memory is None else mix_one(sample, memory, rng)
        view = random_crop_one(view, rng)
        if bins:
            flat = view.flatten(1)
            view = by_mask(flat, *draw(flat, bins)).view_as(view)
        views.append(view)
    stacked = torch.stack(views)
    return (stacked - stacked.mean()) / stacked.std()

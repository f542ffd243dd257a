"""Compare the time of batched audio views with augmentation clip by clip, and of log-mel spectrograms with librosa.

Run ``python benchmarks/audio_views.py [--device cuda] [--json FILE]``. The baselines run on the CPU, as in the worker
processes of a data loader; ours runs on the device, one batch at a time. First, all are checked to give the same result
for the same parameters. The methods are timed in turns, and the fastest of all rounds counts.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import librosa
import numpy as np
import torch
import torch.nn.functional as F
from quantize import by_mask, draw
from timing import Options, compare, describe, machine, write_json
from torch import Tensor

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

CLIPS = 256
FREQUENCIES, FRAMES, CANVAS = 64, 96, 144
RATIO, BINS = 0.4, 5


def librosa_log_mel(waveform: np.ndarray, filters: np.ndarray) -> np.ndarray:
    """The log-mel spectrogram (64, frames) of one clip (T,)."""
    spectrum = librosa.stft(waveform, n_fft=FFT, hop_length=HOP, pad_mode="reflect")
    return np.log(filters @ np.abs(spectrum) ** 2 + np.finfo(np.float32).eps)


def crop_one(sample: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """Put one sample (1, F, T) on the canvas, crop and resize it."""
    canvas = torch.zeros(1, FREQUENCIES, CANVAS)
    canvas[:, :, (CANVAS - FRAMES) // 2 : (CANVAS + FRAMES) // 2] = sample
    rectangle = canvas[None, :, top : top + height, left : left + width]
    return F.interpolate(rectangle, (FREQUENCIES, FRAMES), mode="bicubic", align_corners=True)[0]


def random_crop_one(sample: Tensor, rng: np.random.Generator) -> Tensor:
    height = min(int(rng.uniform(0.6, 1.5) * FREQUENCIES), FREQUENCIES)
    width = min(int(rng.uniform(0.6, 1.5) * FRAMES), CANVAS)
    top, left = rng.integers(FREQUENCIES - height + 1), rng.integers(CANVAS - width + 1)
    return crop_one(sample, int(top), int(left), height, width)


def mix_one(sample: Tensor, memory: Tensor, rng: np.random.Generator) -> Tensor:
    share = RATIO * rng.random()
    mixed = (1 - share) * sample.exp() + share * memory[rng.integers(len(memory))].exp()
    return (mixed + torch.finfo(torch.float32).eps).log()


def quantize_one(sample: Tensor) -> Tensor:
    rows = sample.flatten(1)
    return by_mask(rows, *draw(rows, BINS)).view_as(sample)


def views_one_by_one(samples: Tensor, memory: Tensor | None, quantized: bool, rng: np.random.Generator) -> Tensor:
    """Two views of every clip, one sample at a time."""
    views = []
    for sample in samples.repeat(2, 1, 1, 1):
        view = sample if memory is None else mix_one(sample, memory, rng)
        view = random_crop_one(view, rng)
        views.append(quantize_one(view) if quantized else view)
    views = torch.stack(views)
    return (views - views.mean()) / views.std()


def check(waveforms: Tensor, samples: Tensor, filters: np.ndarray, log_mel: LogMel, device: torch.device) -> None:
    ours = log_mel(waveforms[:8].to(device)).cpu()
    theirs = np.stack([librosa_log_mel(waveform, filters) for waveform in waveforms[:8].numpy()])
    crops = ResizeCrops.sample(samples[:32].to(device))
    rectangles = zip(*(side.tolist() for side in (crops.top, crops.left, crops.height, crops.width)), strict=True)
    cropped = torch.stack(
        [crop_one(sample, *rectangle) for sample, rectangle in zip(samples, rectangles, strict=False)]
    )
    equal = np.allclose(ours[:, 0], theirs, atol=1e-3) and torch.allclose(
        crops(samples[:32].to(device)).cpu(), cropped, atol=1e-3
    )
    if not equal:
        raise SystemExit("the results differ, so their times cannot be compared")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"), help="cpu (default) or cuda")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="turns of every contender (default 5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results there")
    args = parser.parse_args()

    about = machine(args.device)
    print(describe(about))
    waveforms = 0.1 * torch.randn(CLIPS, SEGMENT_SAMPLES)
    samples, rng = torch.randn(CLIPS, 1, FREQUENCIES, FRAMES), np.random.default_rng(0)
    filters = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=FFT, n_mels=MELS, fmin=LOWEST, fmax=HIGHEST)
    log_mel = LogMel().to(args.device)
    check(waveforms, samples, filters, log_mel, args.device)
    on_device = {"waveforms": waveforms.to(args.device), "samples": samples.to(args.device)}

    results = {"machine": about, "seconds": {}}
    front_ends = {
        "batched": lambda: log_mel(on_device["waveforms"]),
        "librosa, clip by clip": lambda: [librosa_log_mel(waveform, filters) for waveform in waveforms.numpy()],
    }
    title = f"log-mel spectrograms of {CLIPS} clips of 0.95 s"
    results["seconds"][title] = compare(front_ends, Options(args.device, args.rounds))
    show(title, results["seconds"][title], CLIPS * SEGMENT_SAMPLES / SAMPLE_RATE, "x real time")
    for augmentation in (Augmentation(bins=None), Augmentation(mixup=0.4, bins=None), Augmentation()):
        views = AudioViews(augmentation, LogMelStatistics(0, 1)).to(args.device)
        memory = torch.randn(2048, 1, FREQUENCIES, FRAMES) if augmentation.mixup else None
        quantized = bool(augmentation.bins)
        contenders = {
            "batched": lambda views=views: views(on_device["samples"]),
            "clip by clip": lambda memory=memory, quantized=quantized: views_one_by_one(
                samples, memory, quantized, rng
            ),
        }
        title = f"two views of {CLIPS} clips, {augmentation.name}"
        results["seconds"][title] = compare(contenders, Options(args.device, args.rounds))
        show(title, results["seconds"][title], CLIPS, "clips/s")
    write_json(results, args.json)


def show(title: str, seconds: dict[str, float], amount: float, unit: str) -> None:
    print(f"\n{title}")
    for name, taken in seconds.items():
        ratio = taken / seconds["batched"]
        print(f"  {name:24s} {taken * 1e3:9.2f} ms   {amount / taken:12,.0f} {unit}   {ratio:7.2f} x batched")


if __name__ == "__main__":
    main()

"""Augmentation of log-mel spectrograms, batched on the device: mixup, random resize crop, randomized quantization.

:class:`Augmentation` contains the options, and :class:`AudioViews` makes two augmented samples of every spectrogram.
The variants of the paper's table 9 are the configs variants/*.yaml.

Source: section 5.3 of the paper; BYOL-A (Niizumi et al., IJCNN 2021), section III; nttcslab/byol-a,
byol_a/augmentations.py and train.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pcrq import InputError, RandomizedQuantization
from pcrq.quantizer import uniform
from projects.audio.log_mel import LogMelStatistics, normalize_batch

# --- options ---


@dataclass(frozen=True)
class Augmentation:
    """Steps that make two augmented samples of a log-mel spectrogram.

    The paper leaves open where the spectrogram is quantized and by how many quantizers, and the authors' code for audio
    is not public. projects/audio/README.md compares the possible readings.

    Args:
        mixup: largest share of an earlier sound that is mixed in, in [0, 1]; 0.4 in BYOL-A, 0 for no mixup.
        crop: random resize crop.
        bins: bins of randomized quantization; the paper uses 5; null for no quantization.
        per_frequency: one quantizer per frequency of a sample instead of one per sample.
        random_edges: sample the boundaries of the bins; otherwise they are evenly spaced (table 1).
        random_values: sample the value of a bin; otherwise it is the center (table 1).
        p: probability of quantizing a sample, in [0, 1].
        quantize_first: quantize before the crop, in the place of mixup, instead of after it. The interpolation of the
            crop then blends the values of the bins.
        memory: number of earlier sounds that mixup chooses from.

    Raises:
        InputError: a value is out of range.
    """

    mixup: float = 0.0
    crop: bool = True
    bins: int | None = 5
    per_frequency: bool = False
    random_edges: bool = True
    random_values: bool = True
    p: float = 1.0
    quantize_first: bool = False
    memory: int = 2048

    def __post_init__(self) -> None:
        if not 0 <= self.mixup <= 1:
            raise InputError(f"augmentation.mixup {self.mixup}: must be in [0, 1]; 0 for no mixup")
        if self.bins is not None and self.bins < 1:
            raise InputError(f"augmentation.bins {self.bins}: must be at least 1, or null for no quantization")
        if not 0 <= self.p <= 1:
            raise InputError(f"augmentation.p {self.p}: must be in [0, 1]")
        if self.memory < 1:
            raise InputError(f"augmentation.memory {self.memory}: must be at least 1")

    @property
    def name(self) -> str:
        """Name as in the paper, such as "RRC+Mixup"; "none" for two equal samples.

        Another reading of the paper than the default is part of it: "RRC+RQ (per frequency, before the crop)".
        """
        parts = ["RRC"] * self.crop + ["Mixup"] * (self.mixup > 0) + ["RQ"] * (self.bins is not None)
        reading = ["per frequency"] * self.per_frequency + ["before the crop"] * self.quantize_first
        return ("+".join(parts) or "none") + (f" ({', '.join(reading)})" if self.bins and reading else "")


# --- two augmented samples ---


class AudioViews(nn.Module):
    """Two augmented samples (views) of every log-mel spectrogram of a batch, sampled anew on every call.

    Normalize by the dataset's statistics, mix, crop, quantize, and normalize all views of the batch together.

    Args:
        augmentation: which of the steps in the middle are taken, and their options.
        statistics: of the dataset; None where the attribute is set before the first call.
        size: frequencies F and frames T of a spectrogram.

    Shape:
        (B, 1, F, T) floating point -> two tensors (B, 1, F, T) float32.

    Raises:
        InputError: (when called) the spectrograms have another shape.
    """

    def __init__(
        self, augmentation: Augmentation, statistics: LogMelStatistics | None, size: tuple[int, int] = (64, 96)
    ):
        super().__init__()
        self.augmentation, self.statistics, self.size = augmentation, statistics, size
        self.mixup = Mixup(augmentation.mixup, augmentation.memory, size) if augmentation.mixup else None
        self.quantize = None
        if augmentation.bins is not None:
            self.quantize = RandomizedQuantization(
                augmentation.bins,
                augmentation.p,
                channel_dims=(0, 2) if augmentation.per_frequency else (0, 1),
                random_edges=augmentation.random_edges,
                random_values=augmentation.random_values,
            )

    @torch.no_grad()
    def forward(self, log_mel: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Make both views.

        Args:
            log_mel: (B, 1, F, T) floating point.
            generator: source of randomness, on any device; None for torch's global one. The result is a function of
                its state, and with mixup of the earlier spectrograms, which are in the state dict.
        """
        if tuple(log_mel.shape[1:]) != (1, *self.size):
            frequencies, frames = self.size
            raise InputError(
                f"log-mel spectrograms of shape {tuple(log_mel.shape)}, expected (B, 1, {frequencies}, {frames})"
            )
        samples = self.statistics.normalize(log_mel.float())
        views = torch.cat([samples, samples])
        if self.mixup is not None:
            self.mixup.memory.remember(samples)
            views = self.mixup(views, generator)
        if self.quantize is not None and self.augmentation.quantize_first:
            views = self.quantize(views, generator=generator)
        if self.augmentation.crop:
            views = ResizeCrops.sample(views, generator)(views)
        if self.quantize is not None and not self.augmentation.quantize_first:
            views = self.quantize(views, generator=generator)
        first, second = normalize_batch(views).chunk(2)
        return first, second


# --- mixup ---


class Mixup(nn.Module):
    """Mix every spectrogram with an earlier one, each with its own share and background.

    Args:
        ratio: shares of the background are uniform in [0, ratio).
        samples, size: of the memory.

    Raises:
        InputError: ``ratio`` is not in (0, 1], or ``samples`` is below 1.

    Source: BYOL-A, section III-B.
    """

    def __init__(self, ratio: float = 0.4, samples: int = 2048, size: tuple[int, int] = (64, 96)):
        super().__init__()
        if not 0 < ratio <= 1:
            raise InputError(f"mixup ratio {ratio}: must be above 0 and at most 1")
        self.ratio = ratio
        self.memory = MixupMemory(samples, size)

    def forward(self, views: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Mix (N, 1, F, T) spectrograms; pass the batch to ``memory.remember`` before."""
        share = self.ratio * uniform((len(views),), views, generator)
        return log_mixup_exp(views, self.memory.samples[self.memory.sample(len(views), generator)], share)


class MixupMemory(nn.Module):
    """Memory of the latest spectrograms.

    It is part of the state dict, so that a run resumes exactly: 50 MB for 2048 samples. With several processes each
    stores and samples its own spectrograms, and a checkpoint contains those of the first process: after resuming, all
    processes sample from these until they have replaced them by their own.

    Args:
        samples: capacity.
        size: frequencies and frames of a spectrogram.

    Raises:
        InputError: ``samples`` is below 1.
    """

    samples: Tensor
    seen: Tensor

    def __init__(self, samples: int = 2048, size: tuple[int, int] = (64, 96)):
        super().__init__()
        if samples < 1:
            raise InputError(f"mixup memory of {samples} samples: must be at least 1")
        self.register_buffer("samples", torch.zeros(samples, 1, *size))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def remember(self, batch: Tensor) -> None:
        """Replace the oldest spectrograms by (B, 1, F, T) new ones; by the last of them where B exceeds the capacity.

        Raises:
            InputError: the spectrograms have another size.
        """
        if batch.shape[1:] != self.samples.shape[1:]:
            raise InputError(
                f"mixup memory for samples of shape {tuple(self.samples.shape[1:])}, these have "
                f"{tuple(batch.shape[1:])}; set its size"
            )
        latest = batch[-len(self.samples) :]
        order = self.seen + torch.arange(len(batch), device=batch.device)[-len(self.samples) :]
        self.samples[order % len(self.samples)] = latest.to(self.samples.dtype)
        self.seen += len(batch)

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Sample (count,) int64 rows of the memory, each equally likely; call :meth:`remember` before.

        The current batch is included, so that the first one of a run has backgrounds, too. A spectrogram mixed with
        itself does not change; in BYOL-A this happens for the second view.
        """
        return integers_below(self.seen.clamp(max=len(self.samples)).expand(count), generator)


def log_mixup_exp(foreground: Tensor, background: Tensor, share: Tensor) -> Tensor:
    """Logarithm of ``(1 - share) * exp(foreground) + share * exp(background)``: mix powers, not their logarithms.

    Args:
        foreground, background: (N, C, F, T) float32, logarithmic.
        share: (N,) share of the background, in [0, 1].

    Returns:
        (N, C, F, T) float32; an epsilon keeps it finite.
    """
    share = share.view(-1, 1, 1, 1)
    mixed = (1 - share) * foreground.exp() + share * background.exp()
    return (mixed + torch.finfo(mixed.dtype).eps).log()


# --- random resize crop ---

CANVAS = (1.0, 1.5)
"""Frequencies and frames of the canvas, relative to the spectrogram."""
SCALE = (0.6, 1.5)
"""Range of the sides of a crop, relative to the spectrogram; larger ones are limited to the canvas."""


@dataclass(frozen=True, eq=False)
class ResizeCrops:
    """Random resize crop: approximately a shift and a stretch of pitch and time.

    A spectrogram is centered on a longer canvas of zeros; a random rectangle of the canvas is resized to the size of
    the spectrogram. Both together are linear along frequency and along time, so that a batch takes two products with
    small matrices of bicubic weights. Sample the crops with :meth:`sample`, and apply them as often as needed.

    Args:
        top, left: (N,) int64 first frequency and first frame of the crops, on the canvas.
        height, width: (N,) int64 frequencies and frames of the crops, at least 1.
        size: frequencies F and frames T of the spectrograms.

    Example:
        >>> spectrograms = torch.randn(8, 1, 64, 96)
        >>> crops = ResizeCrops.sample(spectrograms)
        >>> torch.equal(crops(spectrograms), crops(spectrograms))
        True

    Source: BYOL-A, section III-C.
    """

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor
    size: tuple[int, int]

    @classmethod
    def sample(cls, spectrograms: Tensor, generator: torch.Generator | None = None) -> ResizeCrops:
        """Sample a crop for every spectrogram, the size first and then the place.

        Args:
            spectrograms: (N, C, F, T), of which only shape and device matter.
            generator: source of randomness, on any device; None for torch's global one.
        """
        frequencies, frames = spectrograms.shape[-2:]
        fraction = uniform((2, len(spectrograms)), spectrograms.new_empty(0, dtype=torch.float32), generator)
        scale = SCALE[0] + (SCALE[1] - SCALE[0]) * fraction
        canvas_height, canvas_width = _canvas((frequencies, frames))
        height = (scale[0] * frequencies).long().clamp(1, canvas_height)
        width = (scale[1] * frames).long().clamp(1, canvas_width)
        top = integers_below(canvas_height - height + 1, generator)
        left = integers_below(canvas_width - width + 1, generator)
        return cls(top, left, height, width, (frequencies, frames))

    def __call__(self, spectrograms: Tensor) -> Tensor:
        """Crop and resize.

        Args:
            spectrograms: (N, C, F, T) floating point. Zeros surround them, so normalize them before.

        Returns:
            (N, C, F, T) float32, bicubic interpolation with aligned corners; float32 also under autocast.

        Raises:
            InputError: number or size of the spectrograms differ from those of the crops.
        """
        if spectrograms.ndim != 4 or (len(spectrograms), *spectrograms.shape[2:]) != (len(self.top), *self.size):
            raise InputError(
                f"spectrograms of shape {tuple(spectrograms.shape)}: the crops are for {len(self.top)} of size "
                f"{self.size}; sample new ones"
            )
        frequencies, frames = self.size
        above, before = ((canvas - side) // 2 for canvas, side in zip(_canvas(self.size), self.size, strict=True))
        with torch.autocast(spectrograms.device.type, enabled=False):
            along_frequency = _bicubic_weights(self.top - above, self.height, frequencies)
            along_time = _bicubic_weights(self.left - before, self.width, frames)
            return along_frequency.unsqueeze(1) @ spectrograms.float() @ along_time.mT.unsqueeze(1)


def integers_below(limit: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Sample integers below limits that live on the device, without synchronizing with it.

    Args:
        limit: int64 of any shape, each at least 1 and below 2²⁴.
        generator: source of randomness, on any device; None for torch's global one of the device of ``limit``.

    Returns:
        int64 in the shape of ``limit``, uniform in [0, limit).
    """
    fraction = uniform(tuple(limit.shape), limit.new_empty(0, dtype=torch.float32), generator)
    return torch.minimum((fraction * limit).long(), limit - 1)  # the product can round up to the limit


def _canvas(size: tuple[int, int]) -> tuple[int, int]:
    """Frequencies and frames of the canvas."""
    return int(size[0] * CANVAS[0]), int(size[1] * CANVAS[1])


def _bicubic_weights(start: Tensor, length: Tensor, size: int) -> Tensor:
    """Matrices that resize an interval to ``size`` points, mapping its ends to the first and the last one.

    Args:
        start: (N,) int64 first point of the interval; points outside [0, size) are zeros on the canvas.
        length: (N,) int64 points of the interval.
        size: points before and after.

    Returns:
        (N, size, size) float32: the weight of every old point (column) for every new one (row).

    Source: Keys, Cubic convolution interpolation for digital image processing, 1981, with a = -0.75. The first and last
    point of the interval repeat beyond its ends, as in torch.nn.functional.interpolate.
    """
    points = torch.arange(size, device=start.device)
    position = points * ((length - 1) / max(1, size - 1)).unsqueeze(1)
    base = position.floor()
    distance = position - base
    weights = torch.zeros(len(start), size, size + 1, device=start.device)  # last column: points outside
    for tap in (-1, 0, 1, 2):  # one by one, since taps at an end of the interval coincide
        neighbour = (base.long() + tap).clamp(min=0).minimum(length.unsqueeze(1) - 1) + start.unsqueeze(1)
        neighbour = neighbour.where((neighbour >= 0) & (neighbour < size), size).unsqueeze(2)
        weights.scatter_(2, neighbour, weights.gather(2, neighbour) + _cubic((distance - tap).abs()).unsqueeze(2))
    return weights[..., :size]


def _cubic(distance: Tensor, a: float = -0.75) -> Tensor:
    """Weight of a point at a distance in [0, 2] points."""
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((distance - 5) * distance + 8) * distance * a - 4 * a
    return torch.where(distance <= 1, near, far)

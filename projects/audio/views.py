"""Two views of every log-mel spectrogram of a batch, made on the training device."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pcrq import RandomizedQuantization
from pcrq.errors import InputError
from projects.audio.augmentation import Augmentation
from projects.audio.mixup import Mixup
from projects.audio.normalization import LogMelStatistics, PreNormalize, normalize_batch
from projects.audio.resize_crop import ResizeCrops


class AudioViews(nn.Module):
    """Log-mel spectrograms to the two views of BYOL-A, both drawn anew on every call.

    Normalise by the data set, mix, crop, quantize, normalise the views of the batch together.

    Args:
        augmentation: tells the steps in the middle.
        statistics: of the data set; None where ``pre_normalize.statistics`` is set before the first call.
        size: frequencies and frames of a sample.

    Shape:
        (B, 1, F, T) floating point -> two tensors (B, 1, F, T) float32.

    Raises:
        InputError: (when called) the spectrograms are of another shape.

    Source: nttcslab/byol-a, train.py; section 5.3.
    """

    def __init__(
        self, augmentation: Augmentation, statistics: LogMelStatistics | None, size: tuple[int, int] = (64, 96)
    ):
        super().__init__()
        self.augmentation, self.size = augmentation, size
        self.pre_normalize = PreNormalize(statistics)
        self.mixup = Mixup(augmentation.mixup, augmentation.memory, size) if augmentation.mixup else None
        self.quantize = None
        if augmentation.bins:
            self.quantize = RandomizedQuantization(
                augmentation.bins,
                augmentation.p,
                channel_dims=(0, 2) if augmentation.per_frequency else (0, 1),
                random_edges=augmentation.random_edges,
                random_values=augmentation.random_values,
            )

    @torch.no_grad()
    def forward(self, log_mel: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Make both views; with a ``generator`` the result is reproducible without touching the global one.

        With mixup it also depends on the samples before, which are in the state dict.
        """
        if tuple(log_mel.shape[1:]) != (1, *self.size):
            frequencies, frames = self.size
            raise InputError(
                f"log-mel spectrograms of shape {tuple(log_mel.shape)}, expected (B, 1, {frequencies}, {frames})"
            )
        samples = self.pre_normalize(log_mel.float())
        views = torch.cat([samples, samples])
        if self.mixup is not None:
            self.mixup.memory.remember(samples)
            views = self.mixup(views, generator)
        if self.quantize is not None and self.augmentation.quantize_first:
            views = self.quantize(views, generator)
        if self.augmentation.crop:
            views = ResizeCrops.sample(views, generator)(views)
        if self.quantize is not None and not self.augmentation.quantize_first:
            views = self.quantize(views, generator)
        first, second = normalize_batch(views).chunk(2)
        return first, second

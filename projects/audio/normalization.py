"""Normalisation before and after the views are made: by the data set's statistics, then by the batch's own.

Source: BYOL-A (Niizumi et al., IJCNN 2021), section III; nttcslab/byol-a, byol_a/augmentations.py. Mean and deviation
are one number each, over samples, frequencies and frames alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pcrq.errors import InputError


@dataclass(frozen=True)
class LogMelStatistics:
    """Mean and standard deviation of all values of a data set's log-mel spectrograms.

    Args:
        mean, std: in log-mel units; std is above 0.

    Raises:
        InputError: they are not finite, or the deviation is not positive.
    """

    mean: float
    std: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.mean) and math.isfinite(self.std) and self.std > 0):
            raise InputError(
                f"log-mel statistics: mean {self.mean}, deviation {self.std}; the sounds are all silent, or not finite"
            )


def log_mel_statistics(batches: Iterable[Tensor]) -> LogMelStatistics:
    """Measure a data set in one pass, with the memory of one batch.

    Args:
        batches: log-mel spectrograms of any shapes and devices. BYOL-A measures one random segment of every sound.

    Returns:
        Mean and population deviation, accumulated in double precision over the batches.

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
        raise InputError("log-mel statistics: no sounds to measure; name a data set that holds some")
    return LogMelStatistics(mean, math.sqrt(squares / count))


class PreNormalize(nn.Module):
    """Normalise by the statistics of a data set, as training and evaluation do before all else.

    Args:
        statistics: of the data set; None where they are set before the first call.

    Shape:
        any shape, floating point -> the same.
    """

    def __init__(self, statistics: LogMelStatistics | None):
        super().__init__()
        self.statistics = statistics

    def forward(self, log_mel: Tensor) -> Tensor:
        """(log_mel - mean) / std."""
        return (log_mel - self.statistics.mean) / self.statistics.std

    def extra_repr(self) -> str:
        """What ``print`` shows between the parentheses."""
        return f"{self.statistics}"


def normalize_batch(views: Tensor) -> Tensor:
    """Normalise by the batch's own mean and deviation; what crops and mixing have shifted comes back to 0 and 1.

    Args:
        views: (N, C, F, T) floating point. BYOL-A joins both views of a batch, so that they shift alike.

    Returns:
        The same shape: mean 0 and (unbiased) deviation 1 over samples, frequencies and frames of every channel.
    """
    std, mean = torch.std_mean(views, dim=(0, 2, 3), keepdim=True)
    return (views - mean) / std.clamp(min=torch.finfo(torch.float32).eps)

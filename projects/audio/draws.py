"""Whole numbers at random whose limits live on the device."""

from __future__ import annotations

import torch
from torch import Tensor

from pcrq.sampling import uniform


def integers_below(limit: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Draw a whole number below every limit, without a look at the limits, for which a GPU would have to stop.

    Args:
        limit: int64 of any shape, each at least 1 and below 2²⁴.
        generator: source of randomness, on any device; None for torch's global one of the device of ``limit``.

    Returns:
        int64 in the shape of ``limit``, uniform in [0, limit).
    """
    fraction = uniform(tuple(limit.shape), limit.new_empty(0, dtype=torch.float32), generator)
    return torch.minimum((fraction * limit).long(), limit - 1)  # the product can round up to the limit

"""Convex mixes of the samples of a batch, as in mixup (Zhang et al., ICLR 2018)."""

from __future__ import annotations

import torch


def mix(samples: torch.Tensor, share: torch.Tensor, partner: torch.Tensor) -> torch.Tensor:
    """``share * sample + (1 - share) * partner`` for every sample.

    Args:
        samples: (B, …) floating point.
        share: (B,) in [0, 1], the share that a sample keeps of itself.
        partner: (B,) int64 rows of ``samples``.

    Returns:
        (B, …) of the dtype of the samples.
    """
    share = share.to(samples.dtype).view(-1, *[1] * (samples.ndim - 1))
    return share * samples + (1 - share) * samples[partner]

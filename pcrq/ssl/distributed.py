"""Gather tensors of all processes, so that contrastive losses and memories use the joint batch of all devices."""

from __future__ import annotations

import torch
from torch import distributed


@torch.no_grad()
def gather(tensor: torch.Tensor) -> torch.Tensor:
    """Concatenate a tensor over all processes, in the order of their ranks.

    No gradient flows through the result. Losses need none, because only targets are gathered: each process computes
    the whole gradient of its own predictions.

    Args:
        tensor: (B, …); B is the same in every process, so data loaders must drop an incomplete last batch.

    Returns:
        (B * processes, …) without gradient; the detached tensor itself without a process group.
    """
    tensor = tensor.detach().contiguous()
    if process_count() == 1:
        return tensor
    parts = [torch.empty_like(tensor) for _ in range(process_count())]
    distributed.all_gather(parts, tensor)
    return torch.cat(parts)


def process_count() -> int:
    """Return the number of processes of the default group, 1 without a group."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def first_row(batch: int) -> int:
    """Return the row of :func:`gather`'s result at which this process begins, for ``batch`` rows per process."""
    return distributed.get_rank() * batch if process_count() > 1 else 0

"""Keys of all processes: a contrastive batch is the joint batch of all devices.

No gradient flows through the gathered keys. It needs none, because they come from the target network; the process
that owns a prediction computes the whole of its gradient.
"""

from __future__ import annotations

import torch
from lightly.models.utils import concat_all_gather
from lightly.utils.dist import rank, world_size


def gather(tensor: torch.Tensor) -> torch.Tensor:
    """Concatenate a tensor over all processes, in the order of their ranks.

    Args:
        tensor: (B, …); B is the same in every process, so data loaders must drop an incomplete last batch.

    Returns:
        (B * processes, …) without gradient; the tensor itself, detached, where no process group was initialised.
    """
    tensor = tensor.detach().contiguous()
    return concat_all_gather(tensor) if world_size() > 1 else tensor


def first_row(batch: int) -> int:
    """Where the rows of this process begin in a gathered tensor of ``batch`` rows a process."""
    return rank() * batch

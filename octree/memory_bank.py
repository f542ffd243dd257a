"""The memory banks of MID-Net: what the network said last of every shape and of every patch.

Instance discrimination needs a class weight per training shape; the memory plays that part (Wu et al., CVPR 2018;
Wang et al., AAAI 2021). Banks are updated after the optimiser's step, with the features of all devices, so that every
device ends a step with the same bank.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from pcrq.ssl import gather

MOMENTUM = 0.5
_BLOCK = 128  # leaves of one shape that are compared with its patches at once
_SEED = 57449  # banks start equal on every device, whatever the state of its random generators


class ShapeMemory(nn.Module):
    """One unit vector per training shape.

    Args:
        shapes: number of training shapes S.
        channels: dimensions D of the shape feature.
    """

    def __init__(self, shapes: int, channels: int):
        super().__init__()
        self.register_buffer("memory", _random_unit_vectors(shapes, channels))

    def similarity(self, feature: torch.Tensor) -> torch.Tensor:
        """(B, S) cosine of (B, D) unit features with every shape of the bank."""
        return feature @ self.memory.t()

    @torch.no_grad()
    def update(self, feature: torch.Tensor, index: torch.Tensor) -> None:
        """Move the rows ``index`` (B,) towards the unit features (B, D), seen by any device in this step."""
        feature, index = gather(feature), gather(index)
        row, place = torch.unique(index, return_inverse=True)
        mean = feature.new_zeros(len(row), feature.shape[1]).index_add_(0, place, feature)
        self.memory[row] = _moved(self.memory[row], F.normalize(mean, dim=1))


class PatchMemory(nn.Module):
    """One unit vector per patch of every training shape.

    Args:
        shapes: number of training shapes S.
        patches: patches P of a shape.
        channels: dimensions D of a point feature.
    """

    def __init__(self, shapes: int, patches: int, channels: int):
        super().__init__()
        self.register_buffer("memory", _random_unit_vectors(shapes, patches, channels))

    def similarity(self, feature: torch.Tensor, batch_id: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """(L, P) cosine of (L, D) unit features with the patches of their own shape.

        Args:
            feature: (L, D) unit features of leaves, ordered by shape.
            batch_id: (L,) ascending: the shape of the batch that a leaf belongs to.
            index: (B,) rows of the bank.
        """
        count = torch.bincount(batch_id, minlength=len(index))
        position = torch.arange(len(batch_id), device=batch_id.device) - (count.cumsum(0) - count)[batch_id]
        blocks = -(-count // _BLOCK)  # of equal size, so that one batched product does for shapes of any size
        block = (blocks.cumsum(0) - blocks)[batch_id] + position // _BLOCK
        padded = feature.new_zeros(int(blocks.sum()), _BLOCK, feature.shape[1])
        padded = padded.index_put((block, position % _BLOCK), feature)
        memory = self.memory[index.repeat_interleave(blocks)]
        return torch.bmm(padded, memory.transpose(1, 2))[block, position % _BLOCK]

    @torch.no_grad()
    def update(self, feature: torch.Tensor, batch_id: torch.Tensor, patch: torch.Tensor, index: torch.Tensor) -> None:
        """Move every patch of this step's shapes towards the mean feature of its leaves; others stay.

        Args:
            feature: (L, D) unit features of leaves.
            batch_id: (L,) the shape of the batch that a leaf belongs to.
            patch: (L,) the patch of a leaf.
            index: (B,) rows of the bank.
        """
        _, patches, channels = self.memory.shape
        total = feature.new_zeros(len(index) * patches, channels)
        total.index_add_(0, batch_id * patches + patch, feature.detach())
        total = gather(total.view(len(index), patches, channels))
        row, place = torch.unique(gather(index), return_inverse=True)
        total = torch.zeros_like(total[: len(row)]).index_add_(0, place, total)
        seen = total.abs().sum(dim=2, keepdim=True) > 0
        old = self.memory[row]
        self.memory[row] = torch.where(seen, _moved(old, F.normalize(total, dim=2)), old)


def _moved(old: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
    """Half way from old to new unit vectors; a step whose features overflowed must not spoil the bank for ever."""
    moved = F.normalize(MOMENTUM * new + (1 - MOMENTUM) * old, dim=-1)
    return torch.where(moved.isfinite().all(dim=-1, keepdim=True), moved, old)


def _random_unit_vectors(*size: int) -> torch.Tensor:
    vectors = torch.randn(*size, generator=torch.Generator().manual_seed(_SEED))
    return vectors.div_(vectors.norm(dim=-1, keepdim=True))

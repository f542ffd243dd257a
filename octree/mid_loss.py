"""The two losses of MID-Net over their memory banks (Wang et al., AAAI 2021; microsoft/O-CNN, ``mid_loss.py``)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from ocnn.octree import Octree
from torch import nn

from octree.batch_octree import leaf_patches
from octree.memory_bank import PatchMemory, ShapeMemory
from octree.midnet import MIDFeatures
from octree.point_batch import PointBatch

TEMPERATURE = 0.1


@dataclass(frozen=True)
class MIDTarget:
    """What the features of a batch are compared with.

    Args:
        index: (B,) row of every shape in the memory banks.
        batch_id: (L,) ascending: the shape of every non-empty leaf.
        patch: (L,) patch of every non-empty leaf.
    """

    index: torch.Tensor
    batch_id: torch.Tensor
    patch: torch.Tensor

    @classmethod
    def of(cls, batch: PointBatch, octree: Octree, leaf_of_point: torch.Tensor) -> MIDTarget:
        """The target of a batch with patches and its octree, as :meth:`octree.midnet.MIDNet.octree` makes it."""
        leaves = int(octree.nnum_nempty[octree.depth])
        return cls(
            index=batch.index,
            batch_id=octree.batch_id(octree.depth, nempty=True),
            patch=leaf_patches(leaf_of_point, batch.patches, leaves),
        )


@dataclass(frozen=True)
class MIDLosses:
    """Scalars of one step; accuracies are in [0, 1] and carry no gradient."""

    shape_loss: torch.Tensor
    point_loss: torch.Tensor
    shape_accuracy: torch.Tensor
    point_accuracy: torch.Tensor

    @property
    def total(self) -> torch.Tensor:
        """The sum of both losses with weights 1 and 1."""
        return self.shape_loss + self.point_loss


class MIDLoss(nn.Module):
    """Tell every shape from all others, and every patch from the other patches of its shape.

    Args:
        shapes: number of training shapes.
        patches: patches of a shape.
        shape_channels: dimensions of the shape feature.
        point_channels: dimensions of the point features.
    """

    def __init__(self, shapes: int, patches: int = 100, shape_channels: int = 128, point_channels: int = 64):
        super().__init__()
        self.shape_memory = ShapeMemory(shapes, shape_channels)
        self.patch_memory = PatchMemory(shapes, patches, point_channels)

    def forward(self, features: MIDFeatures, target: MIDTarget) -> MIDLosses:
        """Softmax cross-entropy against both banks, at temperature 0.1, always in full precision."""
        with torch.autocast(features.shape.device.type, enabled=False):
            shape_logits = self.shape_memory.similarity(features.shape) / TEMPERATURE
            point_logits = self.patch_memory.similarity(features.point, target.batch_id, target.index) / TEMPERATURE
        return MIDLosses(
            shape_loss=F.cross_entropy(shape_logits, target.index),
            point_loss=F.cross_entropy(point_logits, target.patch),
            shape_accuracy=_accuracy(shape_logits, target.index),
            point_accuracy=_accuracy(point_logits, target.patch),
        )

    def update(self, features: MIDFeatures, target: MIDTarget) -> None:
        """Update both banks; call it after the optimiser's step, on every device."""
        self.shape_memory.update(features.shape, target.index)
        self.patch_memory.update(features.point, target.batch_id, target.patch, target.index)


def _accuracy(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return (logits.detach().argmax(dim=1) == target).float().mean()

"""Networks for labelled shapes from a pretrained MID-Net: classification, part segmentation, and the part IoU."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from octree.batch_octree import BatchOctree
from octree.hrnet import HRNet
from octree.midnet import (
    IN_CHANNELS,
    MIDNet,
    MIDNetConfig,
    PointHead,
    ShapeHead,
    configure_layers,
    leaf_features,
    network_octree,
)
from octree.point_batch import PointBatch


class ShapeClassifier(nn.Module):
    """MID-Net's backbone and shape head, ending in a linear layer for categories.

    Args:
        config: the architecture of the backbone.
        classes: number of categories.

    Source: Wu et al., ICCV 2023, table 6.
    """

    def __init__(self, config: MIDNetConfig, classes: int):
        super().__init__()
        self.config = config
        self.backbone = HRNet(config.width, IN_CHANNELS, config.blocks, config.nempty)
        self.head = ShapeHead(self.backbone.channels, classes, config.nempty)
        configure_layers(self, config)

    def forward(self, data: PointBatch | BatchOctree) -> torch.Tensor:
        """Return (B, classes) logits of a batch or its octree; see :meth:`octree.MIDNet.octree`."""
        octree = network_octree(self, data)
        logits: torch.Tensor
        _, logits = self.head(self.backbone(leaf_features(octree, self.config.nempty), octree), octree)
        return logits

    def load_backbone(self, network: MIDNet) -> None:
        """Copy the pretrained backbone and "fc1"; the last linear layer stays as it is."""
        self.backbone.load_state_dict(network.backbone.state_dict())
        self.head.fc1.load_state_dict(network.shape_head.fc1.state_dict())


class PartSegmenter(nn.Module):
    """MID-Net's backbone and point head, evaluated at the points, ending in a linear layer for parts.

    Args:
        config: the architecture of the backbone.
        parts: number of parts.

    Source: Wu et al., ICCV 2023, table 7.
    """

    def __init__(self, config: MIDNetConfig, parts: int):
        super().__init__()
        self.config = config
        self.backbone = HRNet(config.width, IN_CHANNELS, config.blocks, config.nempty)
        self.head = PointHead(self.backbone.channels, parts, config.nempty)
        configure_layers(self, config)

    def forward(self, data: PointBatch | BatchOctree) -> torch.Tensor:
        """Return (N, parts) logits of the points of a batch or its octree; see :meth:`octree.MIDNet.octree`."""
        octree = network_octree(self, data)
        return self.head.at_points(self.backbone(leaf_features(octree, self.config.nempty), octree), octree)

    def load_backbone(self, network: MIDNet) -> None:
        """Copy the pretrained backbone and the head's hidden layer; the last linear layer stays as it is."""
        self.backbone.load_state_dict(network.backbone.state_dict())
        self.head.hidden.load_state_dict(network.point_head.hidden.state_dict())
        self.head.norm.load_state_dict(network.point_head.norm.state_dict())


@dataclass(frozen=True)
class PartIoU:
    """Mean intersection over union of every shape of a batch, in both conventions of the literature.

    Args:
        present: (B,) float64 mean over the parts that the ground truth of a shape has: table 7 of the paper and O-CNN.
            Points that are wrongly given to an absent part count only as missing from their true part.
        all_parts: (B,) float64 mean over all parts of the category; a part that is neither present nor predicted
            counts 1, one that is only predicted counts 0 (Qi et al., PointNet).
    """

    present: torch.Tensor
    all_parts: torch.Tensor


def part_iou(
    prediction: torch.Tensor, label: torch.Tensor, batch_id: torch.Tensor, batch_size: int, parts: int
) -> PartIoU:
    """Compare predicted and true parts.

    Args:
        prediction, label: (N,) int64 in [0, parts).
        batch_id: (N,) int64 in [0, batch_size), the shape of every point; every shape has a point.
        batch_size: number of shapes B.
        parts: number of parts P.
    """

    def points_per_part(part: torch.Tensor, chosen: torch.Tensor | slice = slice(None)) -> torch.Tensor:
        place = (batch_id * parts + part)[chosen]
        return torch.bincount(place, minlength=batch_size * parts).view(batch_size, parts).double()

    true, predicted = points_per_part(label), points_per_part(prediction)
    both = points_per_part(label, prediction == label)
    union = true + predicted - both
    iou = both / union.clamp(min=1)
    return PartIoU(
        present=iou.sum(dim=1) / (true > 0).sum(dim=1),  # an absent part adds nothing to the sum
        all_parts=torch.where(union > 0, iou, 1.0).mean(dim=1),
    )

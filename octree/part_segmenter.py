"""A MID-Net's backbone with its point head read at points: points to parts (paper, table 7)."""

from __future__ import annotations

import torch
from ocnn.octree import Octree
from torch import nn

from octree.hrnet import HRNet
from octree.midnet import IN_CHANNELS, MIDNet, MIDNetConfig, PointHead, leaf_features
from octree.pair_convolution import use_pair_convolution


class PartSegmenter(nn.Module):
    """Logits of the parts of a batch of points; the head has two fully connected layers.

    Args:
        config: the architecture of the backbone.
        parts: number of parts.
    """

    def __init__(self, config: MIDNetConfig, parts: int):
        super().__init__()
        self.config = config
        self.backbone = HRNet(config.width, IN_CHANNELS, config.blocks, config.nempty)
        self.head = PointHead(self.backbone.channels, parts, config.nempty)
        use_pair_convolution(self)

    def forward(self, octree: Octree, points: torch.Tensor, leaf_of_point: torch.Tensor) -> torch.Tensor:
        """(N, parts) logits of the points that the octree was built from."""
        features = self.backbone(leaf_features(octree, self.config.nempty), octree)
        return self.head.at_points(features, octree, points, leaf_of_point)

    def take_over(self, network: MIDNet) -> None:
        """Copy the pretrained backbone and the head's hidden layer; the last layer stays as it is."""
        self.backbone.load_state_dict(network.backbone.state_dict())
        self.head.hidden.load_state_dict(network.point_head.hidden.state_dict())
        self.head.norm.load_state_dict(network.point_head.norm.state_dict())

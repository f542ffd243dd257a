"""A MID-Net's backbone with a linear layer on "fc1": whole shapes to categories (paper, table 6)."""

from __future__ import annotations

import torch
from ocnn.octree import Octree
from torch import nn

from octree.hrnet import HRNet
from octree.midnet import IN_CHANNELS, MIDNet, MIDNetConfig, ShapeHead, leaf_features
from octree.pair_convolution import use_pair_convolution


class ShapeClassifier(nn.Module):
    """Logits of the categories of a batch of shapes.

    Args:
        config: the architecture of the backbone.
        classes: number of categories.
    """

    def __init__(self, config: MIDNetConfig, classes: int):
        super().__init__()
        self.config = config
        self.backbone = HRNet(config.width, IN_CHANNELS, config.blocks, config.nempty)
        self.head = ShapeHead(self.backbone.channels, classes, config.nempty)
        use_pair_convolution(self)

    def forward(self, octree: Octree) -> torch.Tensor:
        """(B, classes) logits for the octree of a batch."""
        _, logits = self.head(self.backbone(leaf_features(octree, self.config.nempty), octree), octree)
        return logits

    def take_over(self, network: MIDNet) -> None:
        """Copy the pretrained backbone and "fc1"; the linear layer stays as it is."""
        self.backbone.load_state_dict(network.backbone.state_dict())
        self.head.fc1.load_state_dict(network.shape_head.fc1.state_dict())

"""The HRNet backbone of MID-Net on octrees, from ocnn's layers (Wang et al., AAAI 2021; microsoft/O-CNN, HRNet).

Features are kept at three resolutions in parallel: with leaves at depth d, at depths d-1, d-2 and d-3. Every stage
runs residual blocks on each branch and then exchanges features between all branches.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from ocnn.modules import Conv1x1Bn, OctreeConvBnRelu, OctreeResBlocks
from ocnn.octree import Octree
from torch import nn

from octree.layers import max_pool, upsample

STAGES = 3


@dataclass(frozen=True)
class BackboneFeatures:
    """Output of the backbone.

    Args:
        leaves: (L, width / 2) features at the depth d of the leaves, from the first convolution.
        branches: features at the depths d-1, d-2, d-3, with width, 2·width and 4·width channels.
    """

    leaves: torch.Tensor
    branches: list[torch.Tensor]


class HRNet(nn.Module):
    """Backbone of MID-Net: from features of the leaves to features at four depths.

    Args:
        width: channels at depth d-1; the paper's network has 128.
        in_channels: channels of a leaf: the normal (3) and the displacement of the mean point (1).
        blocks: residual blocks per branch and stage.
        nempty: convolve non-empty nodes only, at about half the cost. O-CNN convolves all nodes.
    """

    def __init__(self, width: int = 128, in_channels: int = 4, blocks: int = 3, nempty: bool = False):
        super().__init__()
        self.nempty = nempty
        self.channels = [width << branch for branch in range(STAGES)]
        self.front_leaves = OctreeConvBnRelu(in_channels, width // 2, nempty=nempty)
        self.front = OctreeConvBnRelu(width // 2, width, nempty=nempty)
        self.stages = nn.ModuleList(
            nn.ModuleList(
                OctreeResBlocks(channels, channels, blocks, bottleneck=4 if channels < 256 else 8, nempty=nempty)
                for channels in self.channels[: stage + 1]
            )
            for stage in range(STAGES)
        )
        self.exchanges = nn.ModuleList(
            Exchange(self.channels[: stage + 2], nempty=nempty) for stage in range(STAGES - 1)
        )

    def forward(self, data: torch.Tensor, octree: Octree) -> BackboneFeatures:
        """Return the features of an octree with neighbor tables.

        Args:
            data: (L, in_channels) features of the leaves; of the non-empty ones if ``nempty``.
            octree: made by :meth:`octree.MIDNet.octree`.
        """
        depth = octree.depth
        leaves = self.front_leaves(data, octree, depth)
        branches = [self.front(max_pool(leaves, octree, depth, self.nempty), octree, depth - 1)]
        for stage, blocks in enumerate(self.stages):
            if stage > 0:
                branches = self.exchanges[stage - 1](branches, octree, depth - 1)
            for level, block in enumerate(blocks.children()):
                branches[level] = block(branches[level], octree, depth - 1 - level)
        return BackboneFeatures(leaves, branches)


class Exchange(nn.Module):
    """Sum every branch, resampled, into every branch and into one new, coarser branch; then ReLU."""

    def __init__(self, channels: list[int], nempty: bool):
        super().__init__()
        self.nempty = nempty
        sources = channels[:-1]
        self.project = nn.ModuleDict(
            {
                f"{source}_to_{target}": Conv1x1Bn(sources[source], channels[target])
                for source in range(len(sources))
                for target in range(len(channels))
                if source != target
            }
        )
        self.targets = len(channels)

    def forward(self, branches: list[torch.Tensor], octree: Octree, depth: int) -> list[torch.Tensor]:
        """From features at ``depth``, ``depth`` - 1, … to the same and one depth below."""
        fused = []
        for target in range(self.targets):
            parts = [self._resample(data, octree, depth, i, target) for i, data in enumerate(branches)]
            fused.append(torch.relu(sum(parts[1:], parts[0])))
        return fused

    def _resample(self, data: torch.Tensor, octree: Octree, depth: int, source: int, target: int) -> torch.Tensor:
        if source == target:
            return data
        project = self.project[f"{source}_to_{target}"]
        if source < target:  # to a coarser branch: pool, then project
            pooled: torch.Tensor = project(max_pool_to(data, octree, depth - source, depth - target, self.nempty))
            return pooled
        return upsample_to(project(data), octree, depth - source, depth - target, self.nempty)


def max_pool_to(data: torch.Tensor, octree: Octree, depth: int, target: int, nempty: bool) -> torch.Tensor:
    """Max-pool node features from ``depth`` up to the coarser ``target`` depth."""
    for level in range(depth, target, -1):
        data = max_pool(data, octree, level, nempty)
    return data


def upsample_to(data: torch.Tensor, octree: Octree, depth: int, target: int, nempty: bool) -> torch.Tensor:
    """Copy node features from ``depth`` down to all descendants at the finer ``target`` depth."""
    for level in range(depth, target):
        data = upsample(data, octree, level, nempty)
    return data

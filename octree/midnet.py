"""MID-Net: HRNet with a shape head and a point head, whose outputs are unit vectors.

Multiresolution instance discrimination (Wang et al., AAAI 2021): the global feature distinguishes a shape from all
others, the local features distinguish the patches of one shape.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from ocnn.modules import Conv1x1BnRelu
from ocnn.nn import octree_depad, octree_global_pool
from torch import nn

from octree.batch_octree import (
    BatchOctree,
    build_neighbors,
    build_octree,
    interpolate_at_points,
    interpolate_to_children,
)
from octree.hrnet import STAGES, BackboneFeatures, HRNet, max_pool_to, upsample_to
from octree.layers import PairConv, unit_vectors, use_pair_convolution
from octree.point_batch import PointBatch
from pcrq import InputError

IN_CHANNELS = 4


@dataclass(frozen=True)
class MIDNetConfig:
    """The architecture of a MID-Net; the defaults are the paper's network.

    Args:
        depth: depth of the octree's leaves.
        full_depth: every octree node exists down to this depth.
        width: channels at depth - 1; all other widths follow from it.
        blocks: residual blocks per branch and stage.
        nempty: convolve non-empty nodes only (half the cost; right for CPUs).
        shape_channels: dimensions of the shape feature.
        point_channels: dimensions of the point features.
        bn_momentum: share of a batch in the running statistics of batch normalization, in (0, 1]; TensorFlow's default
            and so O-CNN's is 0.01, PyTorch's and so ocnn's 0.1.
        bn_eps: added to the variance in batch normalization, above 0; 1e-3 in O-CNN.
        init: initial weights: "default" are those of ocnn and PyTorch, "xavier" those of O-CNN with TensorFlow.

    Raises:
        InputError: a value is out of range, or the values do not fit together.
    """

    depth: int = 6
    full_depth: int = 2
    width: int = 128
    blocks: int = 3
    nempty: bool = False
    shape_channels: int = 128
    point_channels: int = 64
    bn_momentum: float = 0.1
    bn_eps: float = 1e-5
    init: Literal["default", "xavier"] = "default"

    def __post_init__(self) -> None:
        if not self.full_depth <= self.depth - STAGES or self.full_depth < 1:
            raise InputError(
                f"depth {self.depth} with full_depth {self.full_depth}: the coarsest branch has depth - {STAGES}, "
                f"which must be at least full_depth, and full_depth at least 1"
            )
        if self.width < 16 or self.width % 16:
            raise InputError(f"width {self.width}: choose a multiple of 16")
        if self.depth > 10:
            raise InputError(f"depth {self.depth}: choose 10 or less")
        if self.blocks < 1:
            raise InputError(f"blocks {self.blocks}: choose at least 1")
        if not (0 < self.bn_momentum <= 1 and self.bn_eps > 0):
            raise InputError(
                f"bn_momentum {self.bn_momentum}, bn_eps {self.bn_eps}: must be in (0, 1], and above 0; TensorFlow's "
                "defaults are 0.01 and 1e-3"
            )
        if self.init not in ("default", "xavier"):
            raise InputError(f"init {self.init!r}: choose default or xavier")


@dataclass(frozen=True, eq=False)
class MIDFeatures:
    """What :class:`octree.MIDLoss` needs of a network; return it from a network of yours to train that with it.

    Args:
        global_feature: (B, D) float32 unit vectors, one per shape.
        local_feature: (L, D') float32 unit vectors, ordered by shape: of MID-Net one per non-empty leaf; of other
            networks one per point, voxel, …
        local_of_point: (N,) int64 row of ``local_feature`` for every point of the batch; every row must have a point.
            None: ``local_feature`` has a row per point.
    """

    global_feature: torch.Tensor
    local_feature: torch.Tensor
    local_of_point: torch.Tensor | None = None

    def detach(self) -> MIDFeatures:
        """The same features without gradient, for :meth:`octree.MIDLoss.update` after a delay."""
        return replace(self, global_feature=self.global_feature.detach(), local_feature=self.local_feature.detach())


class MIDNet(nn.Module):
    """The network that is pretrained.

    Args:
        config: the architecture; None for the paper's.
        **options: fields of :class:`MIDNetConfig` that replace those of ``config``: ``MIDNet(depth=5, width=32)``.

    Attributes:
        config: the architecture.
        pretraining: plain values that describe the pretraining, set by :func:`octree.load_pretrained`.

    Example:
        >>> network = MIDNet(depth=5, width=32, blocks=1, nempty=True)
        >>> features = network(batch)
        >>> features.global_feature.shape
        torch.Size([8, 128])
    """

    def __init__(self, config: MIDNetConfig | None = None, **options: Any):
        super().__init__()
        self.config = config = replace(config or MIDNetConfig(), **options)
        self.pretraining: dict[str, Any] = {}
        self.backbone = HRNet(config.width, IN_CHANNELS, config.blocks, config.nempty)
        self.shape_head = ShapeHead(self.backbone.channels, config.shape_channels, config.nempty)
        self.point_head = PointHead(self.backbone.channels, config.point_channels, config.nempty)
        configure_layers(self, config)

    def forward(self, data: PointBatch | BatchOctree) -> MIDFeatures:
        """Return the features of a batch, or of its octree; see :meth:`octree` for what is accepted."""
        octree = network_octree(self, data)
        features = self.backbone(leaf_features(octree, self.config.nempty), octree)
        _, shape = self.shape_head(features, octree)
        point = self.point_head(features, octree)
        return MIDFeatures(unit_vectors(shape), unit_vectors(point), octree.leaf_of_point)

    def embed(self, data: PointBatch | BatchOctree) -> torch.Tensor:
        """Return the (B, 8·width) features of whole shapes before the last layer: "fc1", for linear probes."""
        octree = network_octree(self, data)
        fc1: torch.Tensor
        fc1, _ = self.shape_head(self.backbone(leaf_features(octree, self.config.nempty), octree), octree)
        return fc1

    def octree(self, data: PointBatch | BatchOctree) -> BatchOctree:
        """Return the octree of a batch with the neighbor tables of this network.

        Args:
            data: clouds in [-1, 1]³ with normals, on the network's device; or their octree from
                :func:`octree.build_octree` with the network's ``depth`` and ``full_depth``, which gets the tables.

        Raises:
            InputError: the depth or device is not the network's, normals are missing, or a value is out of range.
        """
        return network_octree(self, data)

    def hyper_parameters(self) -> dict[str, Any]:
        """The configuration as plain values."""
        return asdict(self.config)


class ShapeHead(nn.Module):
    """All branches pooled to the coarsest depth, one wide layer, global average, one linear layer."""

    def __init__(self, channels: list[int], out_channels: int, nempty: bool):
        super().__init__()
        self.nempty = nempty
        hidden = 8 * channels[0]
        self.fc1 = Conv1x1BnRelu(sum(channels), hidden)
        self.fc2 = nn.Linear(hidden, out_channels)

    def forward(self, features: BackboneFeatures, octree: BatchOctree) -> tuple[torch.Tensor, torch.Tensor]:
        """The pooled (B, 8·width) "fc1" and the (B, out_channels) output."""
        coarsest = octree.depth - STAGES
        pooled = [
            max_pool_to(data, octree, octree.depth - 1 - level, coarsest, self.nempty)
            for level, data in enumerate(features.branches)
        ]
        fc1 = octree_global_pool(self.fc1(torch.cat(pooled, dim=1)), octree, coarsest, self.nempty)
        return fc1, self.fc2(fc1)


class PointHead(nn.Module):
    """All branches brought to the leaves, joined with the leaves' own features, a hidden layer, one linear layer.

    The hidden layer is linear before its normalisation, and so are both kinds of upsampling, so each branch is
    multiplied by its part of the hidden weights at its own resolution and only then upsampled: the same numbers as
    joining first, at a fraction of the memory and time.
    """

    def __init__(self, channels: list[int], out_channels: int, nempty: bool):
        super().__init__()
        self.nempty = nempty
        hidden = 2 * channels[0]
        self.hidden = nn.Linear(sum(channels) + channels[0] // 2, hidden, bias=False)
        self.split = [*channels, channels[0] // 2]
        self.norm = nn.BatchNorm1d(hidden)
        self.out = nn.Linear(hidden, out_channels)

    def forward(self, features: BackboneFeatures, octree: BatchOctree) -> torch.Tensor:
        """(L, out_channels), one row per non-empty leaf."""
        branches, leaves = self._hidden_parts(features, octree)
        return self._output(interpolate_to_children(branches, octree, octree.depth - 1, self.nempty) + leaves)

    def at_points(self, features: BackboneFeatures, octree: BatchOctree) -> torch.Tensor:
        """(N, out_channels), one row per input point: the branches are interpolated, the leaf's own features copied."""
        branches, leaves = self._hidden_parts(features, octree)
        branches = interpolate_at_points(branches, octree, octree.depth - 1, self.nempty)
        return self._output(branches + leaves[octree.leaf_of_point])

    def _hidden_parts(self, features: BackboneFeatures, octree: BatchOctree) -> tuple[torch.Tensor, torch.Tensor]:
        """The hidden layer's share of the branches, one level above the leaves, and of the non-empty leaves."""
        depth = octree.depth
        *branch_weights, leaf_weight = torch.split(self.hidden.weight, self.split, dim=1)
        hidden = F.linear(features.branches[-1], branch_weights[-1])
        for level in reversed(range(len(branch_weights) - 1)):
            part = F.linear(features.branches[level], branch_weights[level])
            hidden = part + upsample_to(hidden, octree, depth - 2 - level, depth - 1 - level, self.nempty)
        leaves = features.leaves if self.nempty else octree_depad(features.leaves, octree, depth)
        return hidden, F.linear(leaves, leaf_weight)

    def _output(self, hidden: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.out(torch.relu(self.norm(hidden)))
        return output


def configure_layers(network: nn.Module, config: MIDNetConfig) -> None:
    """Set up the layers of a network: fast convolution, and batch normalization and initial weights of the config."""
    use_pair_convolution(network)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.momentum, module.eps = config.bn_momentum, config.bn_eps
    if config.init == "xavier":
        xavier_init(network)


def xavier_init(network: nn.Module) -> None:
    """Initialize MID-Net or a network of its parts as O-CNN does with TensorFlow 1.

    Weights are uniform in ±√(6 / (rows + columns)) of O-CNN's weight matrices, which are C_out × 27·C_in for a
    convolution; ocnn divides by 27·(C_in + C_out) instead. Biases are 0, but uniform like a matrix of one column in the
    last layer of a point head.

    Source: microsoft/O-CNN, tensorflow/libs/__init__.py and tensorflow/script/ocnn.py.
    """
    for module in network.modules():
        if isinstance(module, PairConv):
            kernel, in_channels, out_channels = module.weights.shape
            _init_uniform(module.weights, kernel * in_channels + out_channels)
        elif isinstance(module, nn.Linear):
            _init_uniform(module.weight, module.in_features + module.out_features)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in network.modules():
        if isinstance(module, PointHead):
            _init_uniform(module.out.bias, module.out.out_features + 1)


def _init_uniform(weight: torch.Tensor, size: int) -> None:
    bound = math.sqrt(6 / size)
    nn.init.uniform_(weight, -bound, bound)


def network_octree(network: nn.Module, data: PointBatch | BatchOctree) -> BatchOctree:
    """Return the octree of a batch as a network with a ``config`` needs it; see :meth:`MIDNet.octree`."""
    config: MIDNetConfig = network.config  # type: ignore[assignment]
    device = next(network.parameters()).device
    if not isinstance(data, PointBatch | BatchOctree):
        raise InputError(
            f"input is {type(data).__name__}, but must be a PointBatch or its octree from octree.build_octree"
        )
    if data.device != device:
        raise InputError(f"the batch is on {data.device} and the network on {device}; move one by .to(device)")
    if isinstance(data, PointBatch):
        octree = build_octree(data, config.depth, config.full_depth)
    else:
        octree = data
    if (octree.depth, octree.full_depth) != (config.depth, config.full_depth):
        raise InputError(
            f"the octree has depth {octree.depth} and full_depth {octree.full_depth}, but the network needs "
            f"{config.depth} and {config.full_depth}; pass the batch itself, or make the octree with network.octree"
        )
    if octree.normals[config.depth] is None:
        raise InputError(
            "the batch has no normals, whose absolute values are input of the network; estimate them (of either sign, "
            "with Open3D for example) and pass normals= to PointBatch.from_points"
        )
    if (octree.nempty_neighs if config.nempty else octree.neighs)[config.depth] is None:
        build_neighbors(octree, config.nempty)
    return octree


def leaf_features(octree: BatchOctree, nempty: bool) -> torch.Tensor:
    """(L, 4): mean normal of a leaf and displacement of its mean point along it, in absolute value.

    Absolute, because scanned normals have no reliable sign (O-CNN's ``signal_abs``). The displacement is in units of
    half a leaf's diagonal, so in [0, 1] as in O-CNN. With ``nempty=False`` empty leaves get a row of zeros.
    """
    features: torch.Tensor = octree.get_input_feature("ND", nempty).abs()
    features[:, 3] *= 2 / 3**0.5  # ocnn measures in sides of a leaf
    return features

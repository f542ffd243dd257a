"""A training step of MID-Net beside the same network built from ocnn's own layers, on ocnn's own octrees.

Both have the same weights, augmentation, loss and optimizer, and give the same loss. ocnn's octrees are built shape by
shape and merged, as its data loaders do, and get its own neighbor tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
import torch.nn.functional as F
from ocnn.modules import Conv1x1Bn, Conv1x1BnRelu, OctreeConvBnRelu, OctreeResBlocks
from ocnn.nn import OctreeUpsample, octree_global_pool, octree_max_pool
from ocnn.nn.octree_interp import octree_nearest_upsample
from ocnn.octree import Octree, Points
from torch import Tensor, nn

from benchmarks.quantized_step import BINS, Trainer, augment, describe, load_shapes
from benchmarks.timing import Options, Row, measure
from octree import MIDFeatures, MIDNetConfig, PointBatch, collate

SETTINGS = [(5, 32, 1), (6, 32, 1), (6, 64, 2)]  # depth, width, blocks
STAGES = 3


def rows(options: Options) -> Iterator[Row]:
    """Steps at three sizes, quantized and not; then small batches, where overhead counts."""
    shapes = load_shapes(options, 16)
    batch = collate(shapes).to(options.device)
    for depth, width, blocks in [(5, 16, 1)] if options.quick else SETTINGS:
        config = MIDNetConfig(depth, width=width, blocks=blocks, nempty=True)
        for bins in (0, BINS):
            yield from _step(batch, config, bins, options)
    config = MIDNetConfig(5, width=32, blocks=1, nempty=True)
    one = collate([shapes[0]])
    few = one.select(torch.arange(len(one.points)) % max(1, len(one.points) // 100) == 0)
    for small in (one, few):
        yield from _step(small.to(options.device), config, 0, options)


def _step(batch: PointBatch, config: MIDNetConfig, bins: int, options: Options) -> Iterator[Row]:
    trainers = {name: Trainer(config, batch.batch_size, options.device, bins) for name in ("pcrq", "ocnn")}
    trainers["ocnn"].replace_network(OcnnMIDNet(config).to(options.device))
    losses = [trainer.losses(augment(batch, bins)) for trainer in trainers.values()]
    torch.testing.assert_close(*losses, rtol=1e-3, atol=1e-3)
    contenders = {name: partial(trainer.step, batch) for name, trainer in trainers.items()}
    size = f"{batch.batch_size} shapes" if batch.batch_size > 1 else f"{len(batch.points):,} points"
    kind = f"{bins} bins" if bins else "no quantization"
    yield from measure(f"training step, {size}, {describe(config)}, {kind}", contenders, options)


class OcnnMIDNet(nn.Module):
    """MID-Net over non-empty nodes from ocnn's layers; its weights have the names of :class:`octree.MIDNet`."""

    def __init__(self, config: MIDNetConfig):
        super().__init__()
        self.config = config
        channels = [config.width << level for level in range(STAGES)]
        self.backbone = nn.Module()
        self.backbone.front_leaves = OctreeConvBnRelu(4, config.width // 2, nempty=True)
        self.backbone.front = OctreeConvBnRelu(config.width // 2, config.width, nempty=True)
        self.backbone.stages = nn.ModuleList(
            nn.ModuleList(
                OctreeResBlocks(width, width, config.blocks, bottleneck=4 if width < 256 else 8, nempty=True)
                for width in channels[: stage + 1]
            )
            for stage in range(STAGES)
        )
        self.backbone.exchanges = nn.ModuleList(_Exchange(channels[: stage + 2]) for stage in range(STAGES - 1))
        self.shape_head = nn.Module()
        self.shape_head.fc1 = Conv1x1BnRelu(sum(channels), 8 * channels[0])
        self.shape_head.fc2 = nn.Linear(8 * channels[0], config.shape_channels)
        self.point_head = nn.Module()
        self.split = [*channels, channels[0] // 2]
        self.point_head.hidden = nn.Linear(sum(self.split), 2 * channels[0], bias=False)
        self.point_head.norm = nn.BatchNorm1d(2 * channels[0])
        self.point_head.out = nn.Linear(2 * channels[0], config.point_channels)
        self.upsample = OctreeUpsample("linear", nempty=True)

    def forward(self, batch: PointBatch) -> MIDFeatures:
        """The features of a batch."""
        octree, leaf_of_point = merged_octree(batch, self.config.depth)
        depth, data = octree.depth, octree.get_input_feature("ND", nempty=True).abs()
        data[:, 3] *= 2 / 3**0.5
        leaves = self.backbone.front_leaves(data, octree, depth)
        branches = [self.backbone.front(octree_max_pool(leaves, octree, depth, True), octree, depth - 1)]
        for stage, blocks in enumerate(self.backbone.stages):
            if stage:
                branches = self.backbone.exchanges[stage - 1](branches, octree)
            branches = [block(data, octree, depth - 1 - level) for level, (block, data) in _levels(blocks, branches)]

        coarsest = depth - STAGES
        pooled = [_pool(data, octree, depth - 1 - level, coarsest) for level, data in enumerate(branches)]
        shape = octree_global_pool(self.shape_head.fc1(torch.cat(pooled, dim=1)), octree, coarsest, nempty=True)
        point = self.point_head.out(self._hidden(branches, leaves, octree))
        return MIDFeatures(F.normalize(self.shape_head.fc2(shape)), F.normalize(point), leaf_of_point)

    def _hidden(self, branches: list[Tensor], leaves: Tensor, octree: Octree) -> Tensor:
        *weights, leaf_weight = torch.split(self.point_head.hidden.weight, self.split, dim=1)
        depth, hidden = octree.depth, F.linear(branches[-1], weights[-1])
        for level in reversed(range(STAGES - 1)):
            finer = octree_nearest_upsample(hidden, octree, depth - 2 - level, nempty=True)
            hidden = F.linear(branches[level], weights[level]) + finer
        hidden = self.upsample(hidden, octree, depth - 1) + F.linear(leaves, leaf_weight)
        return self.point_head.norm(hidden).relu()


class _Exchange(nn.Module):
    def __init__(self, channels: list[int]):
        super().__init__()
        self.channels = channels
        self.project = nn.ModuleDict(
            {
                f"{source}_to_{target}": Conv1x1Bn(channels[source], channels[target])
                for source in range(len(channels) - 1)
                for target in range(len(channels))
                if source != target
            }
        )

    def forward(self, branches: list[Tensor], octree: Octree) -> list[Tensor]:
        depth = octree.depth - 1
        return [
            torch.relu(sum(self._part(data, octree, depth, source, target) for source, data in enumerate(branches)))
            for target in range(len(self.channels))
        ]

    def _part(self, data: Tensor, octree: Octree, depth: int, source: int, target: int) -> Tensor:
        if source == target:
            return data
        project = self.project[f"{source}_to_{target}"]
        if source < target:
            return project(_pool(data, octree, depth - source, depth - target))
        data = project(data)
        for level in range(depth - source, depth - target):
            data = octree_nearest_upsample(data, octree, level, nempty=True)
        return data


def _levels(blocks: nn.ModuleList, branches: list[Tensor]) -> Iterator[tuple[int, tuple[nn.Module, Tensor]]]:
    return enumerate(zip(blocks, branches, strict=True))


def _pool(data: Tensor, octree: Octree, depth: int, target: int) -> Tensor:
    for level in range(depth, target, -1):
        data = octree_max_pool(data, octree, level, nempty=True)
    return data


def merged_octree(batch: PointBatch, depth: int) -> tuple[Octree, Tensor]:
    """ocnn's octree of a batch, built shape by shape, with its neighbor tables; and the leaf of every point."""
    counts = torch.bincount(batch.batch_id, minlength=batch.batch_size).tolist()
    octrees, leaves = [], []
    for points, normals in zip(batch.points.split(counts), batch.normals.split(counts), strict=True):
        octrees.append(Octree(depth, 2, device=batch.device))
        leaves.append(octrees[-1].build_octree(Points(points, normals)))
    merged = Octree.init_like(octrees[0]).merge_octrees(octrees)
    starts = (merged.batch_nnum_nempty[depth].cumsum(0) - merged.batch_nnum_nempty[depth]).tolist()
    merged.construct_all_neigh()
    return merged, torch.cat([leaf + start for leaf, start in zip(leaves, starts, strict=True)])

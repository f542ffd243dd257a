"""What randomized quantization saves: leaves of the octree and seconds of a training step, with and without it.

A step is what pretraining does: augment, quantize, build the octree, forward, loss, backward, optimizer, memory banks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from benchmarks.timing import Options, Row, measure
from octree import (
    MIDLoss,
    MIDNet,
    MIDNetConfig,
    PointBatch,
    RandomAffine,
    Shape,
    ShapeStore,
    build_octree,
    collate,
    quantize,
)

BINS = 30


def rows(options: Options) -> Iterator[Row]:
    """The step over non-empty nodes and over all nodes: the paper's network on a GPU, a small one on a CPU."""
    batch = collate(load_shapes(options, 32 if options.device.type == "cuda" else 16)).to(options.device)
    for nempty in (True, False):
        config = step_config(options, nempty)
        leaves = {bins: leaves_of(augment(batch, bins), config) for bins in (BINS, 0)}
        trainers = [Trainer(config, batch.batch_size, options.device, bins) for bins in leaves]
        names = ("pcrq", f"{leaves[0]:,.0f} leaves (no quantization)")
        contenders = {name: partial(trainer.step, batch) for name, trainer in zip(names, trainers, strict=True)}
        title = (
            f"training step, {batch.batch_size} shapes, {describe(config)}, {leaves[BINS]:,.0f} leaves ({BINS} bins)"
        )
        yield from measure(title, contenders, options)


def load_shapes(options: Options, count: int) -> list[Shape]:
    """Shapes spread over the store, or built-in ones, as the only training shapes; four for a quick run."""
    count = 4 if options.quick else count
    if options.store is not None:
        store = ShapeStore(options.store)
        shapes = [store[int(i)] for i in np.linspace(0, len(store) - 1, min(count, len(store)))]
    else:
        from data_prep.builtin_shapes import builtin_items
        from data_prep.pipeline import make_shape

        items = builtin_items(-(-count // 25))[:count]
        shapes = [make_shape(item.load(), item.id) for item in items]
    return [replace(shape, index=row, category=-1, labels=None) for row, shape in enumerate(shapes)]


def step_config(options: Options, nempty: bool) -> MIDNetConfig:
    """The paper's network on a GPU, a small one on a CPU, a tiny one for a quick run."""
    if options.quick:
        return MIDNetConfig(depth=5, width=16, blocks=1, nempty=nempty)
    if options.device.type == "cuda":
        return MIDNetConfig(nempty=nempty)
    return MIDNetConfig(width=32, blocks=1, nempty=nempty)


def describe(config: MIDNetConfig) -> str:
    """The sizes of a network in a few words."""
    nodes = "non-empty nodes" if config.nempty else "all nodes"
    return f"depth {config.depth}, width {config.width}, blocks {config.blocks}, {nodes}"


def augment(batch: PointBatch, bins: int) -> PointBatch:
    """A random affine map, then quantization unless ``bins`` is 0; the same at every call, for steady times."""
    generator = torch.Generator(batch.device).manual_seed(0)
    batch = RandomAffine()(batch, generator)
    return quantize(batch, bins, generator) if bins else batch


def leaves_of(batch: PointBatch, config: MIDNetConfig) -> float:
    """Non-empty leaves of a shape, on average."""
    octree = build_octree(batch, config.depth, config.full_depth)
    return int(octree.nnum_nempty[-1]) / batch.batch_size


class Trainer:
    """A network, its optimizer, and memory banks for ``shapes`` shapes."""

    def __init__(self, config: MIDNetConfig, shapes: int, device: torch.device, bins: int, bf16: bool = False):
        torch.manual_seed(0)
        self.network, self.bins, self.bf16 = MIDNet(config).to(device), bins, bf16
        self.loss = MIDLoss(shapes).to(device)
        self.optimizer = self._new_optimizer()

    def _new_optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.network.parameters(), 0.03, momentum=0.9, weight_decay=5e-4)

    def replace_network(self, network: torch.nn.Module) -> None:
        """Continue with another network that has parameters of the same names and sizes."""
        network.load_state_dict(self.network.state_dict())
        self.network = network
        self.optimizer = self._new_optimizer()

    def losses(self, batch: PointBatch) -> torch.Tensor:
        """The loss of an augmented batch."""
        return self.loss(self.network(batch), batch).total.detach()

    def step(self, batch: PointBatch) -> None:
        """One step of pretraining."""
        with torch.autocast(batch.device.type, torch.bfloat16, enabled=self.bf16):
            batch = augment(batch, self.bins)
            features = self.network(batch)
            loss = self.loss(features, batch).total
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.loss.update(features, batch)

"""What randomized quantization saves: leaves of the octree and seconds of a training step, with and without it.

    python benchmarks/quantized_step.py                      # 32 built-in shapes
    python benchmarks/quantized_step.py --store furniture.h5 # shapes of yours
    python benchmarks/quantized_step.py --device cuda --width 128 --all-nodes   # the paper's network

A step is what pretraining does: augment, quantize, build the octree, forward, loss, backward, optimiser, memory banks.
Both kinds take turns over the same batches.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from timing import Options, compare, describe, machine, write_json

from data_prep.builtin_shapes import builtin_items
from data_prep.pipeline import make_shape
from octree import (
    MIDLoss,
    MIDNet,
    MIDNetConfig,
    PointBatch,
    RandomAffine,
    ShapeStore,
    build_octree,
    collate,
    quantize,
)


def load_batches(path: Path | None, batches: int, batch_size: int) -> list[PointBatch]:
    """Batches of shapes spread over the store, or of built-in ones."""
    if path is None:
        items = builtin_items(2)[: batches * batch_size]
        shapes = [make_shape(item.load(), item.id) for item in items]
    else:
        store = ShapeStore(path)
        wanted = min(len(store), batches * batch_size)
        shapes = [store[int(i)] for i in np.linspace(0, len(store) - 1, wanted)]
    shapes = [type(s)(**{**s.__dict__, "index": row, "labels": None}) for row, s in enumerate(shapes)]
    starts = range(0, len(shapes) - batch_size + 1, batch_size)
    return [collate(shapes[start : start + batch_size]) for start in starts]


def view(batch: PointBatch, bins: int, seed: int) -> PointBatch:
    generator = torch.Generator(batch.points.device).manual_seed(seed)
    batch = RandomAffine()(batch, generator)
    return quantize(batch, bins, generator) if bins else batch


class Trainer:
    """A network with its optimizer and memory banks."""

    def __init__(self, config: MIDNetConfig, batches: list[PointBatch], bins: int):
        device = batches[0].points.device
        torch.manual_seed(0)
        self.network, self.batches, self.bins = MIDNet(config).to(device), batches, bins
        self.loss = MIDLoss(sum(batch.batch_size for batch in batches)).to(device)
        self.optimizer = torch.optim.SGD(self.network.parameters(), 0.03, momentum=0.9, weight_decay=5e-4)

    def epoch(self) -> None:
        for seed, batch in enumerate(self.batches):
            self.step(view(batch, self.bins, seed))

    def step(self, batch: PointBatch) -> None:
        features = self.network(batch)
        loss = self.loss(features, batch).total
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.loss.update(features, batch)


def leaves_of(batches: list[PointBatch], config: MIDNetConfig, bins: int) -> float:
    octrees = (build_octree(view(b, bins, seed), config.depth, config.full_depth) for seed, b in enumerate(batches))
    return sum(int(octree.nnum_nempty[-1]) for octree in octrees) / sum(batch.batch_size for batch in batches)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, metavar="STORE.h5", help="a shape store with patches")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"), help="cpu (default) or cuda")
    parser.add_argument("--depth", type=int, default=6, help="of the octree (default 6)")
    parser.add_argument("--width", type=int, default=32, help="of the network (default 32; the paper's is 128)")
    parser.add_argument("--blocks", type=int, default=1, help="residual blocks (default 1; the paper's network has 3)")
    parser.add_argument("--all-nodes", action="store_true", help="convolve empty nodes too, as the paper does")
    parser.add_argument("--bins", type=int, default=30, help="of the quantizer (default 30)")
    parser.add_argument("--batches", type=int, default=2, help="of 16 shapes (default 2)")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=4, help="turns of each kind (default 4)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results there")
    args = parser.parse_args()

    about = machine(args.device)
    print(describe(about))
    batches = [batch.to(args.device) for batch in load_batches(args.store, args.batches, args.batch_size)]
    config = MIDNetConfig(args.depth, width=args.width, blocks=args.blocks, nempty=not args.all_nodes)
    print(f"{len(batches)} batches of {args.batch_size} from {args.store or 'built-in shapes'}; {config}")
    kinds = {"no quantization": 0, f"{args.bins} bins": args.bins}
    leaves = {name: leaves_of(batches, config, bins) for name, bins in kinds.items()}
    trainers = {name: Trainer(config, batches, bins) for name, bins in kinds.items()}
    seconds = compare({name: trainer.epoch for name, trainer in trainers.items()}, Options(args.device, args.rounds))
    plain, quantized = kinds
    for name in kinds:
        step = seconds[name] / len(batches)
        print(f"  {name:16s} {leaves[name]:9,.0f} leaves a shape {1e3 * step:9.1f} ms a step")
    fewer, faster = leaves[plain] / leaves[quantized], seconds[plain] / seconds[quantized]
    print(f"  ratio            {fewer:9.2f} x fewer          {faster:9.2f} x faster")
    write_json({"machine": about, "config": str(config), "leaves": leaves, "seconds": seconds}, args.json)


if __name__ == "__main__":
    main()

"""Octrees of a batch, convolutions and interpolation on them, beside ocnn's own ways, in one run on one machine.

    python benchmarks/octrees.py [--device cuda]

Before anything is timed it is checked that all ways give the same result.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import ocnn
import torch
from ocnn.nn.octree_interp import octree_linear_pts
from quantized_step import load_batches, view
from timing import Options, compare, describe, machine, write_json

from octree.batch_octree import build_neighbours, build_octree, interpolate_at_points
from octree.pair_convolution import PairConv
from octree.point_batch import PointBatch


def one_by_one(batch: PointBatch, depth: int) -> ocnn.octree.Octree:
    """An octree per shape, then merged: ocnn's usual way (its collate function)."""
    octrees = []
    counts = torch.bincount(batch.batch_id, minlength=batch.batch_size).tolist()
    for points, normals in zip(batch.points.split(counts), batch.normals.split(counts), strict=True):
        octree = ocnn.octree.Octree(depth, 2, device=points.device)
        octree.build_octree(ocnn.octree.Points(points, normals))
        octrees.append(octree)
    return ocnn.octree.Octree.init_like(octrees[0]).merge_octrees(octrees)


def train_step(conv: torch.nn.Module, data: torch.Tensor, octree: ocnn.octree.Octree, depth: int) -> torch.Tensor:
    conv.zero_grad(set_to_none=True)
    out = conv(data, octree, depth)
    out.sum().backward()
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"), help="cpu (default) or cuda")
    parser.add_argument("--store", type=Path, metavar="STORE.h5", help="shapes of yours (default: built-in ones)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of every contender (default 5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results there")
    args = parser.parse_args()
    about, depth, channels = machine(args.device), 6, 32
    print(describe(about))
    batch = view(load_batches(args.store, 1, 32)[0].to(args.device), 0, seed=0)
    seconds = {}

    octree = build_octree(batch, depth)
    if not all(torch.equal(octree.keys[d], one_by_one(batch, depth).keys[d]) for d in range(2, depth + 1)):
        raise SystemExit("the octrees differ: times mean nothing")
    contenders = {
        "ours, batched": lambda: build_octree(batch, depth),
        "ocnn, one by one and merged": lambda: one_by_one(batch, depth),
    }
    seconds["octree of 32 shapes, depth 6"] = compare(contenders, Options(args.device, args.rounds))

    def neighbours(build) -> ocnn.octree.Octree:
        fresh = build_octree(batch, depth)
        build(fresh)
        return fresh

    contenders = {
        "ours, non-empty nodes": lambda: neighbours(lambda o: build_neighbours(o, nempty=True)),
        "ocnn, all nodes, then non-empty": lambda: neighbours(
            lambda o: (o.construct_all_neigh(), [o.nempty_neigh(d) for d in range(2, depth + 1)])
        ),
    }
    seconds["octree and neighbour tables"] = compare(contenders, Options(args.device, args.rounds))

    for nempty in (True, False):
        build_neighbours(octree, nempty)
        nodes = int((octree.nnum_nempty if nempty else octree.nnum)[depth])
        data = torch.randn(nodes, channels, device=args.device, requires_grad=True)
        theirs = ocnn.nn.OctreeConv(channels, channels, nempty=nempty).to(args.device)
        ours = PairConv(channels, channels, nempty=nempty).to(args.device)
        ours.weights = theirs.weights
        expected, found = (train_step(conv, data, octree, depth) for conv in (theirs, ours))
        torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-2)
        contenders = {
            name: lambda conv=conv, data=data: train_step(conv, data, octree, depth)
            for name, conv in {"ours": ours, "ocnn": theirs}.items()
        }
        title = f"3³ convolution, {channels} channels, {nodes:,} {'non-empty ' if nempty else ''}nodes, both passes"
        seconds[title] = compare(contenders, Options(args.device, args.rounds))

    octree = build_octree(batch, depth)
    build_neighbours(octree, nempty=True)
    data = torch.randn(int(octree.nnum_nempty[depth - 1]), channels, device=args.device, requires_grad=True)
    places = torch.cat([(batch.points + 1) * 2 ** (depth - 2), batch.batch_id.unsqueeze(1)], dim=1)
    contenders = {
        "ours": lambda: interpolate_at_points(data, octree, depth - 1, nempty=True),
        "ocnn": lambda: octree_linear_pts(data, octree, depth - 1, places, nempty=True, bound_check=True),
    }
    found, expected = (contender() for contender in contenders.values())
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    contenders = {name: lambda run=run: run().sum().backward() for name, run in contenders.items()}
    title = f"trilinear interpolation at {len(places):,} points, {channels} channels, both passes"
    seconds[title] = compare(contenders, Options(args.device, args.rounds))

    for title, times in seconds.items():
        print(f"\n{title}")
        reference = next(iter(times.values()))
        for name, time_taken in times.items():
            print(f"  {name:34s} {time_taken * 1e3:9.2f} ms   {time_taken / reference:7.2f} x ours")
    write_json({"machine": about, "seconds": seconds}, args.json)


if __name__ == "__main__":
    main()

"""Octrees of a batch, their neighbor tables, convolution and interpolation, beside ocnn's own ways."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from itertools import product
from pathlib import Path

import ocnn
import torch
from ocnn.nn.octree_interp import octree_linear_pts
from ocnn.octree import Octree, Points
from torch.utils.data import DataLoader

from benchmarks.quantized_step import load_shapes
from benchmarks.timing import Options, Row, measure
from octree import PointBatch, RandomAffine, Shape, ShapeDataset, ShapeStore, collate
from octree.batch_octree import BatchOctree, build_neighbors, build_octree, interpolate_at_points
from octree.layers import PairConv, use_pair_convolution
from pcrq.stores.shape_store import ShapeStoreWriter

DEPTH, CHANNELS = 6, 32


def rows(options: Options) -> Iterator[Row]:
    """From points to octree, two operations on it that take most of a step, and a network of ocnn's."""
    shapes = load_shapes(options, 32)
    batch = RandomAffine()(collate(shapes).to(options.device))
    yield from _octree(batch, options)
    yield from _neighbors(batch, options)
    yield from _loading(shapes, options)
    for nempty in (True, False):
        yield from _convolution(batch, nempty, options)
    yield from _interpolation(batch, options)
    yield from _unet(RandomAffine()(collate(shapes[:4]).to(options.device)), options)


def one_by_one(batch: PointBatch) -> Octree:
    """An octree per shape, then merged: what ocnn's data loader does."""
    counts = torch.bincount(batch.batch_id, minlength=batch.batch_size).tolist()
    octrees = []
    for points, normals in zip(batch.points.split(counts), batch.normals.split(counts), strict=True):
        octrees.append(Octree(DEPTH, 2, device=points.device))
        octrees[-1].build_octree(Points(points, normals))
    return Octree.init_like(octrees[0]).merge_octrees(octrees)


def _octree(batch: PointBatch, options: Options) -> Iterator[Row]:
    ours, theirs = build_octree(batch, DEPTH), one_by_one(batch)
    for depth in range(2, DEPTH + 1):
        torch.testing.assert_close(ours.keys[depth], theirs.keys[depth], rtol=0, atol=0)
    key = torch.randint(2**40, (len(batch.points),), device=options.device)
    contenders = {
        "pcrq": lambda: build_octree(batch, DEPTH),
        "ocnn, one by one and merged": lambda: one_by_one(batch),
        "sort of the keys": lambda: key.sort(),
    }
    title = f"octree of {batch.batch_size} shapes, {len(batch.points):,} points, depth {DEPTH}"
    yield from measure(title, contenders, options, limit="sort of the keys")


def with_all_neighbors(octree: Octree) -> Octree:
    """ocnn's neighbor tables of the non-empty nodes, by way of those of all nodes."""
    octree.construct_all_neigh()
    for depth in range(2, DEPTH + 1):
        octree.nempty_neigh(depth)
    return octree


def with_neighbors(batch: PointBatch) -> BatchOctree:
    """The octree of a batch with the neighbor tables of the non-empty nodes."""
    octree = build_octree(batch, DEPTH)
    build_neighbors(octree, nempty=True)
    return octree


def _neighbors(batch: PointBatch, options: Options) -> Iterator[Row]:
    ours, theirs = with_neighbors(batch), with_all_neighbors(build_octree(batch, DEPTH))
    tables = [ours.get_neigh(depth, nempty=True) for depth in range(2, DEPTH + 1)]
    for depth, table in enumerate(tables, start=2):
        torch.testing.assert_close(table, theirs.get_neigh(depth, nempty=True), check_dtype=False)
    contenders = {
        "pcrq": lambda: with_neighbors(batch),
        "ocnn's tables": lambda: with_all_neighbors(build_octree(batch, DEPTH)),
        "copy of the tables": lambda: [table.clone() for table in tables],
    }
    yield from measure("octree and neighbor tables of non-empty nodes", contenders, options, "copy of the tables")


def merged_octree(shapes: list[Shape]) -> Octree:
    """The ``collate_fn`` of ocnn's way, which runs in the worker processes."""
    return one_by_one(collate(shapes))


def _loading(shapes: list[Shape], options: Options) -> Iterator[Row]:
    copies, workers = 8, 2
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shapes.h5"
        with ShapeStoreWriter(path, classes=[]) as writer:
            for copy, shape in product(range(copies), shapes):
                writer.append(replace(shape, id=f"{shape.id} {copy}"))
        store, kept = ShapeDataset(ShapeStore(path)), {"num_workers": workers, "persistent_workers": True}
        loaders = [DataLoader(store, len(shapes), collate_fn=each, **kept) for each in (collate, merged_octree)]
        contenders = {
            "pcrq": lambda: [with_neighbors(batch.to(options.device)) for batch in loaders[0]],
            "ocnn, one by one": lambda: [with_all_neighbors(octree.to(options.device)) for octree in loaders[1]],
        }
        title = f"{copies} batches of {len(shapes)} shapes from the store to neighbor tables, {workers} workers"
        yield from measure(title, contenders, options)


def _train(conv: torch.nn.Module, data: torch.Tensor, octree: Octree) -> torch.Tensor:
    conv.zero_grad(set_to_none=True)
    out = conv(data, octree, DEPTH)
    out.sum().backward()
    return out


def _convolution(batch: PointBatch, nempty: bool, options: Options) -> Iterator[Row]:
    octree = build_octree(batch, DEPTH)
    build_neighbors(octree, nempty)
    nodes = int((octree.nnum_nempty if nempty else octree.nnum)[DEPTH])
    data = torch.randn(nodes, CHANNELS, device=options.device, requires_grad=True)
    theirs = ocnn.nn.OctreeConv(CHANNELS, CHANNELS, nempty=nempty).to(options.device)
    ours = PairConv(CHANNELS, CHANNELS, nempty=nempty).to(options.device)
    ours.weights = theirs.weights
    torch.testing.assert_close(*(_train(conv, data, octree) for conv in (ours, theirs)), rtol=1e-2, atol=1e-2)
    pairs = int((octree.get_neigh(DEPTH, "333", 1, nempty) >= 0).sum())
    wide, grad, weight = (
        torch.randn(size, device=options.device)
        for size in ((pairs // 27, 27 * CHANNELS), (pairs // 27, CHANNELS), (27 * CHANNELS, CHANNELS))
    )
    limit = "dense products of equal size"
    contenders = {
        "pcrq": lambda: _train(ours, data, octree),
        "ocnn": lambda: _train(theirs, data, octree),
        limit: lambda: (wide @ weight, grad @ weight.T, wide.T @ grad),
    }
    kind = "non-empty nodes" if nempty else "nodes"
    yield from measure(
        f"3³ convolution, {CHANNELS} channels, {nodes:,} {kind}, both passes", contenders, options, limit
    )


def _interpolation(batch: PointBatch, options: Options) -> Iterator[Row]:
    octree, depth = with_neighbors(batch), DEPTH - 1
    data = torch.randn(int(octree.nnum_nempty[depth]), CHANNELS, device=options.device, requires_grad=True)
    places = torch.cat([(batch.points + 1) * 2 ** (depth - 1), batch.batch_id.unsqueeze(1)], dim=1)

    def ours() -> torch.Tensor:
        return interpolate_at_points(data, octree, depth, nempty=True)

    def theirs() -> torch.Tensor:
        return octree_linear_pts(data, octree, depth, places, nempty=True, bound_check=True)

    out = ours()
    torch.testing.assert_close(out, theirs(), rtol=1e-3, atol=1e-4)
    limit = "copies of input and output"
    contenders = {
        "pcrq": lambda: ours().sum().backward(),
        "ocnn": lambda: theirs().sum().backward(),
        limit: lambda: (data.detach().clone(), out.detach().clone()),
    }
    title = f"trilinear interpolation at {len(places):,} points, {CHANNELS} channels, both passes"
    yield from measure(title, contenders, options, limit)


def _unet(batch: PointBatch, options: Options) -> Iterator[Row]:
    """A network of ocnn's own, with kernels of stride 2 and deconvolutions, as it is and with our convolutions."""
    octree = with_all_neighbors(build_octree(batch, DEPTH))
    data = octree.get_input_feature("ND", nempty=True)
    places = torch.cat([batch.points, batch.batch_id.unsqueeze(1)], dim=1)
    theirs = ocnn.models.UNet(4, 10, nempty=True).to(options.device)
    ours = use_pair_convolution(deepcopy(theirs))

    def step(network: torch.nn.Module) -> torch.Tensor:
        network.zero_grad(set_to_none=True)
        out = network(data, octree, DEPTH, places.clone())
        out.square().mean().backward()
        return out.detach()

    torch.testing.assert_close(*(step(network) for network in (ours, theirs)), rtol=1e-2, atol=1e-2)
    contenders = {"pcrq": lambda: step(ours), "ocnn": lambda: step(theirs)}
    yield from measure(
        f"ocnn's UNet with use_pair_convolution, {batch.batch_size} shapes, both passes", contenders, options
    )

"""Randomized quantization beside other ways to write it; every contender samples its quantizers and applies them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import torch
from torch import Tensor

import pcrq
from benchmarks.timing import Options, Row, measure


def rows(options: Options) -> Iterator[Row]:
    """Images with 8 and 30 bins, and ragged point clouds."""
    for bins in (8, 30):
        yield from _images(bins, options)
    yield from _points(30, options)


def draw(rows: Tensor, bins: int) -> tuple[Tensor, Tensor]:
    """Boundaries (R, bins-1) and values (R, bins) for rows (R, L): equations 2 to 4."""
    low, high = rows.aminmax(dim=1, keepdim=True)
    edges = (low + (high - low) * torch.rand(len(rows), bins - 1, device=rows.device)).sort(dim=1).values
    bounds = torch.cat([low, edges, high], dim=1)
    values = bounds[:, :-1] + bounds.diff(dim=1) * torch.rand(len(rows), bins, device=rows.device)
    return edges, values


def by_mask(rows: Tensor, edges: Tensor, values: Tensor) -> Tensor:
    """Equation 1 as it stands: one indicator per bin and element, times the values, summed over the bins."""
    infinity = torch.full_like(edges[:, :1], torch.inf)
    bounds = torch.cat([-infinity, edges, infinity], dim=1)[..., None]
    inside = (rows[:, None] >= bounds[:, :-1]) & (rows[:, None] < bounds[:, 1:])
    return (inside * values[..., None]).sum(dim=1)


def _by_search(rows: Tensor, edges: Tensor, values: Tensor) -> Tensor:
    """A binary search per element, then a look-up."""
    return values.gather(1, torch.searchsorted(edges, rows, right=True))


def _limit(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The least that any quantizer must do: find the range, read everything, write everything."""
    return (*x.aminmax(), x.clone())


def _images(bins: int, options: Options) -> Iterator[Row]:
    size = (4, 3, 32, 32) if options.quick else (64, 3, 224, 224)
    x = torch.rand(size, device=options.device)
    flat = x.flatten(0, 1).flatten(1)
    edges, values = draw(flat, bins)
    ours = pcrq.Quantizer(edges, values, (0,))(flat)
    for other in (by_mask, _by_search):
        torch.testing.assert_close(ours, other(flat, edges, values), rtol=0, atol=0)
    contenders = {
        "pcrq": lambda: pcrq.randomized_quantize(x, bins),
        "mask formulation": lambda: by_mask(flat, *draw(flat, bins)),
        "searchsorted + gather": lambda: _by_search(flat, *draw(flat, bins)),
        "copy of the data": lambda: x.clone(),
        "aminmax + copy": lambda: _limit(x),
    }
    if shutil.which("g++") and not options.quick:
        compiled = torch.compile(pcrq.randomized_quantize, fullgraph=True, dynamic=False)
        contenders["pcrq under torch.compile"] = lambda: compiled(x, bins)
    yield from measure(f"quantize images {size} float32, {bins} bins", contenders, options, limit="aminmax + copy")


def _points(bins: int, options: Options) -> Iterator[Row]:
    count, points = (4, 100) if options.quick else (32, 8000)
    xyz = torch.randn(count * points, 3, device=options.device)
    batch_id = torch.arange(count, device=options.device).repeat_interleave(points)
    clouds = xyz.split(points)
    quantizer = pcrq.PointQuantizer.sample(xyz, batch_id, count, bins)
    tables = zip(clouds, quantizer.edges, quantizer.values, strict=True)
    looped = [_by_search(cloud.T.contiguous(), edges, values).T for cloud, edges, values in tables]
    torch.testing.assert_close(quantizer(xyz, batch_id), torch.cat(looped), rtol=0, atol=0)

    def loop() -> Tensor:
        axes = (cloud.T.contiguous() for cloud in clouds)
        return torch.cat([_by_search(rows, *draw(rows, bins)).T for rows in axes])

    contenders = {
        "pcrq": lambda: pcrq.randomized_quantize_points(xyz, batch_id, count, bins),
        "loop over clouds": loop,
        "aminmax + copy": lambda: _limit(xyz),
    }
    yield from measure(
        f"quantize {count} clouds of {points} points, {bins} bins", contenders, options, "aminmax + copy"
    )

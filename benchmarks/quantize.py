"""Time randomized quantization beside other ways to write it, in one run on one machine.

Run ``python benchmarks/quantize.py [--device cuda] [--compile] [--json FILE]``. Every contender draws its quantizers
and applies them; first it is checked that all give the same result for the same draw. The contenders take turns, and
the best of all rounds counts, so that other load on the machine disturbs all alike.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from timing import Options, compare, describe, machine, write_json
from torch import Tensor

import pcrq

IMAGES = (64, 3, 224, 224)
CLOUDS, POINTS = 32, 8000


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


def by_search(rows: Tensor, edges: Tensor, values: Tensor) -> Tensor:
    """A binary search per element, then a look-up."""
    return values.gather(1, torch.searchsorted(edges, rows, right=True))


def by_copy(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The least that any quantizer must do: find the range, read everything, write everything."""
    return (*x.aminmax(), x.clone())


def points_by_loop(clouds: list[Tensor], bins: int) -> Tensor:
    """A dense quantizer cloud by cloud."""
    return torch.cat([by_search(rows, *draw(rows, bins)).T for rows in (cloud.T.contiguous() for cloud in clouds)])


def images(device: torch.device, bins: int, rounds: int, compiled: bool) -> dict[str, float]:
    x = torch.rand(IMAGES, device=device)
    rows = x.flatten(0, 1).flatten(1)
    edges, values = draw(rows, bins)
    ours = pcrq.Quantizer(edges, values, (0,))(rows)
    if not torch.equal(ours, by_mask(rows, edges, values)) or not torch.equal(ours, by_search(rows, edges, values)):
        raise SystemExit("the contenders disagree: times mean nothing")
    contenders = {
        "pcrq": lambda: pcrq.randomized_quantize(x, bins),
        "mask": lambda: by_mask(rows, *draw(rows, bins)),
        "searchsorted + gather": lambda: by_search(rows, *draw(rows, bins)),
        "aminmax + clone": lambda: by_copy(x),
    }
    if compiled:
        compiled_quantize = torch.compile(pcrq.randomized_quantize, fullgraph=True)
        contenders["pcrq, compiled"] = lambda: compiled_quantize(x, bins)
    return compare(contenders, Options(device, rounds))


def points(device: torch.device, bins: int, rounds: int) -> dict[str, float]:
    xyz = torch.randn(CLOUDS * POINTS, 3, device=device)
    batch_id = torch.arange(CLOUDS, device=device).repeat_interleave(POINTS)
    quantizer = pcrq.PointQuantizer.sample(xyz, batch_id, CLOUDS, bins)
    clouds = list(xyz.split(POINTS))
    looped = [
        by_search(cloud.T.contiguous(), edges, values).T
        for cloud, edges, values in zip(clouds, quantizer.edges, quantizer.values, strict=True)
    ]
    if not torch.equal(quantizer(xyz, batch_id), torch.cat(looped)):
        raise SystemExit("the contenders disagree: times mean nothing")
    contenders = {
        "pcrq": lambda: pcrq.randomized_quantize_points(xyz, batch_id, CLOUDS, bins),
        "loop over clouds": lambda: points_by_loop(clouds, bins),
    }
    return compare(contenders, Options(device, rounds))


def show(title: str, seconds: dict[str, float]) -> None:
    print(f"\n{title}")
    for name, time_taken in seconds.items():
        print(f"  {name:24s} {time_taken * 1e3:9.2f} ms   {time_taken / seconds['pcrq']:7.2f} x pcrq")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"), help="cpu (default) or cuda")
    parser.add_argument("--compile", action="store_true", help="also time pcrq under torch.compile (needs a compiler)")
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="turns of every contender (default 7)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results there")
    args = parser.parse_args()

    results = {"machine": machine(args.device), "seconds": {}}
    print(describe(results["machine"]))
    for bins in (8, 30):
        title = f"images {IMAGES} float32, {bins} bins"
        results["seconds"][title] = images(args.device, bins, args.rounds, args.compile)
        show(title, results["seconds"][title])
    title = f"points, {CLOUDS} clouds of {POINTS}, 30 bins"
    results["seconds"][title] = points(args.device, 30, args.rounds)
    show(title, results["seconds"][title])
    write_json(results, args.json)


if __name__ == "__main__":
    main()

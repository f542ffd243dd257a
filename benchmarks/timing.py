"""What the benchmarks share: their options, their rows, and fair timing, in which the contenders take turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch


@dataclass(frozen=True)
class Options:
    """What every benchmark is run with.

    Args:
        device: where the work is done.
        rounds: times that every contender is measured.
        quick: use tiny sizes, to try the benchmark; the times mean nothing.
        store: a shape store with patches; None for built-in shapes.
        meshes: a folder or zip archive of meshes; None for generated ones.
    """

    device: torch.device
    rounds: int = 5
    quick: bool = False
    store: Path | None = None
    meshes: Path | None = None


@dataclass(frozen=True)
class Row:
    """Median seconds of a piece of work, beside the same by an alternative and beside a lower bound.

    Args:
        work: what is done, with its sizes.
        ours_seconds: time of this project's way.
        alternative: the other way to do it, if there is one.
        alternative_seconds: time of the alternative.
        limit: what no way can be faster than, if that was measured.
        limit_seconds: time of the limit.
    """

    work: str
    ours_seconds: float
    alternative: str | None = None
    alternative_seconds: float | None = None
    limit: str | None = None
    limit_seconds: float | None = None


def measure(
    work: str, contenders: dict[str, Callable[[], object]], options: Options, limit: str | None = None
) -> Iterator[Row]:
    """Time all contenders and compare the first one, ours, with every other.

    Args:
        work: what they do, with its sizes.
        contenders: by name; ours comes first.
        options: device and number of rounds.
        limit: name of the contender that is a lower bound instead of an alternative.

    Returns:
        A row for every alternative.
    """
    seconds = compare(contenders, options)
    ours, *others = contenders
    for name in [other for other in others if other != limit] or [None]:
        yield Row(work, seconds[ours], name, seconds.get(name), limit, seconds.get(limit))


def compare(contenders: dict[str, Callable[[], object]], options: Options) -> dict[str, float]:
    """Median seconds of every contender; they take turns, after one turn to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(options.rounds + 1):
        for name, run in contenders.items():
            wait(options.device)
            start = time.perf_counter()
            run()
            wait(options.device)
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return {name: median(times) for name, times in seconds.items()}


def wait(device: torch.device) -> None:
    """Wait until a GPU has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)

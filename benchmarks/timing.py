"""What the benchmarks share: their options, their rows, and fair timing, in which the contenders take turns."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable
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
    """

    device: torch.device
    rounds: int = 5
    quick: bool = False
    store: Path | None = None


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


def require_equal(ours: torch.Tensor, alternative: torch.Tensor, tolerance: float = 0) -> None:
    """Stop unless both ways give the same result, because their times could not be compared.

    Raises:
        AssertionError: an element differs by more than ``tolerance``, absolute and relative.
    """
    torch.testing.assert_close(ours, alternative, rtol=tolerance, atol=tolerance)


def machine(device: torch.device) -> dict[str, object]:
    """What the times were measured on."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        cpuinfo = Path("/proc/cpuinfo")
        lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
        name = next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.processor())
    return {
        "device": name,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def describe(machine: dict[str, object]) -> str:
    """The machine in one line."""
    return "   ".join(f"{key} {value}" for key, value in machine.items())


def write_json(results: dict, path: Path | None) -> None:
    """Write results atomically; nothing for None."""
    if path is None:
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.writing")
    temporary.write_text(json.dumps(results, indent=2) + "\n")
    temporary.replace(path)

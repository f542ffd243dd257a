"""Fair timing for the benchmarks: contenders take turns, and the machine is named."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch


def compare(contenders: dict[str, Callable[[], object]], device: torch.device, rounds: int) -> dict[str, float]:
    """Best seconds of every contender over ``rounds`` turns after one to warm up."""
    best = dict.fromkeys(contenders, float("inf"))
    for turn in range(rounds + 1):
        for name, run in contenders.items():
            wait(device)
            start = time.perf_counter()
            run()
            wait(device)
            if turn:
                best[name] = min(best[name], time.perf_counter() - start)
    return best


def wait(device: torch.device) -> None:
    """Let a GPU finish what was started."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def machine(device: torch.device) -> dict[str, object]:
    """What the times hold for."""
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
    """Write results whole or not at all; nothing for None."""
    if path is None:
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.writing")
    temporary.write_text(json.dumps(results, indent=2) + "\n")
    temporary.replace(path)

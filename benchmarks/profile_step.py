"""Profile a pretraining step: its time, the wait for data, memory, waits of the host for the device, and operators.

    python -m benchmarks.profile_step [--store STORE.h5]
    python -m benchmarks.profile_step --device cuda --precision bf16    # the paper's network

The report is Markdown on standard output. The network is that of the benchmark ``quantized_step`` over all nodes.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean, median

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader, RandomSampler

from benchmarks.__main__ import machine
from benchmarks.quantized_step import BINS, Trainer, describe, load_shapes, step_config
from benchmarks.timing import Options, wait
from octree import MIDNetConfig, PointBatch, ShapeDataset, ShapeStore, collate

WARM_UP, PROFILED = 3, 3  # steps
OPERATORS = 25  # lines of the table


def main(args: Sequence[str] | None = None) -> None:
    """Print the profile of a command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.profile_step",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"), help="cpu (default) or cuda")
    parser.add_argument("--precision", choices=("fp32", "tf32", "bf16"), default="fp32", help="default: fp32")
    parser.add_argument("--paper", action="store_true", help="the paper's network on a CPU, too")
    parser.add_argument("--nempty", action="store_true", help="convolve non-empty nodes only")
    parser.add_argument("--store", type=Path, metavar="STORE.h5", help="shapes (default: built-in ones)")
    parser.add_argument("--batch-size", type=int, default=32, help="shapes of a step (default: 32)")
    parser.add_argument("--workers", type=int, default=2, help="processes that load the shapes (default: 2)")
    parser.add_argument("--steps", type=int, default=20, help="number of timed steps (default: 20)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes and two steps, to try it: meaningless times")
    parsed = parser.parse_args(args)
    options = Options(parsed.device, quick=parsed.quick, store=parsed.store)
    config = MIDNetConfig(nempty=parsed.nempty) if parsed.paper else step_config(options, parsed.nempty)
    steps = 2 if parsed.quick else parsed.steps
    print(report(options, config, parsed.precision, parsed.batch_size, parsed.workers, steps))


def report(options: Options, config: MIDNetConfig, precision: str, batch_size: int, workers: int, steps: int) -> str:
    """The profile as Markdown; see the options of the command."""
    on_gpu = options.device.type == "cuda"
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    if on_gpu:
        from ocnn.nn.kernels import config as kernels  # needs Triton

        kernels.allow_tf32 = precision == "tf32"
    shapes = ShapeDataset(ShapeStore(options.store) if options.store else load_shapes(options, batch_size))
    size = min(batch_size, len(shapes))
    trainer = Trainer(config, len(shapes), options.device, BINS, bf16=precision == "bf16")
    sampler = RandomSampler(shapes, replacement=True, num_samples=(WARM_UP + steps) * size)
    loader = DataLoader(shapes, size, sampler=sampler, num_workers=workers, collate_fn=collate, pin_memory=on_gpu)
    seconds, waited = time_steps(trainer, loader, options.device)
    peak = torch.cuda.max_memory_allocated() if on_gpu else 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    batch = collate([shapes[row] for row in range(size)]).to(options.device)
    operators = profile_steps(partial(trainer.step, batch), options.device)
    total = sum(taken for _, _, taken in operators)
    lines = [f"{name}: {value}  " for name, value in machine(options.device).items()]
    lines += [f"network: {describe(config)}; {BINS} bins, {precision}, {size} of {len(shapes)} shapes", ""]
    lines += [
        "| a step | |",
        "| --- | ---: |",
        f"| time | {1e3 * seconds:,.1f} ms |",
        f"| shapes per second | {size / seconds:,.1f} |",
        f"| wait for data from {workers} workers | {waited:.1%} of the time |",
        f"| peak memory | {peak / 1e9:.2f} GB |",
        f"| {'kernels' if on_gpu else 'operators'}, profiled | {1e3 * total:,.1f} ms |",
    ]
    lines += ["", f"| {'kernel' if on_gpu else 'operator'} | calls | ms | share |", "| --- | ---: | ---: | ---: |"]
    lines += [
        f"| {name[:100]} | {calls:.0f} | {1e3 * taken:,.2f} | {taken / total:.1%} |"
        for name, calls, taken in operators[:OPERATORS]
    ]
    if on_gpu:
        places = waits_for_gpu(partial(trainer.step, batch)).most_common()
        lines += ["", "The host waits for the GPU in a step:", "", *(f"- {count} × {place}" for place, count in places)]
    return "\n".join(lines)


def time_steps(trainer: Trainer, loader: Iterable[PointBatch], device: torch.device) -> tuple[float, float]:
    """Seconds of a step, and the share of it in which the training process waits for the loader.

    Steps run without waiting for a GPU in between, so their time is the mean there; elsewhere the median.
    """
    batches, times, waits = iter(loader), [], []
    for step in itertools.count():
        if step == WARM_UP:
            wait(device)
            times, waits, begin = [], [], time.perf_counter()
        start = time.perf_counter()
        batch = next(batches, None)
        loaded = time.perf_counter()
        if batch is None:
            break
        trainer.step(batch.to(device, non_blocking=True))
        waits.append(loaded - start)
        times.append(time.perf_counter() - start)
    wait(device)
    seconds = (time.perf_counter() - begin) / len(times) if device.type == "cuda" else median(times)
    return seconds, fmean(waits) / seconds


def profile_steps(step: Callable[[], None], device: torch.device) -> list[tuple[str, float, float]]:
    """Name, calls and seconds in a step of every operator of the CPU, or kernel of the GPU; slowest first."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    step()
    with profile(activities=activities) as profiler:
        for _ in range(PROFILED):
            step()
        wait(device)
    events = [event for event in profiler.key_averages() if not event.is_user_annotation]
    if device.type == "cuda":
        times = [(e.key, e.count, e.self_device_time_total) for e in events if e.device_type == DeviceType.CUDA]
    else:
        times = [(event.key, event.count, event.self_cpu_time_total) for event in events]
    per_step = [(name, calls / PROFILED, 1e-6 * microseconds / PROFILED) for name, calls, microseconds in times]
    return sorted(per_step, key=lambda operator: -operator[2])


def waits_for_gpu(step: Callable[[], None]) -> Counter[str]:
    """How often the host waits for the GPU in a step, by line of code."""
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    waits = [warning for warning in caught if "called a synchronizing" in str(warning.message)]
    return Counter(f"{Path(warning.filename).name}:{warning.lineno}" for warning in waits)


if __name__ == "__main__":
    main()

"""Run benchmarks and print one table: time of ours, of an alternative and of a limit, and the ratios.

python -m benchmarks                                   # all
python -m benchmarks quantize octrees --device cuda    # some
python -m benchmarks --quick                           # tiny sizes, to try it
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import os
import platform
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks.timing import Options, Row

BENCHMARKS = {
    "quantize": "randomized quantization: mask formulation, binary search, copies of the data",
    "octrees": "octrees, neighbor tables, convolution, interpolation: ocnn",
    "midnet_step": "a training step of MID-Net: the same network of ocnn's own layers and octrees",
    "quantized_step": "a training step of MID-Net with 30 bins: without quantization",
    "image_step": "input and training steps of images with quantization: color jitter in worker processes",
    "audio_views": "log-mel spectrograms and augmentation of sounds in batches: librosa, clip by clip",
    "prepare": "preparation of meshes, on the CPU: its stages; scanning and surface sampling",
}


def main(args: Sequence[str] | None = None) -> None:
    """Run the benchmarks of a command line; one that needs a library that is not installed is skipped."""
    names = "\n".join(f"  {name:16} {text}" for name, text in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=f"{__doc__}\nbenchmarks, and what they compare with:\n{names}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="BENCHMARK", help="which to run (default: all)")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"), help="cpu (default) or cuda")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="times that each is measured (default: 5)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes and one round, to try it: meaningless times")
    parser.add_argument("--store", type=Path, metavar="STORE.h5", help="shapes (default: built-in ones)")
    parser.add_argument("--meshes", type=Path, metavar="SOURCE", help="folder or zip archive (default: generated ones)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="also write DATE_MACHINE.md and .json there")
    parsed = parser.parse_args(args)
    if unknown := set(parsed.names) - set(BENCHMARKS):
        parser.error(f"unknown benchmark {', '.join(sorted(unknown))}; available: {', '.join(BENCHMARKS)}")
    rounds = 1 if parsed.quick else parsed.rounds
    options = Options(parsed.device, rounds, parsed.quick, parsed.store, parsed.meshes)
    inputs = {name: path.name for name in ("store", "meshes") if (path := getattr(options, name)) is not None}
    about = machine(options.device) | {"rounds": options.rounds} | inputs
    results: dict[str, list[Row]] = {}
    for name in parsed.names or BENCHMARKS:
        print(f"{name} …", file=sys.stderr, flush=True)
        try:
            results[name] = list(importlib.import_module(f"benchmarks.{name}").rows(options))
        except ModuleNotFoundError as error:
            if str(error.name).partition(".")[0] in ("benchmarks", "pcrq", "octree", "data_prep", "projects"):
                raise
            print(f"{name}: skipped, {error}", file=sys.stderr)
            continue
        if parsed.out is not None:
            write(parsed.out, about, {name: results[name]}, options.quick)
    print(document(about, results))


def machine(device: torch.device) -> dict[str, object]:
    """What the times were measured on."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    name = next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.processor())
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else f"{name}, {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def write(folder: Path, about: dict[str, object], results: dict[str, list[Row]], quick: bool) -> Path:
    """Write the results of the day; benchmarks that an existing file of this day and machine has besides are kept.

    Returns:
        The Markdown file; the JSON file beside it has the same name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    slug = re.sub(r"\W+", "_", str(about["device"])).strip("_").lower()
    path = folder / f"{datetime.date.today()}_{slug}{'_quick' if quick else ''}.json"
    if path.exists():
        earlier = json.loads(path.read_text(encoding="utf-8"))["rows"]
        results = {name: [Row(**row) for row in rows] for name, rows in earlier.items()} | results
    rows = {name: [asdict(row) for row in each] for name, each in results.items()}
    path.write_text(json.dumps({"machine": about, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    title = f"# {about['device']}, {datetime.date.today()}{': tiny sizes' if quick else ''}\n\n"
    path.with_suffix(".md").write_text(title + document(about, results) + "\n", encoding="utf-8")
    return path.with_suffix(".md")


def document(about: dict[str, object], results: dict[str, Iterable[Row]]) -> str:
    """The machine and the table, as Markdown."""
    head = ("work", "ours", "alternative", "its time", "ratio", "limit", "its time", "ours / limit")
    lines = [head, ("---", "---:", "---", "---:", "---:", "---", "---:", "---:")]
    lines += [cells(row) for rows in results.values() for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    right = [cell.endswith(":") for cell in lines[1]]
    padded = [
        [f"{cell:>{width}}" if end else f"{cell:{width}}" for cell, width, end in zip(line, widths, right, strict=True)]
        for line in lines
    ]
    machine_line = ", ".join(f"{key} {value}" for key, value in about.items())
    return "\n".join([machine_line, "", *(f"| {' | '.join(line)} |" for line in padded)])


def cells(row: Row) -> tuple[str, ...]:
    """One line of the table: ratio is alternative / ours, so above 1 where ours is faster."""
    ours, other, limit = row.ours_seconds, row.alternative_seconds, row.limit_seconds
    return (
        *(row.work, _milliseconds(ours)),
        *(row.alternative or "", _milliseconds(other), "" if other is None else f"{other / ours:.2f}"),
        *(row.limit or "", _milliseconds(limit), "" if limit is None else f"{ours / limit:.2f}"),
    )


def _milliseconds(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{1e3 * seconds:,.{1 if seconds >= 0.01 else 3}f} ms"


if __name__ == "__main__":
    main()

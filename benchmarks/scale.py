"""Pretraining on ShapeNet on paper: hours, memory and bytes from measured figures.

    python -m benchmarks.scale --points N --bytes-per-point N --preparation N --cpu N --cpu-memory GB

The measured figures are arguments; what needs a figure that is not given is left empty. Shapes per second and memory of
training come from ``python -m benchmarks.profile_step``; points, bytes and preparation from ``python -m benchmarks
prepare``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

GROWTH = """
| grows with | what |
| --- | --- |
| points | store, loading and transfer of a batch, augmentation, quantization, sorting for the octree, point features |
| leaves | neighbor tables, activations, normalization and pooling (× width), convolutions (× width²), patch logits |
| shapes | store, preparation, steps of an epoch, memory banks and checkpoints, shape logits of a step (× batch) |
| width | activations and normalization; its square: weights and convolutions |"""


def main(args: Sequence[str] | None = None) -> None:
    """Print the tables of a command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shapes", type=int, default=57_449, help="training shapes (default: ShapeNetCore's 57,449)")
    parser.add_argument("--epochs", type=int, default=400, help="default: the paper's 400")
    parser.add_argument("--batch-size", type=int, default=32, help="default: the paper's 32")
    parser.add_argument("--patches", type=int, default=100, help="of a shape (default: 100)")
    parser.add_argument("--point-channels", type=int, default=64, help="of the patch bank (default: 64)")
    parser.add_argument("--shape-channels", type=int, default=128, help="of the shape bank (default: 128)")
    parser.add_argument("--points", type=float, metavar="N", help="measured: points of a shape")
    parser.add_argument("--bytes-per-point", type=float, metavar="N", help="measured: size of the store")
    parser.add_argument("--preparation", type=float, metavar="N", help="measured: shapes per second that are prepared")
    parser.add_argument("--cpu", type=float, metavar="N", help="measured: shapes per second of training on CPUs")
    parser.add_argument("--gpu", type=float, metavar="N", help="measured: shapes per second of training on one GPU")
    parser.add_argument("--cpu-memory", type=float, metavar="GB", help="measured: peak of a step, with few shapes")
    parser.add_argument("--gpu-memory", type=float, metavar="GB", help="measured: peak of a step, with few shapes")
    print(tables(parser.parse_args(args)))


def tables(given: argparse.Namespace) -> str:
    """Two Markdown tables, of what depends on the device and of what does not, and what grows with what."""
    shapes, steps = given.shapes, -(-given.shapes // given.batch_size)
    patch_bank, shape_bank = 4 * shapes * given.patches * given.point_channels, 4 * shapes * given.shape_channels
    shape_bytes = given.points and given.bytes_per_point and given.points * given.bytes_per_point
    lines = [
        f"{shapes:,} shapes × {given.epochs} epochs, {given.epochs * steps:,} steps of {given.batch_size} shapes",
        "\n| | CPUs | one GPU |\n| --- | ---: | ---: |",
    ]
    devices = [(given.cpu, given.cpu_memory), (given.gpu, given.gpu_memory)]
    for name, unit, figure in (
        ("measured, shapes per second", "", lambda rate, _: rate),
        ("an epoch", "min", lambda rate, _: rate and shapes / rate / 60),
        ("all epochs", "h", lambda rate, _: rate and shapes * given.epochs / rate / 3600),
        ("read from the store", "MB/s", lambda rate, _: rate and shape_bytes and rate * shape_bytes / 1e6),
        ("memory with float32 banks", "GB", lambda _, peak: peak and peak + (patch_bank + shape_bank) / 1e9),
    ):
        lines.append(_row(name, unit, *(figure(*device) for device in devices)))
    lines += [
        "\n| | |\n| --- | ---: |",
        _row("preparation", "h", given.preparation and shapes / given.preparation / 3600),
        _row("store", "GB", shape_bytes and shapes * shape_bytes / 1e9),
        _row("patch bank, float32", "MB", patch_bank / 1e6),
        _row("patch bank, float16", "MB", patch_bank / 2e6),
        _row("shape bank, float32", "MB", shape_bank / 1e6),
    ]
    return "\n".join(lines) + "\n" + GROWTH


def _row(name: str, unit: str, *figures: float | None) -> str:
    cells = ["" if figure is None else f"{figure:,.1f} {unit}".strip() for figure in figures]
    return f"| {' | '.join([name, *cells])} |"


if __name__ == "__main__":
    main()

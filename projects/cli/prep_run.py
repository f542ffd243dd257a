"""Run a preparation from the command line: its options, the workers, and the summary at the end."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from pcrq import InputError

if TYPE_CHECKING:
    from data_prep.pipeline import Pipeline
    from data_prep.recipes import Recipe
    from data_prep.run import Item, Refusal, Summary

_SHOWN = 5  # refused items named in the summary


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--out``, ``--force``, ``--jobs`` and ``--scheduler``, which every preparation has."""
    output = parser.add_argument_group("output")
    output.add_argument("--out", type=Path, required=True, metavar="STORE.h5", help="store to write")
    output.add_argument("--force", action="store_true", help="replace a store made from other files or options")
    workers = parser.add_argument_group("workers")
    workers.add_argument("--jobs", type=int, metavar="N", help="worker processes (default: one per core)")
    workers.add_argument(
        "--scheduler", metavar="URL", help="running cluster: dask://HOST:PORT or ray://HOST:PORT (docs/clusters.md)"
    )


def add_shape_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of preparations of shapes: method, resolution, points, offset and seed."""
    points = parser.add_argument_group("points on surfaces")
    points.add_argument(
        "--method",
        choices=("scan", "sample"),
        default="scan",
        help="scan: rays from 14 directions, as in the paper; sample: uniform by area (default: scan)",
    )
    points.add_argument(
        "--resolution", type=int, metavar="N", help="rays along each side of a view of --method scan (default: 255)"
    )
    points.add_argument("--points", type=int, metavar="N", help="points per shape of --method sample (default: 50000)")
    points.add_argument(
        "--offset",
        type=float,
        metavar="X",
        help="move points by X cells along their normals before they are averaged on the 64³ grid, which keeps the "
        "sides of thin sheets apart (default: 0.55, as in O-CNN)",
    )
    points.add_argument("--seed", type=int, default=0, metavar="N", help="random seed (default: 0)")


def shape_pipeline(args: argparse.Namespace) -> Pipeline:
    """Return the pipeline set by the options of :func:`add_shape_options`.

    Raises:
        InputError: options contradict each other or are out of range.
    """
    from data_prep.pipeline import Pipeline

    if args.points is not None and args.method != "sample":
        raise InputError("--points: only for --method sample; add it or leave --points out")
    if args.resolution is not None and args.method != "scan":
        raise InputError("--resolution: only for --method scan; leave one of them out")
    options = ("points", "resolution", "offset")
    given = {name: getattr(args, name) for name in options if getattr(args, name) is not None}
    return Pipeline(method=args.method, seed=args.seed, **given)


def run_recipe(
    args: argparse.Namespace, items: Sequence[Item], recipe: Recipe, *, classes: Sequence[str], source: str
) -> None:
    """Prepare items here or on a cluster, and print a summary.

    Args:
        args: the options of :func:`add_run_options`, and ``source``, the path of the input, if there is one.
        items, recipe, classes, source: as for :func:`data_prep.prepare_store`.

    Raises:
        InputError: options contradict each other, the cluster is unavailable, or the preparation fails.
    """
    from data_prep.run import prepare_store

    with _workers(args):
        summary = prepare_store(
            items, args.out, recipe, classes=classes, jobs=args.jobs, source=source, force=args.force
        )
    _print_summary(summary, recipe.kind)


def _workers(args: argparse.Namespace) -> AbstractContextManager[None]:
    if args.scheduler is None:
        return nullcontext()
    if args.jobs is not None:
        raise InputError("--jobs: not with --scheduler, which uses all workers of the cluster; leave one of them out")
    from data_prep.scheduler import connected

    source = [args.source] if hasattr(args, "source") else []
    return connected(args.scheduler, [args.out.parent, *source])


def _print_summary(summary: Summary, kind: str) -> None:
    if summary.up_to_date:
        print(f"{summary.store}: up to date, made from the same files with the same options; nothing to do")
    if kind == "shape":
        size = f"{summary.values} points, {summary.store_bytes / summary.values:.1f} bytes per point"
    else:
        from pcrq.stores.sound_store import RATE

        size = f"{summary.values / RATE:,.0f} seconds, {summary.store_bytes / 1e6:.1f} MB"
    print(f"{summary.store}: {summary.entries} {kind}s, {size}")
    if not summary.up_to_date:
        rate = summary.prepared / summary.seconds
        print(f"prepared {summary.prepared} {kind}s in {summary.seconds:.1f} s, {rate:.1f} per second", end="")
        before = summary.entries + len(summary.refused) - summary.prepared
        print(f"; {before} were already finished" if before else "")
    print_refused(summary.refused, summary.refused_list)


def print_refused(refused: Sequence[Refusal], refused_list: Path | None) -> None:
    """Print the first items that could not be used and the file that lists all of them; nothing if there are none."""
    if not refused:
        return
    print(f"refused {len(refused)}, all listed in {refused_list}:")
    for refusal in refused[:_SHOWN]:
        print(f"  {refusal.id}: {refusal.reason}")
    if len(refused) > _SHOWN:
        print(f"  and {len(refused) - _SHOWN} more")

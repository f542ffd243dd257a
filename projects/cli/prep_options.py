"""What all sources of ``pcrq prep`` share: the options of the preparation, the run, and the summary at its end."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from pcrq.errors import InputError

if TYPE_CHECKING:
    from data_prep.pipeline import Pipeline
    from data_prep.recipes import Recipe
    from data_prep.run import Item, Refusal, Summary

_SHOWN = 5  # refused items named in the summary


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add what every preparation has: ``--out``, ``--jobs``, ``--scheduler`` and ``--force``."""
    parser.add_argument("--out", type=Path, required=True, metavar="STORE.h5", help="the store to write")
    parser.add_argument("--jobs", type=int, metavar="N", help="worker processes (default: one for every core)")
    parser.add_argument(
        "--scheduler",
        metavar="URL",
        help="work on a running cluster: dask://HOST:PORT or ray://HOST:PORT (docs/clusters.md)",
    )
    parser.add_argument("--force", action="store_true", help="replace a store made from other files or options")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what a preparation of shapes has: ``--method``, ``--points``, ``--seed`` and those of a run."""
    parser.add_argument(
        "--method",
        choices=("scan", "sample"),
        default="scan",
        help="scan: rays from 14 directions, as in the paper (default); sample: points drawn evenly by area",
    )
    parser.add_argument(
        "--points", type=int, metavar="N", help="points drawn on every surface by --method sample (default 50000)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of everything random (default 0)")
    add_run_options(parser)


def pipeline(args: argparse.Namespace) -> Pipeline:
    """The pipeline that the options describe.

    Raises:
        InputError: options contradict each other or are out of range.
    """
    from data_prep.pipeline import Pipeline

    if args.points is not None and args.method != "sample":
        raise InputError("--points: only --method sample draws a number of points; add it or leave --points out")
    count = {} if args.points is None else {"points": args.points}
    return Pipeline(method=args.method, seed=args.seed, **count)


def run(
    args: argparse.Namespace,
    items: Sequence[Item],
    *,
    pipeline: Pipeline,
    classes: Sequence[str],
    source: str,
    parts: Sequence[str] | None = None,
) -> None:
    """Prepare shapes here or on a cluster, as the options say, and print what was done.

    Args:
        args: the options of :func:`add_options`; where the command has a ``source``, the file or folder of the items.
        items, pipeline, classes, source, parts: passed on to :func:`data_prep.run.prepare`.

    Raises:
        InputError: options contradict each other, the cluster cannot be used, or the run cannot end well.
    """
    from data_prep.recipes import ShapeRecipe

    run_recipe(args, items, ShapeRecipe(pipeline, parts), classes=classes, source=source)


def run_recipe(
    args: argparse.Namespace, items: Sequence[Item], recipe: Recipe, *, classes: Sequence[str], source: str
) -> None:
    """Prepare shapes or sounds here or on a cluster, as the options say, and print what was done.

    Args:
        args: the options of :func:`add_run_options`; where the command has a ``source``, the file or folder of the
            items.
        items, recipe, classes, source: passed on to :func:`data_prep.run.prepare_store`.

    Raises:
        InputError: options contradict each other, the cluster cannot be used, or the run cannot end well.
    """
    from data_prep.run import prepare_store

    with _workers(args):
        summary = prepare_store(
            items, args.out, recipe, classes=classes, jobs=args.jobs, source=source, force=args.force
        )
    print_summary(summary, recipe.kind)


def _workers(args: argparse.Namespace) -> AbstractContextManager[None]:
    """Where the run inside the block works."""
    if args.scheduler is None:
        return nullcontext()
    if args.jobs is not None:
        raise InputError("--jobs: with --scheduler all workers of the cluster are used; leave one of them out")
    from data_prep.scheduler import connected

    source = [args.source] if hasattr(args, "source") else []
    return connected(args.scheduler, [args.out.parent, *source])


def print_summary(summary: Summary, kind: str) -> None:
    """Print what a preparation run of shapes or sounds did."""
    if summary.up_to_date:
        print(f"{summary.store}: up to date, made from the same files with the same options; nothing to do")
    if kind == "shape":
        size = f"{summary.values} points, {summary.store_bytes / summary.values:.1f} bytes a point"
    else:
        from pcrq.stores.sound_store import RATE

        size = f"{summary.values / RATE:,.0f} seconds, {summary.store_bytes / 1e6:.1f} MB"
    print(f"{summary.store}: {summary.entries} {kind}s, {size}")
    if not summary.up_to_date:
        rate = summary.prepared / summary.seconds
        print(f"prepared {summary.prepared} {kind}s in {summary.seconds:.1f} s, {rate:.1f} a second", end="")
        before = summary.entries + len(summary.refused) - summary.prepared
        print(f"; {before} were finished before" if before else "")
    print_refused(summary.refused, summary.refused_list)


def print_refused(refused: Sequence[Refusal], refused_list: Path | None) -> None:
    """Print the first of the items that could not be used, and where all are listed; nothing where there are none."""
    if not refused:
        return
    print(f"refused {len(refused)}, all listed in {refused_list}:")
    for refusal in refused[:_SHOWN]:
        print(f"  {refusal.id}: {refusal.reason}")
    if len(refused) > _SHOWN:
        print(f"  and {len(refused) - _SHOWN} more")

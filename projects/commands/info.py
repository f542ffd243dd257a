"""``pcrq info``: what is in a shape store, checked."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

DESCRIPTION = """\
Show what a shape store holds and how it was made, and read all of it to check that nothing is damaged.
"""


def register(commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "info", help="show and check a shape store", description=DESCRIPTION, epilog="example:\n  pcrq info shapes.h5",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("store", type=Path, metavar="STORE.h5", help="the shape store")
    parser.add_argument("--no-check", action="store_true", help="do not read the points; quick for large stores")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print the summary, then the result of the check."""
    from octree.shape_store import ShapeStore

    store = ShapeStore(args.store)
    counts, size = store.counts, args.store.stat().st_size
    print(f"{args.store}: {len(store)} shapes, {counts.sum():,} points, {size / 1e6:.1f} MB", end="")
    print(f" ({size / max(counts.sum(), 1):.1f} bytes a point)")
    print(f"  source      {store.source or 'not recorded'}")
    if len(store):
        print(f"  points      {counts.min():,} to {counts.max():,} a shape, {counts.mean():,.0f} on average")
    print(f"  patches     {'up to ' + str(store.parameters.get('patches', '?')) if store.has_patches else 'none'}")
    print(f"  splits      {_counted(Counter(split or 'none' for split in store.split))}")
    names = [store.classes[c] if c >= 0 else "unknown" for c in store.category]
    print(f"  categories  {len(store.classes)}: {_counted(Counter(names))}")
    if store.parts is not None:
        print(f"  parts       {len(store.parts)}: {', '.join(store.parts)}")
    made = {k: v for k, v in store.parameters.items() if k != "sources"}  # a fingerprint, of no use to a reader
    print(f"  made with   {', '.join(f'{name} {value}' for name, value in made.items()) or 'not recorded'}")
    print(f"  digest      {store.digest}")
    if args.no_check:
        return
    store.verify()
    print("  checked     all shapes are as they were written")


def _counted(counter: Counter) -> str:
    return ", ".join(f"{name} {count}" for name, count in counter.most_common())

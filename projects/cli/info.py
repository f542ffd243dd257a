"""``pcrq info``: show and check a store of shapes or sounds."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pcrq.stores import ShapeStore, SoundStore
    from pcrq.stores.store_file import StoreFile

DESCRIPTION = """\
Show the content of a store of shapes or sounds and how it was made. Read all of it to check that nothing is damaged.
"""


def register(commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "info",
        help="show and check a store of shapes or sounds",
        description=DESCRIPTION,
        epilog="examples:\n  pcrq info shapes.h5\n  pcrq info large.h5 --no_check\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("store", type=Path, metavar="STORE.h5", help="store made by 'pcrq prep'")
    parser.add_argument("--no_check", action="store_true", help="skip the check, which reads the whole store")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print the summary, then the result of the check."""
    from pcrq.stores import stored_kind

    if stored_kind(args.store) == "sound":
        from pcrq.stores import SoundStore

        kind, store = "sounds", SoundStore(args.store)
        _print_sounds(store)
    else:
        from pcrq.stores import ShapeStore

        kind, store = "shapes", ShapeStore(args.store)
        _print_shapes(store)
    made = {k: v for k, v in store.parameters.items() if k != "sources"}  # a digest, not for readers
    print(f"  made with   {', '.join(f'{name} {value}' for name, value in made.items()) or 'not recorded'}")
    print(f"  digest      {store.digest}")
    if not args.no_check:
        store.verify()
        print(f"  checked     all {kind} are intact")


def _print_shapes(store: ShapeStore) -> None:
    counts, size = store.counts, store.path.stat().st_size
    print(f"{store.path}: {len(store)} shapes, {counts.sum():,} points, {size / 1e6:.1f} MB", end="")
    print(f" ({size / max(counts.sum(), 1):.1f} bytes per point)")
    print(f"  source      {store.source or 'not recorded'}")
    if len(store):
        print(f"  points      {counts.min():,} to {counts.max():,} per shape, {counts.mean():,.0f} on average")
    print(f"  patches     {'up to ' + str(store.parameters.get('patches', '?')) if store.has_patches else 'none'}")
    _print_labels(store)
    if store.parts is not None:
        print(f"  parts       {len(store.parts)}: {', '.join(store.parts)}")


def _print_sounds(store: SoundStore) -> None:
    from pcrq.stores.sound_store import RATE

    seconds, size = store.lengths / RATE, store.path.stat().st_size
    print(f"{store.path}: {len(store)} sounds, {seconds.sum():,.0f} seconds, {size / 1e6:.1f} MB")
    print(f"  source      {store.source or 'not recorded'}")
    if len(store):
        print(f"  seconds     {seconds.min():.2f} to {seconds.max():.2f} per sound, {seconds.mean():.2f} on average")
    _print_labels(store)
    folds = Counter(store.fold.tolist())
    if set(folds) - {-1}:
        print(f"  folds       {_counted({fold if fold >= 0 else 'none': folds[fold] for fold in sorted(folds)})}")


def _print_labels(store: StoreFile) -> None:
    print(f"  splits      {_counted(dict(Counter(split or 'none' for split in store.split).most_common()))}")
    names = Counter(store.classes[c] if c >= 0 else "unknown" for c in store.category)
    print(f"  categories  {len(store.classes)}: {_counted(dict(names.most_common()))}")


def _counted(counts: dict) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())

"""``pcrq quickstart``: preparation, pretraining, evaluation and report on built-in shapes, in minutes."""

from __future__ import annotations

import argparse
from pathlib import Path

DESCRIPTION = """\
Prepare built-in shapes, pretrain a small MID-Net without and with randomized quantization, compare both with an
untrained network by linear probes, and write a report with pictures.

Takes about five minutes on two CPU cores. Run the same command again to resume an interrupted run.
"""
EPILOG = """\
Writes report.md, results.json, figures/, viewer.html, shapes.h5 and the runs to DIR.

examples:
  pcrq quickstart
  pcrq quickstart --out try --count 8 --test_count 8 --epochs 10
"""


def register(commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "quickstart",
        help="prepare, pretrain, evaluate and report on built-in shapes",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out", type=Path, default=Path("quickstart"), metavar="DIR", help="folder to write (default: quickstart)"
    )
    parser.add_argument("--count", type=int, default=16, metavar="N", help="training shapes per category (default: 16)")
    parser.add_argument(
        "--test_count", type=int, default=24, metavar="N", help="test shapes per category (default: 24)"
    )
    parser.add_argument(
        "--epochs", type=int, default=80, metavar="N", help="pretraining epochs per method (default: 80)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="random seed (default: 0)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Run the quick start."""
    from projects.point_cloud.quickstart import Settings, quickstart

    quickstart(args.out, Settings(count=args.count, test_count=args.test_count, epochs=args.epochs, seed=args.seed))

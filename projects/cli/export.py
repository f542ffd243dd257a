"""``pcrq export``: a pretrained network as a folder to take away."""

from __future__ import annotations

import argparse
from pathlib import Path

DESCRIPTION = """\
Write the network of a training checkpoint as a folder of two files: model.safetensors, the weights, and config.json,
the architecture and how it was pretrained. octree.load_pretrained(FOLDER) and --checkpoint FOLDER take it.
"""
EPILOG = """\
example:
  pcrq export runs/tiny/checkpoints/last.ckpt --out tiny_midnet
"""


def register(commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "export",
        help="a pretrained network as a folder to take away",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", type=Path, metavar="CKPT", help="of a pretraining run")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="the folder to write")
    parser.add_argument("--force", action="store_true", help="replace a network that was exported there before")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Export and say what."""
    from octree.pretrained import load_pretrained, pretraining_method, save_pretrained

    network = load_pretrained(args.checkpoint)
    folder = save_pretrained(network, args.out, force=args.force)
    weights = sum(weight.numel() for weight in network.parameters())
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{folder}: {pretraining_method(network.pretraining)}, {weights:,} weights, {size / 1e6:.1f} MB")

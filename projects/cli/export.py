"""``pcrq export``: write a pretrained MID-Net as a folder of safetensors and config."""

from __future__ import annotations

import argparse
from pathlib import Path

DESCRIPTION = """\
Export the network of a shape pretraining (MID-Net) as a folder of two files: model.safetensors with the weights, and
config.json with the architecture and the pretraining. Load it with octree.load_pretrained(FOLDER), or use the folder as
--checkpoint of other commands. Image and sound encoders cannot be exported yet; use their checkpoints.
"""
EPILOG = """\
example:
  pcrq export runs/tiny/checkpoints/last.ckpt --out tiny_midnet
"""


def register(commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "export",
        help="export a pretrained network as safetensors (shapes only)",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", type=Path, metavar="CKPT", help="checkpoint of a shape pretraining")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--force", action="store_true", help="replace an exported network in this folder")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Export and print a summary."""
    from octree.pretrained import load_pretrained, pretraining_method, save_pretrained

    network = load_pretrained(args.checkpoint)
    folder = save_pretrained(network, args.out, force=args.force)
    weights = sum(weight.numel() for weight in network.parameters())
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{folder}: {pretraining_method(network.pretraining)}, {weights:,} weights, {size / 1e6:.1f} MB")

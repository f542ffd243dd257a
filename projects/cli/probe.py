"""``pcrq probe``: how well a linear layer on a pretrained network's features knows the categories."""

from __future__ import annotations

import argparse
from pathlib import Path

DESCRIPTION = """\
Train linear classifiers (logistic regression) on the features of a frozen network, with few and with all labels of
the training shapes, and measure them on the test shapes of the store. The protocol of the paper's table 6 is
'python -m projects.point_cloud.classify lin'.
"""
EPILOG = """\
example:
  pcrq probe shapes.h5 --checkpoint runs/tiny/checkpoints/last.ckpt --out runs/tiny
"""


def register(commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "probe",
        help="linear probes of a pretrained network, over label ratios",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("store", type=Path, metavar="STORE.h5", help="shapes with categories, train and test splits")
    parser.add_argument(
        "--checkpoint", type=Path, required=True, metavar="CKPT", help="of a pretraining run, or an exported folder"
    )
    parser.add_argument(
        "--ratios", type=label_ratios, default=[0.05, 0.1, 0.2, 0.5, 1.0], metavar="R,R,…",
        help="parts of the labels, separated by commas (default 0.05,0.1,0.2,0.5,1)",
    )  # fmt: skip
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="repetitions (default 5)")
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, … (default: a GPU where there is one)")
    parser.add_argument(
        "--name", help="of the network, in the results (default: MID or MID + quantization, as it was pretrained)"
    )
    parser.add_argument(
        "--out", type=Path, default=None, metavar="DIR", help="run folder whose results.json takes the numbers"
        " (default: that of the checkpoint, or the folder around an exported one)",
    )  # fmt: skip
    parser.set_defaults(run=run)


def label_ratios(text: str) -> list[float]:
    try:
        return [float(ratio) for ratio in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: give numbers separated by commas") from error


def run_folder(checkpoint: Path) -> Path:
    """Where the numbers of a network belong; not in the folder of an exported one, which holds nothing else."""
    inside = checkpoint.parent.name == "checkpoints" or checkpoint.suffix.lower() == ".safetensors"
    return checkpoint.parent.parent if inside else checkpoint.parent


def run(args: argparse.Namespace) -> None:
    """Probe, record, and print a line per ratio."""
    import numpy as np
    from tqdm import tqdm

    from octree.pretrained import load_pretrained, pretraining_method
    from pcrq.errors import InputError
    from pcrq.stores.shape_store import ShapeStore
    from projects.point_cloud.evaluate import probe
    from projects.training.device import choose_device

    network, store = load_pretrained(args.checkpoint).to(choose_device(args.device)), ShapeStore(args.store)
    folder = args.out or run_folder(args.checkpoint)
    if not folder.is_dir():
        raise InputError(f"{folder}: not a folder; create it or choose another --out")
    records = probe(
        network,
        store,
        method=args.name or pretraining_method(network.pretraining),
        results=folder / "results.json",
        ratios=args.ratios,
        seeds=args.seeds,
        config=network.hyper_parameters(),
        progress=tqdm,
    )
    for ratio in args.ratios:
        values = np.array([100 * record.value for record in records if record.ratio == ratio])
        print(f"{100 * ratio:5g} % of the labels: {values.mean():5.1f} ± {values.std():.1f} % accuracy")
    print(f"recorded in {folder / 'results.json'}")

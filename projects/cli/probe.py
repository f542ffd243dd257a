"""``pcrq probe``: linear probes of a frozen MID-Net over label ratios."""

from __future__ import annotations

import argparse
from pathlib import Path

DESCRIPTION = """\
Train linear classifiers (logistic regression) on features of a frozen shape network (MID-Net), with a part and with all
of the training labels, and test them on the test shapes of the store. This takes seconds; the protocol of the paper's
table 6 is 'pcrq evaluate shapes'. For image and sound encoders use 'pcrq evaluate images' and 'pcrq evaluate sounds'.
"""
EPILOG = """\
example:
  pcrq probe shapes.h5 --checkpoint runs/tiny/checkpoints/last.ckpt --out runs/tiny
"""


def register(commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "probe",
        help="train linear probes over label ratios (shapes only)",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "store", type=Path, metavar="STORE.h5", help="shape store with categories, training and test split"
    )
    parser.add_argument(
        "--checkpoint", type=Path, required=True, metavar="CKPT", help="checkpoint of a pretraining, or exported folder"
    )
    parser.add_argument(
        "--ratios",
        type=label_ratios,
        default=[0.05, 0.1, 0.2, 0.5, 1.0],
        metavar="R,R,…",
        help="label ratios, separated by commas (default: 0.05,0.1,0.2,0.5,1)",
    )
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="number of random subsets (default: 5)")
    parser.add_argument(
        "--views",
        type=int,
        default=0,
        metavar="N",
        help="average the features of N randomly quantized views of every shape (default: 0, the shape itself)",
    )
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, … (default: GPU if available)")
    parser.add_argument(
        "--name", help="name of the method in the results (default: MID or MID + quantization, from the checkpoint)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=None,
        metavar="DIR",
        help="existing folder for results.json (default: run of the checkpoint, or parent of an exported folder)",
    )
    parser.set_defaults(run=run)


def label_ratios(text: str) -> list[float]:
    """Parse numbers separated by commas."""
    try:
        return [float(ratio) for ratio in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: must be numbers separated by commas") from error


def run_folder(checkpoint: Path) -> Path:
    """Return the folder for the results of a network: the run folder, or the parent of an exported folder."""
    inside = checkpoint.parent.name == "checkpoints" or checkpoint.suffix.lower() == ".safetensors"
    return checkpoint.parent.parent if inside else checkpoint.parent


def run(args: argparse.Namespace) -> None:
    """Train the probes, record the results, and print a line per ratio."""
    import numpy as np
    from tqdm import tqdm

    from octree.pretrained import load_pretrained, pretraining_method
    from pcrq import InputError
    from pcrq.stores import ShapeStore
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
        views=args.views,
        config=network.hyper_parameters(),
        progress=tqdm,
    )
    for ratio in args.ratios:
        values = np.array([100 * record.value for record in records if record.ratio == ratio])
        print(f"{100 * ratio:5g} % of the labels: {values.mean():5.1f} ± {values.std():.1f} % accuracy")
    print(f"recorded in {folder / 'results.json'}")

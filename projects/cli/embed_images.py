"""``pcrq embed`` of images, by any encoder that projects.image knows."""

from __future__ import annotations

import argparse
import csv
import time
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from joblib import cpu_count
from tqdm import tqdm

from data_prep.run import Refusal
from pcrq.errors import InputError
from pcrq.evaluation.features import save_features
from pcrq.files import atomic_write
from projects.cli.prep_options import print_refused
from projects.image.augmentation import unreadable_images
from projects.image.encoder import Encoder, load_encoder
from projects.image.evaluation import embed_images
from projects.image.sources import FolderImages
from projects.training.device import choose_device
from projects.training.records import code_version

PUBLISHED_SIZE = 224
_WORKERS = 8  # processes that decode, at most: more of them start longer than they help with the images of a folder


def run_images(args: argparse.Namespace) -> None:
    """Embed and write; images that cannot be read are listed and left out.

    Raises:
        InputError: an option is for shapes, or the source or the checkpoint cannot be used.
    """
    for option, value in (("--up", args.up), ("--neighbours", args.neighbours), ("--labels", args.labels)):
        if value is not None:
            raise InputError(
                f"{option} {value}: not for images, but {args.checkpoint} is a network of images; leave it out"
            )
    started = time.perf_counter()
    encoder = None if args.encoder is None else Encoder(args.encoder, arguments=args.encoder_arguments)
    loaded = load_encoder(args.checkpoint, encoder)
    source = FolderImages(args.source, "pretrain")
    size = loaded.pretraining.get("size", PUBLISHED_SIZE)
    device = choose_device(args.device)
    features, _, indices = embed_images(
        loaded.network.to(device, memory_format=torch.channels_last),
        source,
        size,
        loaded.mean,
        loaded.std,
        batch_size=args.batch_size,
        workers=min(_WORKERS, cpu_count()) if args.jobs is None else args.jobs,
        progress=partial(tqdm, desc="embedding", unit="batch"),
    )
    _list_refused(source, np.setdiff1d(np.arange(len(source)), indices), args.out)
    names = [PurePosixPath(source.relative_name(index)) for index in indices]
    about = {
        "feature": "pooled",
        "checkpoint": str(args.checkpoint),
        "weights": loaded.digest,
        "pretraining": loaded.pretraining,
        "size": size,
        "source": args.source.name,
        "images": source.digest,
        "software": code_version(),
    }
    save_features(
        args.out,
        features.cpu().numpy(),
        ids=[str(name) for name in names],
        categories=[name.parent.name for name in names],
        splits=[""] * len(names),
        about=about,
    )
    seconds = time.perf_counter() - started
    print(f"{args.out}: {len(features)} images, {features.shape[1]} numbers each, in {seconds:.1f} s")


def _list_refused(source: FolderImages, left_out: np.ndarray, out: Path) -> None:
    """Write and print which images cannot be read, and why."""
    path = out.with_name(f"{out.name}.refused.csv")
    errors = unreadable_images(source, left_out.tolist())
    refused = [Refusal(error.name.removeprefix(f"{source.folder.name}/"), error.reason) for error in errors]
    if not refused:
        path.unlink(missing_ok=True)  # of an earlier run
        return
    with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("file", "reason"), *((refusal.id, refusal.reason) for refusal in refused)])
    print_refused(refused, path)

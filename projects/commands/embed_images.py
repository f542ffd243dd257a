"""``pcrq embed`` of images, by any encoder that projects.image knows."""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import PurePosixPath

import torch
from tqdm import tqdm

from pcrq.errors import InputError
from projects.device import choose_device
from projects.feature_file import save_features
from projects.image.encoder_checkpoint import load_encoder
from projects.image.features import embed_images
from projects.image.sources import FolderImages
from projects.run_record import code_version

PUBLISHED_SIZE = 224


def run_images(args: argparse.Namespace) -> None:
    """Embed and write; images that cannot be read are named and left out.

    Raises:
        InputError: an option is for shapes, or the source or the checkpoint cannot be used.
    """
    for option, value in (("--up", args.up), ("--neighbours", args.neighbours), ("--labels", args.labels)):
        if value is not None:
            raise InputError(
                f"{option} {value}: not for images, but {args.checkpoint} is a network of images; leave it out"
            )
    started = time.perf_counter()
    loaded = load_encoder(args.checkpoint)
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
        workers=0 if args.jobs is None else args.jobs,
        progress=partial(tqdm, desc="embedding", unit="batch"),
    )
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
    left_out = len(source) - len(indices)
    if left_out:
        print(f"{left_out} of {len(source)} images could not be read")
    print(f"{args.out}: {len(features)} images, {features.shape[1]} numbers each, in {seconds:.1f} s")

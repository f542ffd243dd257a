"""``pcrq embed`` of sounds, by an AudioNTT2020: every clip as it is, from a second to an hour."""

from __future__ import annotations

import argparse
import time
from functools import partial

import numpy as np
from tqdm import tqdm

from pcrq.errors import InputError
from pcrq.evaluation.features import category_names, save_features
from projects.audio.embedding import embed_sounds
from projects.audio.encoder import load_encoder
from projects.audio.sound_source import open_sounds
from projects.audio.waveforms import Clips, waveform_statistics
from projects.cli import prep_options
from projects.training.device import choose_device
from projects.training.records import code_version


def run_sounds(args: argparse.Namespace) -> None:
    """Embed and write.

    Raises:
        InputError: an option is for shapes, or the source or the checkpoint cannot be used.
    """
    for option, value in (("--up", args.up), ("--neighbours", args.neighbours)):
        if value is not None:
            raise InputError(
                f"{option} {value}: for shapes, but {args.checkpoint} is a network of sounds; leave it out"
            )
    started = time.perf_counter()
    loaded = load_encoder(args.checkpoint)
    loaded.network.to(choose_device(args.device))
    with open_sounds(args.source, args.out, labels=args.labels, jobs=args.jobs) as source:
        prep_options.print_refused(source.refused, source.refused_list)
        store, statistics, indices = source.store, loaded.statistics, np.arange(len(source.store))
        if statistics is None:
            statistics = waveform_statistics(Clips(store, indices), choose_device(args.device))
            print(f"log-mel mean {statistics.mean:.3f} and deviation {statistics.std:.3f} measured on these sounds, as "
                  f"{args.checkpoint} does not tell those of its own")  # fmt: skip
        bar = partial(tqdm, desc="embedding", unit="batch")
        features = embed_sounds(
            loaded.network, statistics, store, indices, batch_size=args.batch_size, progress=bar
        ).numpy()
        about = {
            "feature": "maximum + mean over time",
            "checkpoint": str(args.checkpoint),
            "weights": loaded.digest,
            "pretraining": loaded.pretraining,
            "log-mel mean": statistics.mean,
            "log-mel deviation": statistics.std,
            "source": args.source.name,
            "store": store.digest,
            "software": code_version(),
        }
        save_features(
            args.out,
            features,
            ids=store.ids,
            categories=category_names(store.classes, store.category),
            splits=store.split,
            about=about,
        )
        seconds = time.perf_counter() - started
        print(f"{args.out}: {len(features)} sounds, {features.shape[1]} numbers each, in {seconds:.1f} s")

"""``pcrq embed`` of shapes, by a MID-Net."""

from __future__ import annotations

import argparse
import time
from functools import partial

import numpy as np
from tqdm import tqdm

from octree.midnet import MIDNet
from octree.pretrained import embed, load_pretrained
from pcrq.checkpoint import weights_digest
from pcrq.evaluation.features import category_names, save_features
from pcrq.stores.shape_store import ShapeStore
from projects.cli import prep_options
from projects.point_cloud.embed.neighbours import category_agreement, nearest_shapes, spread_queries
from projects.point_cloud.embed.picture import save_neighbours
from projects.point_cloud.embed.source import open_source
from projects.training.device import choose_device
from projects.training.records import code_version


def run_shapes(args: argparse.Namespace) -> None:
    """Embed, write, draw."""
    started = time.perf_counter()
    network = load_pretrained(args.checkpoint).to(choose_device(args.device))
    with open_source(args.source, args.out, labels=args.labels, up=args.up, jobs=args.jobs) as source:
        prep_options.print_refused(source.refused, source.refused_list)
        store, bar = source.store, partial(tqdm, desc="embedding", unit="batch")
        features = embed(network, store, range(len(store)), batch_size=args.batch_size, progress=bar).numpy()
        save_features(
            args.out,
            features,
            ids=store.id,
            categories=category_names(store.classes, store.category),
            splits=store.split,
            about=about(args, network, store),
        )
        seconds = time.perf_counter() - started
        print(f"{args.out}: {len(features)} shapes, {features.shape[1]} numbers each, in {seconds:.1f} s")
        if args.neighbours is not None:
            draw(args, features, store)


def about(args: argparse.Namespace, network: MIDNet, store: ShapeStore) -> dict:
    """What the features were made by, in plain values."""
    return {
        "feature": "fc1",
        "checkpoint": str(args.checkpoint),
        "weights": weights_digest(network),
        "pretraining": network.pretraining,
        "source": args.source.name,
        "store": store.digest,
        "software": code_version(),
    }


def draw(args: argparse.Namespace, features: np.ndarray, store: ShapeStore) -> None:
    """Draw the neighbours, and say how often they are of one category."""
    if len(store) < 2:
        print(f"{args.neighbours}: not drawn, for a single shape has no neighbours")
        return
    queries = spread_queries(store.category, args.queries)
    found, cosines = nearest_shapes(features, queries, args.nearest)
    save_neighbours(args.neighbours, store, queries, found, cosines, title="Shapes and their nearest neighbours")
    print(f"{args.neighbours}: {len(queries)} shapes, the nearest {found.shape[1]} of each")
    agreement = category_agreement(features, store.category, args.nearest)
    if agreement is not None:
        share, chance = (100 * value for value in agreement)
        print(f"{share:.1f} % of all nearest neighbours have the category of their shape; {chance:.1f} % by chance")

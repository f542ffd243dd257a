"""Linear probes of a frozen network on a labelled store, over label ratios and seeds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np

from octree.midnet import MIDNet
from octree.pretrained import embed
from pcrq.checkpoint import weights_digest
from pcrq.errors import InputError
from pcrq.evaluation.linear_probe import LabelledFeatures, logistic_probe
from pcrq.evaluation.subsets import label_subset
from pcrq.stores.shape_store import ShapeStore
from projects.training.records import Record, append_records, code_version, known_records

PROTOCOL = "linear, logistic regression"


def probe(
    network: MIDNet,
    store: ShapeStore,
    *,
    method: str,
    results: Path,
    ratios: Sequence[float],
    seeds: int,
    config: dict | None = None,
    progress: Callable[[Iterable], Iterable] = iter,
) -> list[Record]:
    """Probe a network, on its device, and record every number; what is recorded already is not measured again.

    The labels are ⌈ratio·n⌉ of the n training shapes of every category, drawn anew for every seed. The protocol of
    table 6 of the paper is another: projects.point_cloud.classify lin.

    Args:
        network: the frozen network.
        store: a store with categories and a test split.
        method: name of the network in the report.
        results: results file to append to.
        ratios: parts of the labels, each in (0, 1].
        seeds: repetitions per ratio.
        config: what else belongs into the record; a fingerprint of the weights is added.
        progress: wraps the embedding of batches and then the measurements, for example ``tqdm``.

    Returns:
        The records of this network and store, measured now or before.

    Raises:
        InputError: the store has no categories or no training or test shapes, or an option is out of range.
    """
    train, test = labelled_splits(store)
    if seeds < 1:
        raise InputError(f"seeds {seeds}: choose at least 1")
    about = {
        "store": store.path.name,
        "digest": store.digest,
        "config": {**(config or {}), "weights": weights_digest(network)},
        "code": code_version(),
    }
    wanted, subsets = [], {}
    for ratio, seed in product(dict.fromkeys(ratios), range(seeds)):
        subset = label_subset(store.category[train], ratio, seed)
        sizes = {"train_samples": len(subset), "test_samples": len(test)}
        record = Record(method, PROTOCOL, "accuracy", float("nan"), ratio, seed, **about, **sizes)
        wanted.append(record)
        subsets[record.key] = subset
    known = known_records(results)
    missing = [record for record in wanted if record.key not in known]
    if missing:
        features = embed(network, store, np.concatenate([train, test]), progress=progress).numpy()
        labelled = LabelledFeatures(features[: len(train)], store.category[train])
        held_out = LabelledFeatures(features[len(train) :], store.category[test])
        for record in progress(missing):
            subset = subsets[record.key]
            few = LabelledFeatures(labelled.features[subset], labelled.category[subset])
            started = time.perf_counter()
            accuracy = logistic_probe(few, held_out)
            known[record.key] = replace(record, value=accuracy, seconds=round(time.perf_counter() - started, 3))
            append_records(results, [known[record.key]])
    return [known[record.key] for record in wanted]


def labelled_splits(store: ShapeStore) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the labelled training and test shapes of a store.

    Raises:
        InputError: one of them is empty.
    """
    splits = []
    for split in ("train", "test"):
        indices = store.indices(split)
        splits.append(indices[store.category[indices] >= 0])
        if len(splits[-1]) == 0:
            raise InputError(
                f"{store.path}: no {split} shapes with a category; a probe needs both; for meshes of yours, put the "
                "columns file, label and split (train or test) into labels.csv and prepare them again"
            )
    return splits[0], splits[1]

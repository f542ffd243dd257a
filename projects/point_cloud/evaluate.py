"""Classification of frozen shape features: the paper's linear protocol, nearest neighbors, and logistic regression.

:func:`evaluate` is "lin" of the paper's table 6: SGD on the first labels of every category, with O-CNN's numbers. It
also classifies by nearest neighbors among the labelled shapes. :func:`probe` fits scikit-learn's logistic regression to
random subsets of the labels.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from octree import MIDNet, embed, load_pretrained
from octree.pretrained import pretraining_method
from pcrq import InputError
from pcrq.checkpoint import weights_digest
from pcrq.evaluation import LabelledFeatures, knn_accuracy, label_subset, logistic_probe, sgd_probe
from pcrq.stores import ShapeStore
from projects.point_cloud.fine_tuning import Schedule, labelled_shapes
from projects.training.device import choose_device
from projects.training.records import Record, append_records, code_version, known_records
from projects.training.run import FunctionProgram, make_run_folder

_log = logging.getLogger(__name__)

KNN = "kNN"
"""The protocol of nearest neighbors in run records."""

LINEAR_SCHEDULE = Schedule(
    iterations=300_000,
    multiples=[(0.02, 4), (0.1, 2)],
    learning_rate=1.0,
    milestones=[2 / 3],
    weight_decay=5e-7,
)
"""O-CNN's schedule of "lin" on ModelNet40."""


def evaluate(
    store: Path,
    checkpoint: Path,
    out: Path = Path("runs/evaluate_shapes"),
    ratios: list[float] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0],  # noqa: B006 (never changed)
    seed: int = 0,
    method: str = "",
    schedule: Schedule = LINEAR_SCHEDULE,
    batch_size: int = 32,
    views: int = 0,
    device: str = "auto",
) -> None:
    """Train a linear layer on frozen features of shapes for every label ratio, and test it and nearest neighbors.

    This is the protocol "lin" of the paper's table 6, on the features "fc1" of shapes without augmentation. The
    kNN accuracy is that of the same features; the 5 nearest labelled shapes vote. What OUT/results.json already
    contains is not measured again. 'pcrq probe' is quicker and repeats with random labels.

    Args:
        store: shape store with categories and the splits "train" and "test".
        checkpoint: checkpoint or exported folder of the frozen network.
        out: folder of results.json.
        ratios: fractions of the labels, in (0, 1]: the first ⌈ratio·n⌉ shapes of every category.
        seed: random seed of the initial weights and the order of the shapes.
        method: name of the network in the run record; empty for what the checkpoint says.
        schedule: number of steps and learning rate.
        batch_size: shapes per step.
        views: number of quantized views per shape whose features are averaged; 0 for the features of the shape itself.
        device: cpu, cuda, cuda:1, …; auto uses a GPU if there is one.

    Raises:
        InputError: the store or the network cannot be used.
    """
    network, shapes = load_pretrained(checkpoint).to(choose_device(device)), ShapeStore(store)
    train, test = (labelled_shapes(shapes, split) for split in ("train", "test"))
    make_run_folder(out)
    device = next(network.parameters()).device
    sizes = f"{len(train)} training and {len(test)} test shapes"
    _log.info("evaluate shapes: %s on %s of %s, on %s; output: %s", checkpoint, sizes, store, device, out)

    def accuracy(record: Record, labelled: LabelledFeatures, held_out: LabelledFeatures) -> float:
        if record.protocol == KNN:
            gallery, queries = (
                (torch.from_numpy(x.features), torch.from_numpy(x.category).long()) for x in (labelled, held_out)
            )
            return knn_accuracy(*queries, *gallery)
        return sgd_probe(
            labelled,
            held_out,
            classes=len(shapes.classes),
            steps=record.config["steps"],
            milestones=schedule.milestones,
            learning_rate=schedule.learning_rate,
            weight_decay=schedule.weight_decay,
            batch_size=batch_size,
            seed=seed,
            device=device,
        )

    config = {
        "weights": weights_digest(network),
        "pretraining": network.pretraining,
        "network": network.hyper_parameters(),
        **({"views": views} if views else {}),
    }
    optimization = {"schedule": schedule.plain(), "batch_size": batch_size}
    about = {
        "task": "shape classification",
        "method": _name(method or pretraining_method(network.pretraining), views),
        "seed": seed,
    }
    subsets = []
    for ratio in sorted(set(ratios)):
        labelled = train[label_subset(shapes.category[train], ratio)]
        linear = {**config, **optimization, "steps": schedule.steps(ratio)}
        for protocol, metric, options in ((KNN, "kNN accuracy", config), ("lin", "accuracy", linear)):
            kind = {"protocol": protocol, "metric": metric, "ratio": ratio, "config": options}
            subsets.append((labelled, _record(shapes, labelled, test, **kind, **about)))
    results = out / "results.json"
    records = _measure(network, shapes, subsets, test, accuracy, results, partial(tqdm, leave=False), views)
    for record in records:
        _log.info("%g %% of the labels: %s %.1f %%", 100 * record.ratio, record.metric, 100 * record.value)
    _log.info("recorded in %s", results)
    _log.info("next: pcrq report %s", out)


def probe(
    network: MIDNet,
    store: ShapeStore,
    *,
    method: str,
    results: Path,
    ratios: Sequence[float],
    seeds: int,
    views: int = 0,
    config: dict[str, Any] | None = None,
    progress: Callable[[Iterable], Iterable] = iter,
) -> list[Record]:
    """Fit logistic regressions to the features of a network, for several label ratios and random subsets.

    Every accuracy is recorded at once. What the results file already contains is not measured again.

    Args:
        network: the frozen network; its device is used.
        store: shapes with categories and the splits "train" and "test".
        method: name of the network in the run record.
        results: results file to append to.
        ratios: fractions of the labels, in (0, 1]: ⌈ratio·n⌉ random shapes of every category.
        seeds: number of random subsets per ratio.
        views: number of quantized views per shape whose features are averaged; 0 for the features of the shape itself.
        config: further entries of the run record; a fingerprint of the weights is added.
        progress: wraps the embedding of batches and then the measurements, for example ``tqdm``.

    Returns:
        The records of this network and store, for every ratio and seed.

    Raises:
        InputError: the store has no categories or no training or test shapes, or an option is out of range.
    """
    if seeds < 1:
        raise InputError(f"seeds {seeds}: must be at least 1")
    train, test = (labelled_shapes(store, split) for split in ("train", "test"))
    about = {
        "method": _name(method, views),
        "protocol": "linear, logistic regression",
        "metric": "accuracy",
        "config": {**(config or {}), "weights": weights_digest(network), **({"views": views} if views else {})},
    }
    subsets = []
    for ratio, seed in product(dict.fromkeys(ratios), range(seeds)):
        labelled = train[label_subset(store.category[train], ratio, seed)]
        subsets.append((labelled, _record(store, labelled, test, ratio=ratio, seed=seed, **about)))

    def accuracy(record: Record, labelled: LabelledFeatures, held_out: LabelledFeatures) -> float:
        return logistic_probe(labelled, held_out)

    return _measure(network, store, subsets, test, accuracy, results, progress, views)


def _name(method: str, views: int) -> str:
    """The row of a report; features averaged over views have another one than those of the shapes."""
    return f"{method}, {views} views" if views else method


def _record(store: ShapeStore, labelled: np.ndarray, test: np.ndarray, **about: Any) -> Record:
    """A record without its value."""
    return Record(
        value=float("nan"),
        store=store.path.name,
        digest=store.digest,
        train_samples=len(labelled),
        test_samples=len(test),
        code=code_version(),
        **about,
    )


def _measure(
    network: MIDNet,
    store: ShapeStore,
    subsets: Sequence[tuple[np.ndarray, Record]],
    test: np.ndarray,
    accuracy: Callable[[Record, LabelledFeatures, LabelledFeatures], float],
    results: Path,
    progress: Callable[[Iterable], Iterable],
    views: int,
) -> list[Record]:
    """Measure and record what the results file does not contain yet.

    Args:
        network: the frozen network.
        store: the shapes.
        subsets: positions in the store of the shapes with labels, and the record to fill in.
        test: positions of the test shapes.
        accuracy: measures one subset.
        results: results file to append to.
        progress: wraps loops.
        views: number of quantized views per shape; 0 for the shape itself.

    Returns:
        The records of all subsets.
    """
    known = known_records(results)
    missing = [(labelled, record) for labelled, record in subsets if record.key not in known]
    if missing:
        train = np.unique(np.concatenate([labelled for labelled, _ in subsets]))
        features = embed(network, store, np.concatenate([train, test]), views=views, progress=progress).numpy()
        held_out = LabelledFeatures(features[len(train) :], store.category[test])
        for labelled, record in progress(missing):
            rows = np.searchsorted(train, labelled)
            started = time.perf_counter()
            value = accuracy(record, LabelledFeatures(features[rows], store.category[labelled]), held_out)
            seconds = round(time.perf_counter() - started, 3)
            known[record.key] = replace(record, value=value, seconds=seconds)
            append_records(results, [known[record.key]])
    return [known[record.key] for _, record in subsets]


PROGRAM = FunctionProgram("evaluate shapes", Path(__file__).parent / "configs", evaluate)
main = PROGRAM.main

if __name__ == "__main__":
    sys.exit(main())

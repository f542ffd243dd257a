"""Linear classification of frozen features, as in table 6 of the paper: "lin"."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from octree.pretrained import embed, load_pretrained, pretraining_method
from pcrq.checkpoint import weights_digest
from pcrq.evaluation.linear_probe import LabelledFeatures, sgd_probe
from projects.point_cloud.fine_tuning import Schedule
from projects.point_cloud.labelled_data import ClassificationData
from projects.training.cli import make_run_folder
from projects.training.device import choose_device
from projects.training.records import append_records, known_records

_log = logging.getLogger(__name__)

LINEAR_SCHEDULE = Schedule(
    iterations=300_000,
    multiples=[(0.02, 4), (0.1, 2)],
    learning_rate=1.0,
    milestones=[2 / 3],
    weight_decay=5e-7,
)


def lin(
    store: Path,
    pretrained: Path,
    run_dir: Path = Path("runs/classify_lin"),
    ratios: list[float] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0],  # noqa: B006 (never changed)
    seed: int = 0,
    method: str = "",
    schedule: Schedule = LINEAR_SCHEDULE,
    batch_size: int = 32,
    device: str = "auto",
) -> None:
    """Train a linear layer on the "fc1" of undistorted shapes for every label ratio, test it and record it.

    What RUN_DIR/results.json has already is not measured again.

    Args:
        store: shape store with categories and the splits "train" and "test".
        pretrained: checkpoint or exported folder of the frozen network.
        run_dir: folder for results.json.
        ratios: parts of the labels, in (0, 1]: the first ⌈ratio·n⌉ shapes of every category.
        seed: draws the initial weights and the order of the shapes.
        method: what the results call the network; empty for what the checkpoint says.
        schedule: how long and how fast to train.
        batch_size: shapes in a step.
        device: cpu, cuda, cuda:1, …; auto takes a GPU where there is one.

    Raises:
        InputError: the store or the network cannot be used.
    """
    network = load_pretrained(pretrained).to(choose_device(device))
    data = {ratio: ClassificationData(store, ratio) for ratio in sorted(set(ratios))}
    make_run_folder(run_dir)
    results = run_dir / "results.json"
    known, weights = known_records(results), weights_digest(network)
    records = {}
    for ratio, labels in data.items():
        config = {
            "weights": weights,
            "pretraining": network.pretraining,
            "network": network.hyper_parameters(),
            "schedule": schedule.plain(),
            "steps": schedule.steps(ratio),
            "batch_size": batch_size,
        }
        named = method or pretraining_method(network.pretraining)
        records[ratio] = labels.record("shape classification", named, "lin", "accuracy", seed, config)
    missing = [ratio for ratio, record in records.items() if record.key not in known]
    if missing:
        largest = data[missing[-1]]  # what fewer labels see is a part of it
        shapes = np.concatenate([largest.train, largest.test])
        features = dict(zip(shapes.tolist(), embed(network, largest.store, shapes, progress=_bar).numpy(), strict=True))
    for ratio in missing:
        started = time.perf_counter()
        train, test = (
            LabelledFeatures(np.stack([features[shape] for shape in indices.tolist()]), largest.store.category[indices])
            for indices in (data[ratio].train, data[ratio].test)
        )
        accuracy = sgd_probe(
            train,
            test,
            classes=len(largest.classes),
            steps=schedule.steps(ratio),
            milestones=schedule.milestones,
            learning_rate=schedule.learning_rate,
            weight_decay=schedule.weight_decay,
            batch_size=batch_size,
            seed=seed,
            device=next(network.parameters()).device,
        )
        record = replace(records[ratio], value=accuracy, seconds=round(time.perf_counter() - started, 1))
        append_records(results, [record])
        known[record.key] = record
    for ratio, record in records.items():
        _log.info("%g %% of the labels: accuracy %.1f %%", 100 * ratio, 100 * known[record.key].value)
    _log.info("recorded in %s", results)


def _bar(batches: Iterable) -> Iterable:
    return tqdm(batches, desc="features", leave=False)

"""Linear evaluation on the sounds of one task, as in table 9 of the paper."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from pcrq.errors import InputError
from pcrq.stores.sound_store import SoundStore
from projects.audio.embedding import embed_sounds
from projects.audio.encoder_checkpoint import UNTRAINED, LoadedEncoder, load_encoder
from projects.audio.linear_evaluation.classifier import EPOCHS, accuracy, standardise_, train_classifier
from projects.audio.linear_evaluation.partition import Partition, held_out, partitions
from projects.audio.ntt import AudioNTT2020
from projects.audio.records import sound_record, task_name
from projects.audio.store_waveforms import Clips, waveform_statistics
from projects.training.cli import make_run_folder
from projects.training.device import choose_device
from projects.training.records import Record, append_records, known_records

_log = logging.getLogger(__name__)


def evaluate(
    store: Path,
    checkpoint: Path | None = None,
    run_dir: Path = Path("runs/audio_evaluation"),
    seconds: float | None = None,
    statistics: Literal["task", "pretraining"] = "task",
    repeats: int = 10,
    epochs: int = EPOCHS,
    seed: int = 0,
    method: str = "",
    dimension: int = 2048,
    channels: int = 64,
    batch_size: int = 64,
    workers: int = 2,
    device: str = "auto",
) -> None:
    """Train a linear layer on the embeddings of a task's clips, test it and record it.

    The splits of the store are used, or each of its folds is the test set once. All repeats are recorded together,
    when the last one is done. What RUN_DIR/results.json has already is not measured again.

    Args:
        store: sound store with categories and splits, or folds.
        checkpoint: of projects.audio.pretrain, or the weights that nttcslab publishes; none for a random encoder.
        run_dir: folder for results.json.
        seconds: length that all clips are brought to; none for what the store says of its task.
        statistics: spectrograms are normalised by those of the task's training clips, as in BYOL-A, or by those of the
            pretraining.
        repeats: trainings of the layer; each is a record of its own.
        epochs: of the layer, at most.
        seed: of the first repeat, the next one has the next; draws the layer, the order of the clips, a validation set
            where there is none, and the weights of a random encoder.
        method: what the results call the encoder; empty for what the checkpoint says.
        dimension: of a random encoder's embeddings.
        channels: of a random encoder's convolutions.
        batch_size: clips that are embedded at a time.
        workers: processes that read the store.
        device: cpu, cuda, cuda:1, …; auto takes a GPU where there is one.

    Raises:
        InputError: the store or the checkpoint cannot be used, or an option is out of range.
    """
    at_least_1 = {"repeats": repeats, "epochs": epochs, "batch_size": batch_size}
    for least, options in ((1, at_least_1), (0, {"workers": workers, "seed": seed})):
        for name, number in options.items():
            if number < least:
                raise InputError(f"{name} {number}: choose at least {least}")
    sounds = SoundStore(store)
    parts, seconds = partitions(sounds), _seconds(sounds, seconds)
    loaded = _encoder(checkpoint, method, statistics, (dimension, channels), seed)
    make_run_folder(run_dir)
    results = run_dir / "results.json"
    config = {
        "pretraining": loaded.pretraining,
        "encoder": loaded.network.sizes,
        "weights": loaded.digest,
        "statistics": statistics,
        "seconds": seconds,
        "epochs": epochs,
        **({"folds": len(parts)} if len(parts) > 1 else {}),
    }
    records = [_record(sounds, parts, loaded.method, seed + repeat, config) for repeat in range(repeats)]
    known = known_records(results)
    missing = [record for record in records if record.key not in known]
    if missing:
        embedded = _embedded(loaded, sounds, parts, seconds, statistics, batch_size, workers, choose_device(device))
        measured = _measured(missing, embedded, parts, len(sounds.classes), epochs)
        append_records(results, measured)
        known |= {record.key: record for record in measured}
    accuracies = [known[record.key].value for record in records]
    _log.info("%s, %s: accuracy %s", task_name(sounds), loaded.method, _in_words(accuracies))
    _log.info("recorded in %s", results)


def _seconds(store: SoundStore, seconds: float | None) -> float:
    seconds = store.parameters.get("seconds") if seconds is None else seconds
    if seconds is None:
        raise InputError(f"{store.path}: does not say how long the clips of its task are; give --seconds")
    if not 0.1 <= seconds <= 3600:
        raise InputError(f"seconds {seconds}: choose 0.1 to 3600")
    return float(seconds)


def _encoder(checkpoint: Path | None, method: str, statistics: str, sizes: tuple[int, int], seed: int) -> LoadedEncoder:
    if checkpoint is None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            loaded = LoadedEncoder(AudioNTT2020(sizes[0], channels=sizes[1]).eval(), method=UNTRAINED)
    else:
        loaded = load_encoder(checkpoint)
    loaded.method = method or loaded.method
    if not loaded.method:
        raise InputError(f"{checkpoint}: does not tell how it was pretrained; name it for the results by --method")
    if statistics == "pretraining" and loaded.statistics is None:
        raise InputError(
            f"{checkpoint or 'a random encoder'}: has no statistics of its pretraining; choose --statistics task"
        )
    return loaded


def _record(store: SoundStore, parts: list[Partition], method: str, seed: int, config: dict) -> Record:
    """What is to be measured; of folds, the mean over them."""
    return sound_record(
        store,
        method=method,
        protocol="linear evaluation",
        metric="accuracy",
        value=0.0,
        seed=seed,
        train_samples=round(np.mean([len(part.train) for part in parts])),
        test_samples=sum(len(part.test) for part in parts),
        config=config,
    )


@dataclass(frozen=True)
class _Embedded:
    """Clips of a store.

    Args:
        positions: (S,) in the store, in order.
        features: (S, dimension) float32, on the device.
        category: (S,) int64, on the device.
    """

    positions: np.ndarray
    features: Tensor
    category: Tensor

    def rows(self, positions: np.ndarray) -> Tensor:
        """(N,) rows of clips, by their positions in the store."""
        return torch.from_numpy(np.searchsorted(self.positions, positions)).to(self.features.device)


def _embedded(
    loaded: LoadedEncoder,
    store: SoundStore,
    parts: list[Partition],
    seconds: float,
    statistics: str,
    batch_size: int,
    workers: int,
    device: torch.device,
) -> _Embedded:
    """Every clip that some partition needs, once."""
    used = [clips for part in parts for clips in (part.train, part.test, part.validation) if clips is not None]
    positions, measured = np.unique(np.concatenate(used)), loaded.statistics
    if statistics == "task":
        train = np.unique(np.concatenate([part.train for part in parts]))
        measured = waveform_statistics(Clips(store, train, seconds), device, workers)
    _log.info("%d sounds, log-mel mean %.3f, deviation %.3f", len(positions), measured.mean, measured.std)
    options = {"seconds": seconds, "batch_size": batch_size, "workers": workers, "progress": _bar}
    features = embed_sounds(loaded.network.to(device), measured, store, positions, **options)
    category = torch.from_numpy(store.category[positions].astype(np.int64))
    return _Embedded(positions, features.to(device), category.to(device))


def _measured(
    records: list[Record], embedded: _Embedded, parts: list[Partition], classes: int, epochs: int
) -> list[Record]:
    """The records with their values; leaves ``embedded`` standardised for the last partition."""
    values, seconds = np.zeros((len(records), len(parts))), np.zeros(len(records))
    for column, part in enumerate(parts):
        is_last = column == len(parts) - 1
        features = embedded.features if is_last else embedded.features.clone()
        standardised = replace(embedded, features=standardise_(features, embedded.rows(part.train)))
        for row, record in enumerate(records):
            started = time.perf_counter()
            values[row, column] = _accuracy(standardised, part, classes, record.seed, epochs)
            seconds[row] += time.perf_counter() - started
    if len(parts) > 1:
        for row in values:
            by_fold = (f"{part.fold}: {100 * value:.1f}" for part, value in zip(parts, row, strict=True))
            _log.info("accuracy by fold, %%: %s", ", ".join(by_fold))
    return [
        replace(record, value=float(np.mean(row)), seconds=round(float(took), 1))
        for record, row, took in zip(records, values, seconds, strict=True)
    ]


def _accuracy(embedded: _Embedded, part: Partition, classes: int, seed: int, epochs: int) -> float:
    """Of one classifier of standardised features, on its test clips."""
    train, validation = part.train, part.validation
    if validation is None:
        category = embedded.category[embedded.rows(train)].cpu().numpy()
        train, validation = held_out(train, category, [seed, max(0, part.fold)])
    features, category = embedded.features, embedded.category
    rows = embedded.rows(train), embedded.rows(validation)
    layer = train_classifier(features, category, *rows, classes, seed, epochs)
    test = embedded.rows(part.test)
    return accuracy(layer, features[test], category[test])


def _in_words(accuracies: list[float]) -> str:
    mean = f"{100 * np.mean(accuracies):.1f} %"
    if len(accuracies) == 1:
        return mean
    return f"{mean}, deviation {100 * np.std(accuracies, ddof=1):.1f} over {len(accuracies)} repeats"


def _bar(batches: Iterable) -> Iterable:
    return tqdm(batches, desc="embeddings", leave=False)

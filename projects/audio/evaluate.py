"""Evaluate an audio encoder: a linear layer on its frozen embeddings, as in table 9 of the paper.

Source: BYOL-A (Niizumi et al., IJCNN 2021), section IV; nttcslab/byol-a, evaluate.py, and the classifier that it uses
(daisukelab/general-learning, MLP/torch_mlp_clf.py), which has scikit-learn's defaults: Adam, learning rate 0.001,
batches of 200. Its weight decay of 1e-8 is left out.
"""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from pcrq import InputError
from pcrq.evaluation import linear_accuracy, train_linear
from pcrq.stores import SoundStore
from projects.audio.embedding import embed_sounds
from projects.audio.encoder import UNTRAINED, AudioNTT2020, LoadedEncoder, load_encoder
from projects.audio.waveforms import Clips, task_name, waveform_statistics
from projects.training.device import choose_device
from projects.training.records import Record, append_records, code_version, known_records
from projects.training.run import FunctionProgram, make_run_folder

_log = logging.getLogger(__name__)

# --- which clips ---

VALIDATION = 0.1
"""Part of the training clips that validates where a store has no validation split, as in BYOL-A."""


@dataclass(frozen=True)
class Partition:
    """Clips of one classifier, as positions in the store; all have a category.

    Args:
        train: training clips.
        test: test clips.
        validation: validation clips; None for a part of ``train``.
        fold: number of the fold that is ``test``, -1 where there are no folds.
    """

    train: np.ndarray
    test: np.ndarray
    validation: np.ndarray | None = None
    fold: int = -1


def partitions(store: SoundStore) -> list[Partition]:
    """One partition per fold where the clips of a store have folds, otherwise one by the splits.

    Clips without a category are ignored.

    Raises:
        InputError: there are no categories, a fold or split is missing, or the training clips are of one category.
    """
    labeled = store.category >= 0
    if not labeled.any():
        raise InputError(f"{store.path}: no sound has a category; prepare it with labels")
    if (store.fold[labeled] >= 0).any():
        parts = _by_fold(store, np.flatnonzero(labeled))
    else:
        parts = [_by_split(store, labeled)]
    for part in parts:
        if len(np.unique(store.category[part.train])) < 2:
            where = "" if part.fold < 0 else f" without fold {part.fold}"
            raise InputError(f"{store.path}: its training sounds{where} are of one category; a classifier needs two")
    return parts


def _by_fold(store: SoundStore, labeled: np.ndarray) -> list[Partition]:
    fold = store.fold[labeled]
    if (fold < 0).any():
        example = store.ids[labeled[np.argmax(fold < 0)]]
        raise InputError(f"{store.path}: {example} has no fold, but others have; give all of them one, or none")
    folds = np.unique(fold)
    if len(folds) < 2:
        raise InputError(f"{store.path}: all sounds are in fold {folds[0]}; cross-validation needs at least two folds")
    return [Partition(labeled[fold != one], labeled[fold == one], fold=int(one)) for one in folds]


def _by_split(store: SoundStore, labeled: np.ndarray) -> Partition:
    split = np.asarray(store.split, dtype=object)
    train, validation, test = (np.flatnonzero(labeled & (split == name)) for name in ("train", "val", "test"))
    for name, clips in (("train", train), ("test", test)):
        if len(clips) == 0:
            raise InputError(f"{store.path}: no labeled sound in the split {name!r}; prepare it with splits, or folds")
    return Partition(train, test, validation if len(validation) else None)


def held_out(train: np.ndarray, category: np.ndarray, seed: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Split off a random tenth of every category, at least one clip, but never the only one of a category.

    Args:
        train: (N,) positions of clips.
        category: (N,) their categories.
        seed: random seed.

    Returns:
        The remaining training clips, and the validation clips.

    Raises:
        InputError: every category has only one clip.
    """
    random, taken = np.random.default_rng(seed), []
    for one in np.unique(category):
        members = random.permutation(np.flatnonzero(category == one))
        taken.append(members[: min(len(members) - 1, max(1, round(VALIDATION * len(members))))])
    chosen = np.isin(np.arange(len(train)), np.concatenate(taken))
    if not chosen.any():
        raise InputError("every category has one training sound, so that none is left to validate; label more sounds")
    return train[~chosen], train[chosen]


# --- linear classifier ---

BATCH_SIZE = 200
LEARNING_RATE = 1e-3
EPOCHS = 200
"""Maximum number of epochs."""
PATIENCE = 10
"""Consecutive epochs with a lower validation accuracy than the best one, after which the training stops."""


def standardize_(features: Tensor, train: Tensor) -> Tensor:
    """Standardize features in place by mean and standard deviation of the training rows; constant ones are centered.

    Args:
        features: (S, D) float32; in place, since those of a large task take gigabytes.
        train: (N,) int64 rows.

    Returns:
        ``features``.
    """
    std, mean = torch.std_mean(features[train], dim=0, correction=0)
    is_constant = std <= 10 * torch.finfo(torch.float32).eps * mean.abs()
    return features.sub_(mean).div_(torch.where(is_constant, 1.0, std))


def train_classifier(
    features: Tensor, category: Tensor, train: Tensor, validation: Tensor, classes: int, seed: int, epochs: int = EPOCHS
) -> nn.Linear:
    """Train a linear layer; return the layer of the epoch with the highest validation accuracy, the last one of equals.

    Args:
        features: (S, D) float32, standardized.
        category: (S,) int64.
        train, validation: int64 rows of the training and validation clips.
        classes: number of categories.
        seed: random seed of the initial weights and of the order of the clips.
        epochs: maximum number of epochs.
    """
    generator = torch.Generator().manual_seed(seed)
    layer, bound = nn.Linear(features.shape[1], classes), features.shape[1] ** -0.5
    for parameter in layer.parameters():  # PyTorch's initialization, but from the generator
        nn.init.uniform_(parameter, -bound, bound, generator=generator)
    layer.to(features.device)
    optimizer = torch.optim.Adam(layer.parameters(), LEARNING_RATE)
    best, best_accuracy, worse = {}, -1.0, 0
    for _ in range(epochs):
        order = train[torch.randperm(len(train), generator=generator).to(train.device)]
        train_linear(layer, optimizer, features, category, order.split(BATCH_SIZE))
        reached = linear_accuracy(layer, features[validation], category[validation])
        if reached >= best_accuracy:
            best_accuracy, worse = reached, 0
            best = {name: value.clone() for name, value in layer.state_dict().items()}
        else:
            worse += 1
            if worse == PATIENCE:
                break
    layer.load_state_dict(best)
    return layer


# --- evaluation ---


def evaluate(
    store: Path,
    checkpoint: Path | None = None,
    out: Path = Path("runs/audio_evaluation"),
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
    """Train a linear layer on the frozen embeddings of a task's clips, and record its test accuracy.

    Uses the splits of the store, or each of its folds as test set once. All repeats are recorded together at the end in
    OUT/results.json; what it already contains is not evaluated again.

    Args:
        store: sound store with categories, and splits or folds.
        checkpoint: checkpoint of 'pcrq pretrain sounds', or published weights of nttcslab; none for random weights.
        out: folder of results.json.
        seconds: length that all clips are cut or padded to; none for the length in the store's description of its task.
        statistics: normalize spectrograms by statistics of the task's training clips, as BYOL-A, or of the pretraining.
        repeats: number of linear layers; each is a record.
        epochs: maximum number of epochs of a linear layer.
        seed: random seed of the first repeat, which increases by one with every repeat: of the linear layer, the order
            of the clips, a validation set if the store has none, and the weights of a random encoder.
        method: name of the encoder in the results; empty for that of the checkpoint.
        dimension: embedding dimension of a random encoder.
        channels: channels of the convolutions of a random encoder.
        batch_size: clips per batch of the encoder.
        workers: processes that read the store.
        device: cpu, cuda, cuda:1, …; auto for a GPU if there is one.

    Raises:
        InputError: the store or the checkpoint cannot be used, or an option is out of range.
    """
    at_least_1 = {"repeats": repeats, "epochs": epochs, "batch_size": batch_size}
    for least, options in ((1, at_least_1), (0, {"workers": workers, "seed": seed})):
        for name, number in options.items():
            if number < least:
                raise InputError(f"{name} {number}: must be at least {least}")
    sounds = SoundStore(store)
    parts, seconds = partitions(sounds), _seconds(sounds, seconds)
    loaded = _encoder(checkpoint, method, statistics, (dimension, channels), seed)
    chosen_device = choose_device(device)
    make_run_folder(out)
    results = out / "results.json"
    name = f"{len(sounds)} sounds of {store}, {loaded.method}"
    _log.info("evaluate sounds: %s, on %s; output: %s", name, chosen_device, out)

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
        embedded = _embedded(loaded, sounds, parts, seconds, statistics, batch_size, workers, chosen_device)
        measured = _measured(missing, embedded, parts, len(sounds.classes), epochs)
        append_records(results, measured)
        known |= {record.key: record for record in measured}
    accuracies = [known[record.key].value for record in records]
    _log.info("%s, %s: accuracy %s (recorded in %s)", task_name(sounds), loaded.method, _summary(accuracies), results)
    _log.info("next: pcrq report %s", out)


def _seconds(store: SoundStore, seconds: float | None) -> float:
    seconds = store.parameters.get("seconds") if seconds is None else seconds
    if seconds is None:
        raise InputError(f"{store.path}: does not contain the clip length of its task; set --seconds")
    if not 0.1 <= seconds <= 3600:
        raise InputError(f"seconds {seconds}: must be from 0.1 to 3600")
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
        raise InputError(f"{checkpoint}: does not contain how it was pretrained; set its name in the results: --method")
    if statistics == "pretraining" and loaded.statistics is None:
        raise InputError(
            f"{checkpoint or 'a random encoder'}: does not contain the statistics of its pretraining; choose "
            "--statistics task"
        )
    return loaded


def _record(store: SoundStore, parts: list[Partition], method: str, seed: int, config: dict) -> Record:
    """Record of one repeat without its value, which for folds is the mean over them."""
    return Record(
        method=method,
        protocol="linear evaluation",
        metric="accuracy",
        value=0.0,
        ratio=1.0,
        seed=seed,
        store=store.path.name,
        digest=store.digest,
        train_samples=round(np.mean([len(part.train) for part in parts])),
        test_samples=sum(len(part.test) for part in parts),
        task="sound classification",
        config={"task": task_name(store), **config},
        code=code_version(),
    )


@dataclass(frozen=True)
class _Embedded:
    """Embedded clips of a store.

    Args:
        positions: (S,) in the store, ascending.
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
    """Embed every clip of the partitions once."""
    used = [clips for part in parts for clips in (part.train, part.test, part.validation) if clips is not None]
    positions, log_mel = np.unique(np.concatenate(used)), loaded.statistics
    if statistics == "task":
        train = np.unique(np.concatenate([part.train for part in parts]))
        log_mel = waveform_statistics(Clips(store, train, seconds), device, workers)
    _log.info("log-mel spectrograms: mean %.3f, std %.3f", log_mel.mean, log_mel.std)
    bar = partial(tqdm, desc="embeddings", leave=False)
    options = {"seconds": seconds, "batch_size": batch_size, "workers": workers, "progress": bar}
    features = embed_sounds(loaded.network.to(device), log_mel, store, positions, **options)
    category = torch.from_numpy(store.category[positions].astype(np.int64))
    return _Embedded(positions, features.to(device), category.to(device))


def _measured(
    records: list[Record], embedded: _Embedded, parts: list[Partition], classes: int, epochs: int
) -> list[Record]:
    """The records with their values. ``embedded`` is modified: it ends standardized for the last partition."""
    values, seconds = np.zeros((len(records), len(parts))), np.zeros(len(records))
    for column, part in enumerate(parts):
        is_last = column == len(parts) - 1
        features = embedded.features if is_last else embedded.features.clone()
        standardized = replace(embedded, features=standardize_(features, embedded.rows(part.train)))
        for row, record in enumerate(records):
            started = time.perf_counter()
            values[row, column] = partition_accuracy(standardized, part, classes, record.seed, epochs)
            seconds[row] += time.perf_counter() - started
    if len(parts) > 1:
        for row in values:
            by_fold = (f"{part.fold}: {100 * value:.1f}" for part, value in zip(parts, row, strict=True))
            _log.info("accuracy by fold, %%: %s", ", ".join(by_fold))
    return [
        replace(record, value=float(np.mean(row)), seconds=round(float(took), 1))
        for record, row, took in zip(records, values, seconds, strict=True)
    ]


def partition_accuracy(embedded: _Embedded, part: Partition, classes: int, seed: int, epochs: int) -> float:
    """Train a classifier of standardized features and return its test accuracy."""
    train, validation = part.train, part.validation
    if validation is None:
        category = embedded.category[embedded.rows(train)].cpu().numpy()
        train, validation = held_out(train, category, [seed, max(0, part.fold)])
    features, category = embedded.features, embedded.category
    rows = embedded.rows(train), embedded.rows(validation)
    layer = train_classifier(features, category, *rows, classes, seed, epochs)
    test = embedded.rows(part.test)
    return linear_accuracy(layer, features[test], category[test])


def _summary(accuracies: list[float]) -> str:
    mean = f"{100 * np.mean(accuracies):.1f} %"
    if len(accuracies) == 1:
        return mean
    return f"{mean} ± {100 * np.std(accuracies, ddof=1):.1f} over {len(accuracies)} repeats"


PROGRAM = FunctionProgram(name="evaluate sounds", configs=Path(__file__).parent / "configs", function=evaluate)
main = PROGRAM.main

if __name__ == "__main__":
    sys.exit(main())

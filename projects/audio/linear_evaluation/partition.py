"""Which clips a classifier is trained on and measured on: the splits of a store, or each of its folds in turn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pcrq.errors import InputError
from pcrq.stores.sound_store import SoundStore

VALIDATION = 0.1
"""Of the training clips, where a store has no validation split; as in BYOL-A."""


@dataclass(frozen=True)
class Partition:
    """One classifier's clips, as positions in the store.

    Args:
        train: labelled clips to learn from.
        test: labelled clips to measure on.
        validation: labelled clips that tell when to stop; None for a part of ``train``.
        fold: number of the fold that is ``test``, -1 where there are no folds.
    """

    train: np.ndarray
    test: np.ndarray
    validation: np.ndarray | None = None
    fold: int = -1


def partitions(store: SoundStore) -> list[Partition]:
    """One partition by the splits, or one for every fold where the clips of a store have folds.

    Clips without a category take no part.

    Raises:
        InputError: there are no categories, a fold or split is missing, or the training clips are of one category.
    """
    labelled = store.category >= 0
    if not labelled.any():
        raise InputError(f"{store.path}: no sound has a category, so nothing can be evaluated; prepare it with labels")
    if (store.fold[labelled] >= 0).any():
        parts = _by_fold(store, np.flatnonzero(labelled))
    else:
        parts = [_by_split(store, labelled)]
    for part in parts:
        if len(np.unique(store.category[part.train])) < 2:
            where = "" if part.fold < 0 else f" without fold {part.fold}"
            raise InputError(f"{store.path}: its training sounds{where} are of one category; a classifier needs two")
    return parts


def held_out(train: np.ndarray, category: np.ndarray, seed: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """A random tenth of every category apart, at least one clip, but the only one of a category stays.

    Args:
        train: (N,) positions of clips.
        category: (N,) their categories.
        seed: draws them.

    Returns:
        What is left to train on, and what was taken.

    Raises:
        InputError: every category has one clip only.
    """
    random, taken = np.random.default_rng(seed), []
    for one in np.unique(category):
        members = random.permutation(np.flatnonzero(category == one))
        taken.append(members[: min(len(members) - 1, max(1, round(VALIDATION * len(members))))])
    chosen = np.isin(np.arange(len(train)), np.concatenate(taken))
    if not chosen.any():
        raise InputError("every category has one training sound, so none is left to tell when to stop; label more")
    return train[~chosen], train[chosen]


def _by_fold(store: SoundStore, labelled: np.ndarray) -> list[Partition]:
    fold = store.fold[labelled]
    if (fold < 0).any():
        example = store.ids[labelled[np.argmax(fold < 0)]]
        raise InputError(f"{store.path}: {example} has no fold, but others have; give all of them one, or none")
    folds = np.unique(fold)
    if len(folds) < 2:
        raise InputError(f"{store.path}: all sounds are in fold {folds[0]}; leaving one out needs at least two")
    return [Partition(labelled[fold != one], labelled[fold == one], fold=int(one)) for one in folds]


def _by_split(store: SoundStore, labelled: np.ndarray) -> Partition:
    split = np.asarray(store.split, dtype=object)
    train, validation, test = (np.flatnonzero(labelled & (split == name)) for name in ("train", "val", "test"))
    for name, clips in (("train", train), ("test", test)):
        if len(clips) == 0:
            raise InputError(f"{store.path}: no labelled sound in the split {name!r}; prepare it with splits, or folds")
    return Partition(train, test, validation if len(validation) else None)

"""Around frozen features: evaluation mode, subsets of samples and labels, and an ``.npz`` file without pickle."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from pcrq import InputError
from pcrq.files import atomic_write


def save_features(
    path: Path,
    features: np.ndarray,
    *,
    ids: Sequence[str],
    categories: Sequence[str],
    splits: Sequence[str],
    about: dict[str, Any],
) -> None:
    """Write features, and the samples they belong to, atomically.

    The file contains the arrays ``features`` (S, D) float32, ``id``, ``category`` and ``split`` (S,) unicode, and
    ``about``, a unicode scalar with JSON.

    Args:
        path: the .npz file.
        features: (S, D) float32.
        ids, categories, splits: (S,) of the samples; an unknown category or split is "".
        about: how the features were computed; plain values for JSON.

    Raises:
        InputError: the file cannot be written.
    """
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            features=features,
            id=np.array(ids, dtype=np.str_),
            category=np.array(categories, dtype=np.str_),
            split=np.array(splits, dtype=np.str_),
            about=np.array(json.dumps(about)),
        )


def category_names(classes: Sequence[str], category: np.ndarray) -> list[str]:
    """Return the names of categories, "" for unknown ones.

    Args:
        classes: names of the categories, as a store has them.
        category: (S,) integers, index into ``classes`` or -1 if unknown.
    """
    return [classes[index] if index >= 0 else "" for index in category]


@contextmanager
def eval_mode(network: nn.Module) -> Iterator[None]:
    """Set a network to evaluation mode without gradients for the block; then restore the mode of every module."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def label_subset(category: np.ndarray, ratio: float, seed: int | None = None) -> np.ndarray:
    """Choose ⌈ratio · n⌉ of the n samples of every category.

    Args:
        category: (S,) integers; samples with a negative one are never chosen.
        ratio: share of the labels, in (0, 1].
        seed: of a random choice; None takes the first samples of every category, as O-CNN's protocol does.

    Returns:
        (N,) int64 positions of the chosen samples, ascending.

    Raises:
        InputError: the ratio is not in (0, 1].
    """
    if not 0 < ratio <= 1:
        raise InputError(f"label ratio {ratio}: must be in (0, 1]; 0.01 is 1 % of the labels")
    order = np.arange(len(category))
    if seed is not None:
        order = np.random.default_rng(seed).permutation(order)
    chosen = []
    for name in np.unique(category[category >= 0]):
        members = order[category[order] == name]
        chosen.append(members[: math.ceil(ratio * len(members) - 1e-9)])  # 0.1 * 30 is slightly above 3 in floats
    return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, int)


def subset(number: int, indices: np.ndarray) -> np.ndarray:
    """Choose samples at random, the same ones on every call.

    Args:
        number: how many; all if there are fewer.
        indices: (N,) integers, ascending.

    Returns:
        (min(number, N),) of ``indices``, ascending.
    """
    if len(indices) <= number:
        return indices
    return np.sort(np.random.default_rng(0).permutation(indices)[:number])

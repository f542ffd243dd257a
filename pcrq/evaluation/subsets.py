"""Subsets of a dataset: a share of the labels of every category, or a number of samples."""

from __future__ import annotations

import math

import numpy as np

from pcrq.errors import InputError


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

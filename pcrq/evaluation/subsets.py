"""Few labels: the part of a training set whose categories a probe may see."""

from __future__ import annotations

import math

import numpy as np

from pcrq.errors import InputError


def label_subset(category: np.ndarray, ratio: float, seed: int | None = None) -> np.ndarray:
    """Choose ⌈ratio·n⌉ of the n shapes of every category.

    Args:
        category: (S,) integers; shapes with a negative one are never chosen.
        ratio: part of the labels, in (0, 1].
        seed: draw the shapes; None takes the first of every category in order, as O-CNN's protocol does.

    Returns:
        Positions of the chosen shapes, ascending.

    Raises:
        InputError: the ratio is not in (0, 1].
    """
    if not 0 < ratio <= 1:
        raise InputError(f"label ratio {ratio}: choose a number above 0 and up to 1")
    order = np.arange(len(category))
    if seed is not None:
        order = np.random.default_rng(seed).permutation(order)
    chosen = []
    for name in np.unique(category[category >= 0]):
        mine = order[category[order] == name]
        chosen.append(mine[: math.ceil(ratio * len(mine) - 1e-9)])  # 0.1 · 30 is a little more than 3 in floats
    return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, int)


def subset(number: int, indices: np.ndarray) -> np.ndarray:
    """A fixed random choice of so many indices, in order; all where there are not more.

    Args:
        number: at most so many.
        indices: (N,) integers, in order.
    """
    if len(indices) <= number:
        return indices
    return np.sort(np.random.default_rng(0).permutation(indices)[:number])

"""A part of a large data set that is the same every time, so that what is measured on it can be compared."""

from __future__ import annotations

import numpy as np


def fixed_choice(number: int, indices: np.ndarray) -> np.ndarray:
    """A fixed random choice of so many indices, in order; all where there are not more.

    Args:
        number: at most so many.
        indices: (N,) integers, in order.
    """
    if len(indices) <= number:
        return indices
    return np.sort(np.random.default_rng(0).permutation(indices)[:number])

"""Reproducible random choices, written so that a generator reads like a description of a shape."""

from __future__ import annotations

import hashlib
from typing import TypeVar

import numpy as np

Option = TypeVar("Option")


class Dice:
    """Random choices that depend on nothing but a key.

    The key is hashed with SHA-256 and the draws use only uniform doubles of PCG64, both the same on every platform
    and in every NumPy.

    Args:
        key: anything with a stable ``repr``, as (seed, category, index).
    """

    def __init__(self, *key: object):
        digest = hashlib.sha256(repr(key).encode()).digest()
        self._random = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little"))).random

    def between(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return low + (high - low) * self._random()

    def count(self, low: int, high: int) -> int:
        """A whole number in [low, high], both ends included."""
        return low + int(self._random() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self._random() < probability

    def pick(self, *options: Option) -> Option:
        """One of the options; name one twice to make it twice as likely."""
        return options[int(self._random() * len(options))]

"""Many strings in two arrays.

A list of a million paths is a million Python objects. Worker processes count references to those that they read, and
with that copy the memory which they share with their parent, page by page, until every worker has all of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import numpy as np


class PackedNames(Sequence[str]):
    """An unchanging sequence of file names."""

    def __init__(self, names: Iterable[str]):
        encoded = [os.fsencode(name) for name in names]
        self._bytes = np.frombuffer(b"".join(encoded), np.uint8)
        self._offsets = np.cumsum([0, *map(len, encoded)])

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, index: int) -> str:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return os.fsdecode(self._bytes[self._offsets[index] : self._offsets[index + 1]].tobytes())

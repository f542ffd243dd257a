"""What a preparation run has to know about the things it prepares, be they shapes or sounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pcrq.stores.store_file import StoreFile, StoreFileWriter


class Recipe(Protocol):
    """From what an item loads to an entry of a store; it pickles, because workers follow it.

    Attributes:
        kind: what messages call an entry, "shape" or "sound".
        parameters: everything that JSON can hold and that an entry depends on beside its source; recorded in the store.
        parts: names of the parts that the entries carry labels of; None where they carry none.
        share: bytes that an entry takes in the store for each byte of the arrays that :meth:`make` returns.
    """

    kind: str
    share: float

    @property
    def parameters(self) -> dict: ...

    @property
    def parts(self) -> Sequence[str] | None: ...

    def make(self, source: Any, id: str) -> Mapping[str, np.ndarray]:
        """In a worker: the arrays of an entry from what its item has loaded.

        Raises:
            InputError: the source cannot be used.
        """

    def entry(self, arrays: Mapping[str, np.ndarray], **about: Any) -> Any:
        """What ``append`` of the writer takes; ``about`` is its id, category, split and fold."""

    def writer(self, path: Path, **options: Any) -> StoreFileWriter:
        """A writer of the store; ``options`` are its classes, source and parameters."""

    def open(self, path: Path) -> StoreFile:
        """The store, which has ``offsets``."""

"""How a preparation run makes sounds: from samples to an entry of a sound store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pcrq.stores.sound_store import RATE, Sound, SoundStore, SoundStoreWriter, quantize

VERSION = 1
"""Goes up when the same input gives another sound, so that nothing made before is taken for up to date."""


@dataclass(frozen=True)
class SoundRecipe:
    """Keep what was loaded, 16 kHz mono, as 16-bit samples; a :class:`~data_prep.recipe.Recipe`.

    Args:
        task: what an evaluation on the store is called, such as "NS"; "" where it is none in particular.
        seconds: what that evaluation takes of every clip; nothing is cut here. 0 where there is no task.
    """

    kind: ClassVar[str] = "sound"
    share: ClassVar[float] = 1.0
    parts: ClassVar[None] = None

    task: str = ""
    seconds: float = 0.0

    @property
    def parameters(self) -> dict:
        task = {"task": self.task, "seconds": self.seconds} if self.task else {}
        return {"preparation": VERSION, "rate": RATE, **task}

    def make(self, source: np.ndarray, id: str) -> dict[str, np.ndarray]:
        return {"samples": quantize(source, id)}

    def entry(self, arrays: Mapping[str, np.ndarray], **about: Any) -> Sound:
        return Sound(samples=arrays["samples"], **about)

    def writer(self, path: Path, **options: Any) -> SoundStoreWriter:
        return SoundStoreWriter(path, **options)

    def open(self, path: Path) -> SoundStore:
        return SoundStore(path)

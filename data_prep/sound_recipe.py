"""How a preparation run makes sounds: from samples to an entry of a sound store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from data_prep.sound_store import RATE, Sound, SoundStore, SoundStoreWriter, quantize

VERSION = 1
"""Goes up when the same input gives another sound, so that nothing made before is taken for up to date."""


@dataclass(frozen=True)
class SoundRecipe:
    """Keep what was loaded, 16 kHz mono, as 16-bit samples; a :class:`~data_prep.recipe.Recipe`."""

    kind: ClassVar[str] = "sound"
    share: ClassVar[float] = 1.0
    parts: ClassVar[None] = None

    @property
    def parameters(self) -> dict:
        return {"preparation": VERSION, "rate": RATE}

    def make(self, source: np.ndarray, id: str) -> dict[str, np.ndarray]:
        return {"samples": quantize(source, id)}

    def entry(self, arrays: Mapping[str, np.ndarray], **about: Any) -> Sound:
        return Sound(samples=arrays["samples"], **about)

    def writer(self, path: Path, **options: Any) -> SoundStoreWriter:
        return SoundStoreWriter(path, **options)

    def open(self, path: Path) -> SoundStore:
        return SoundStore(path)

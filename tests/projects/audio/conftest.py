"""Sound stores of short tones in noise, whose pitch tells their class."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pcrq.stores.sound_store import RATE, Sound, SoundStoreWriter

PITCHES = {"low": 300, "high": 2500, "middle": 900}


def tone(index: int, pitch: float, seconds: float) -> np.ndarray:
    """A tone of about this pitch, with noise."""
    random = np.random.default_rng(index)
    time = np.arange(round(seconds * RATE)) / RATE
    sound = np.sin(2 * np.pi * pitch * random.uniform(0.8, 1.25) * time) + random.normal(scale=0.3, size=len(time))
    return (random.uniform(0.2, 0.9) * sound / np.abs(sound).max()).astype(np.float32)


@pytest.fixture(scope="session")
def write_sounds() -> Callable[..., Path]:
    """``write_sounds(path, splits, folds=None, classes=2, labelled=True, mislabelled=(), parameters=None)``: clips."""

    def write(
        path: Path,
        splits: list[str],
        folds: list[int] | None = None,
        *,
        classes: int = 2,
        labelled: bool = True,
        mislabelled: tuple[int, ...] = (),
        parameters: dict | None = None,
    ) -> Path:
        names = list(PITCHES)[:classes]
        with SoundStoreWriter(path, classes=names, parameters=parameters) as writer:
            for index, split in enumerate(splits):
                category = index % classes
                samples = tone(index, PITCHES[names[category]], seconds=(0.6, 1.0, 1.4)[index % 3])
                fold = -1 if folds is None else folds[index]
                told = (category + (index in mislabelled)) % classes if labelled else -1
                writer.append(Sound(samples, f"clip{index}", told, split, fold))
        return path

    return write


@pytest.fixture(scope="session")
def sounds(write_sounds, tmp_path_factory) -> Path:
    """Sixteen training and eight test sounds of two classes; not to be changed."""
    return write_sounds(tmp_path_factory.mktemp("sounds") / "sounds.h5", ["train"] * 16 + ["test"] * 8)

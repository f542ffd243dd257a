"""Sounds for pretraining: a random segment of every clip, read by worker processes."""

from __future__ import annotations

from pathlib import Path

from pcrq.errors import InputError
from pcrq.stores.sound_store import SoundStore
from projects.audio.store_waveforms import RandomSegments
from projects.training.sampling import WholeBatches


class PretrainSounds(WholeBatches):
    """The clips of one store.

    Args:
        store: sound store, made by 'pcrq prep'.
        split: clips to train on: "train", "val", "test" or "all"; "auto" takes "train" where the store has splits,
            else all.
        batch_size: clips per process and step; what is left of an epoch after the last whole batch is left out.
        workers: processes that read the store; 0 reads in the training process.
        seed: draws the order of the clips, and the segments.

    Raises:
        InputError: the store cannot be used, or an option is out of range.
    """

    def __init__(self, store: Path, split: str = "auto", batch_size: int = 256, workers: int = 2, seed: int = 0):
        if batch_size < 2 or workers < 0:
            raise InputError(f"batch_size {batch_size}, workers {workers}: choose at least 2 and 0")
        self.store = SoundStore(store)
        if split == "auto":
            split = "train" if "train" in self.store.split else "all"
        self.split, self.indices = split, self.store.indices(None if split == "all" else split)
        if len(self.indices) == 0:
            splits = sorted({name for name in self.store.split if name} | {"all"})
            raise InputError(f"{store}: no sound of split {split!r}; choose among {', '.join(splits)}")
        segments = RandomSegments(self.store, self.indices, seed)
        super().__init__(segments, str(store), batch_size, workers, seed)

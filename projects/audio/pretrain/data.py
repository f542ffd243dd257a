"""Sounds for pretraining: a random segment of every clip, read by worker processes."""

from __future__ import annotations

from pathlib import Path

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from data_prep.sound_store import SoundStore
from pcrq.errors import InputError
from projects.audio.store_waveforms import RandomSegments
from projects.epoch_sampler import EpochKeys, EpochSampler


class PretrainSounds(pl.LightningDataModule):
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
        super().__init__()
        if batch_size < 2 or workers < 0:
            raise InputError(f"batch_size {batch_size}, workers {workers}: choose at least 2 and 0")
        self.store = SoundStore(store)
        if split == "auto":
            split = "train" if "train" in self.store.split else "all"
        self.split, self.batch_size, self.workers, self.seed = split, batch_size, workers, seed
        self.indices = self.store.indices(None if split == "all" else split)
        if len(self.indices) == 0:
            splits = sorted({name for name in self.store.split if name} | {"all"})
            raise InputError(f"{store}: no sound of split {split!r}; choose among {', '.join(splits)}")
        self.segments = RandomSegments(self.store, self.indices, seed)

    @property
    def batches(self) -> int:
        """Batches of each process in an epoch.

        Raises:
            InputError: there are none.
        """
        processes = self.trainer.world_size
        batches = len(self.indices) // (self.batch_size * processes)
        if batches == 0:
            raise InputError(
                f"{self.store.path}: its sounds ({len(self.indices)}) are fewer than a batch of {self.batch_size} in "
                f"each process ({processes}); lower data.batch_size"
            )
        return batches

    def train_dataloader(self) -> DataLoader:
        """Batches of this process, from where the run stands."""
        trainer = self.trainer
        sampler = EpochSampler(
            len(self.indices),
            self.batch_size,
            self.seed,
            trainer.global_rank,
            trainer.world_size,
            batches_done=trainer.fit_loop.epoch_loop.batch_progress.total.processed,
            batches=self.batches,
        )
        return DataLoader(
            self.segments,
            batch_size=self.batch_size,
            sampler=EpochKeys(sampler),
            num_workers=self.workers,
            pin_memory=trainer.strategy.root_device.type == "cuda",
            persistent_workers=self.workers > 0,
        )

    def transfer_batch_to_device(self, batch: Tensor, device: torch.device, dataloader_idx: int) -> Tensor:
        """Move a batch, without waiting where its memory is pinned."""
        return batch.to(device, non_blocking=True)

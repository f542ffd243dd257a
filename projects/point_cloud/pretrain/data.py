"""Shapes for pretraining: a store, sliced by worker processes into ragged batches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from octree.point_batch import PointBatch, collate
from pcrq.errors import InputError
from pcrq.stores.shape_store import Shape, ShapeStore
from projects.training.sampling import EpochSampler


class PretrainData(pl.LightningDataModule):
    """The shapes of one store.

    Args:
        store: shape store with patches, made by 'pcrq prep'.
        split: shapes to train on: "train", "val", "test" or "all"; "auto" takes "train" where the store has splits,
            else all.
        batch_size: shapes per process and step.
        workers: processes that read the store; 0 reads in the training process.
        seed: draws the order of the shapes.

    Raises:
        InputError: the store cannot be used.
    """

    def __init__(
        self,
        store: Path,
        split: str = "auto",
        batch_size: int = 32,
        workers: int = 2,
        seed: int = 0,
    ):
        super().__init__()
        if batch_size < 1 or workers < 0:
            raise InputError(f"batch_size {batch_size}, workers {workers}: choose at least 1 and 0")
        self.store = ShapeStore(store)
        if not self.store.has_patches:
            raise InputError(f"{store}: the store has no patches, which pretraining needs; prepare it with patches")
        if split == "auto":
            split = "train" if "train" in self.store.split else "all"
        self.indices = self.store.indices(None if split == "all" else split)
        if len(self.indices) == 0:
            splits = sorted({name for name in self.store.split if name} | {"all"})
            raise InputError(f"{store}: no shape of split {split!r}; choose among {', '.join(splits)}")
        self.batch_size, self.workers, self.seed = batch_size, workers, seed

    @property
    def patches(self) -> int:
        """Patches of a shape that the store was prepared for."""
        return int(self.store.parameters.get("patches", 100))

    def train_dataloader(self) -> DataLoader:
        """Batches of this process, from where the run stands."""
        sampler = EpochSampler.of_run(self.trainer, len(self.indices), self.batch_size, self.seed)
        return DataLoader(
            StoreSubset(self.store, self.indices, self.patches),
            batch_size=self.batch_size,
            sampler=sampler,
            num_workers=self.workers,
            collate_fn=collate,
            pin_memory=self.trainer.strategy.root_device.type == "cuda",
            persistent_workers=self.workers > 0,
        )

    def transfer_batch_to_device(self, batch: PointBatch, device: torch.device, dataloader_idx: int) -> PointBatch:
        """Move a batch, without waiting where its memory is pinned."""
        return batch.to(device, non_blocking=True)


class StoreSubset(Dataset[Shape]):
    """Some shapes of a store; ``Shape.index`` counts within the subset, which makes it a row of the memory banks."""

    def __init__(self, store: ShapeStore, indices: np.ndarray, patches: int):
        self.store, self.indices, self.patches = store, indices, patches

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, row: int) -> Shape:
        shape = self.store[int(self.indices[row])]
        if shape.patches.max() >= self.patches:
            raise InputError(
                f"{self.store.path}: {shape.id} has patch {shape.patches.max()}, but the store's parameters say "
                f"{self.patches} patches; prepare it again"
            )
        return replace(shape, index=row)

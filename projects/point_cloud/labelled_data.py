"""Labelled shapes for training and testing: the first labels of a store, and its test split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from octree.point_batch import PointBatch, collate
from pcrq.errors import InputError
from pcrq.evaluation.subsets import label_subset
from pcrq.stores.shape_store import Shape, ShapeStore
from projects.training.records import Record, code_version
from projects.training.sampling import EpochSampler


class LabelledData(pl.LightningDataModule):
    """Some of the labelled training shapes of a store, and all of its test shapes.

    Args:
        store: shape store with labels and the splits "train" and "test", made by 'pcrq prep'.
        ratio: part of the labels to train on, in (0, 1]: the first ⌈ratio·n⌉ of the n training shapes.
        batch_size: shapes per process and step.
        workers: processes that read the store; 0 reads in the training process.
        seed: draws the order of the shapes.

    Raises:
        InputError: the store cannot be used.
    """

    def __init__(self, store: Path, ratio: float = 1.0, batch_size: int = 32, workers: int = 2, seed: int = 0):
        super().__init__()
        if batch_size < 1 or workers < 0:
            raise InputError(f"batch_size {batch_size}, workers {workers}: choose at least 1 and 0")
        self.store = ShapeStore(store)
        self.ratio, self.batch_size, self.workers, self.seed = ratio, batch_size, workers, seed
        train, self.test = self._splits()
        self.train = train[label_subset(self.store.category[train], ratio)]

    local_label: np.ndarray | None = None
    """(P,) what the network is to say for every label of the store, -1 for what must not occur; None: leave them."""

    def _splits(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions in the store of the labelled training shapes, in the order that labels are given, and of the
        test shapes."""
        raise NotImplementedError

    def record(self, task: str, method: str, protocol: str, metric: str, seed: int, config: dict[str, Any]) -> Record:
        """A record of something measured on these shapes, without its value."""
        return Record(
            task=task,
            method=method,
            protocol=protocol,
            metric=metric,
            value=float("nan"),
            ratio=self.ratio,
            seed=seed,
            store=self.store.path.name,
            digest=self.store.digest,
            train_samples=len(self.train),
            test_samples=len(self.test),
            config=config,
            code=code_version(),
        )

    def _of_split(self, *splits: str) -> np.ndarray:
        """Positions of the shapes with a category of the splits, split by split.

        Raises:
            InputError: there are none.
        """
        indices = np.concatenate([self.store.indices(split) for split in splits])
        indices = indices[self.store.category[indices] >= 0]
        if len(indices) == 0:
            raise InputError(
                f"{self.store.path}: no shapes of the split {splits[0]!r} with a category, but training and testing "
                "need both; meshes of yours get splits by a column of labels.csv, the public data sets by their lists"
            )
        return indices

    def train_dataloader(self) -> DataLoader:
        """The batches of all steps of this process, from where the run stands: one epoch is the whole run."""
        trainer = self.trainer
        batches = trainer.max_steps * trainer.accumulate_grad_batches
        sampler = EpochSampler.of_run(trainer, len(self.train), self.batch_size, self.seed, batches)
        return self._loader(self.train, sampler=sampler)

    def test_dataloader(self) -> DataLoader:
        """All test shapes, in every process."""
        return self._loader(self.test)

    def val_dataloader(self) -> DataLoader:
        """The test shapes again, for looking on during training."""
        return self.test_dataloader()

    def _loader(self, indices: np.ndarray, **options) -> DataLoader:
        return DataLoader(
            _LabelledShapes(self.store, indices, self.local_label),
            batch_size=self.batch_size,
            num_workers=self.workers,
            collate_fn=collate,
            pin_memory=self.trainer.strategy.root_device.type == "cuda",
            **options,
        )

    def transfer_batch_to_device(self, batch: PointBatch, device: torch.device, dataloader_idx: int) -> PointBatch:
        """Move a batch, without waiting where its memory is pinned."""
        return batch.to(device, non_blocking=True)


class ClassificationData(LabelledData):
    """Shapes with categories: ⌈ratio·n⌉ of every category (paper, table 6)."""

    @property
    def classes(self) -> list[str]:
        """Names of the categories."""
        return self.store.classes

    def _splits(self) -> tuple[np.ndarray, np.ndarray]:
        return self._of_split("train"), self._of_split("test")


class SegmentationData(LabelledData):
    """Shapes of one category with labelled parts: ⌈ratio·n⌉ of the training and then the validation shapes (table 7).

    Args:
        store: shape store with parts named "category/part".
        category: name of the category.
        ratio, batch_size, workers, seed: as for LabelledData.
    """

    def __init__(
        self,
        store: Path,
        category: str,
        ratio: float = 1.0,
        batch_size: int = 32,
        workers: int = 2,
        seed: int = 0,
    ):
        self.category = category
        super().__init__(store, ratio, batch_size, workers, seed)
        parts = category_parts(self.store)[category]
        self.parts = [self.store.parts[part] for part in parts]
        self.categories = len(category_parts(self.store))
        self.local_label = np.full(len(self.store.parts), -1)
        self.local_label[parts] = np.arange(len(parts))

    def _splits(self) -> tuple[np.ndarray, np.ndarray]:
        known = category_parts(self.store)
        if self.category not in known:
            raise InputError(
                f"{self.store.path}: no parts of a category {self.category!r}; choose among {', '.join(known)}"
            )
        mine = self.store.classes.index(self.category)
        train, test = self._of_split("train", "val"), self._of_split("test")
        train, test = (indices[self.store.category[indices] == mine] for indices in (train, test))
        if len(train) == 0 or len(test) == 0:
            raise InputError(
                f"{self.store.path}: {len(train)} training and {len(test)} test shapes of category {self.category!r}; "
                "both are needed"
            )
        return train, test


def category_parts(store: ShapeStore) -> dict[str, list[int]]:
    """The categories of the shapes of a store, and the labels of their parts: "lamp/base" is one of "lamp".

    Raises:
        InputError: the store has no parts, or none belongs to one of its categories.
    """
    if store.parts is None:
        raise InputError(f"{store.path}: no part labels; segmentation needs a store such as 'pcrq prep shapenet-part'")
    known = {
        name: [label for label, part in enumerate(store.parts) if part.startswith(f"{name}/")]
        for category, name in enumerate(store.classes)
        if category in store.category
    }
    known = {name: labels for name, labels in known.items() if labels}
    if not known:
        raise InputError(f"{store.path}: its parts are not named 'category/part', so no category has any")
    return known


class _LabelledShapes(Dataset[Shape]):
    def __init__(self, store: ShapeStore, indices: np.ndarray, local_label: np.ndarray | None):
        self.store, self.indices, self.local_label = store, indices, local_label

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, row: int) -> Shape:
        shape = replace(self.store[int(self.indices[row])], patches=None)  # of pretraining only
        if self.local_label is None:
            return replace(shape, labels=None)
        labels = self.local_label[shape.labels]
        if labels.min() < 0:
            category, part = self.store.classes[shape.category], self.store.parts[shape.labels[labels.argmin()]]
            raise InputError(
                f"{self.store.path}: {shape.id} is of category {category!r}, but a point has the part {part!r}; "
                "prepare the store again"
            )
        return replace(shape, labels=labels)

"""Images for pretraining: two views of every one, made by worker processes up to what the device does."""

from __future__ import annotations

from pathlib import Path

import lightning.pytorch as pl
import torch
from torch.utils.data import DataLoader

from pcrq.errors import InputError
from projects.epoch_sampler import EpochKeys, EpochSampler
from projects.image.augmentation import Augmentation
from projects.image.image_transforms import view_transforms
from projects.image.sources import ImageSource, open_source
from projects.image.view_data import ViewData


class PretrainImages(pl.LightningDataModule):
    """The images of one source.

    Args:
        source: "builtin", "folder", or a data set of torchvision such as "CIFAR10" or "STL10".
        root: the folder of the images; not for "builtin".
        download: fetch a data set of torchvision that is not there.
        augmentation: how the two views of an image are made.
        size: pixels along each side of a view.
        batch_size: images per process and step; what is left of an epoch after the last whole batch is left out.
        workers: processes that decode, crop and jitter; 0 does it in the training process.
        seed: draws the order of the images, and the views.

    Raises:
        InputError: the images cannot be used, or an option is out of range.
    """

    def __init__(
        self,
        source: str = "builtin",
        root: Path | None = None,
        download: bool = False,
        augmentation: Augmentation = Augmentation(),  # noqa: B008 (frozen)
        size: int = 224,
        batch_size: int = 256,
        workers: int = 2,
        seed: int = 0,
    ):
        super().__init__()
        if batch_size < 2 or workers < 0 or size < 8:
            raise InputError(f"batch_size {batch_size}, workers {workers}, size {size}: choose at least 2, 0 and 8")
        self.source = open_source(source, "pretrain", root, download=download)
        self.augmentation, self.size, self.seed = augmentation, size, seed
        self.batch_size, self.workers = batch_size, workers
        self._place = (source, root)
        self.views = ViewData(self.source, view_transforms(augmentation, size), seed)

    @property
    def labelled(self) -> tuple[ImageSource, ImageSource]:
        """Labelled images of the same source to train a classifier on, and to measure it on.

        Raises:
            InputError: there are none.
        """
        name, root = self._place
        return open_source(name, "train", root), open_source(name, "test", root)

    @property
    def batches(self) -> int:
        """Batches of each process in an epoch.

        Raises:
            InputError: there are none.
        """
        processes = self.trainer.world_size
        batches = len(self.source) // (self.batch_size * processes)
        if batches == 0:
            raise InputError(
                f"{self.source.name}: its images ({len(self.source)}) are fewer than a batch of {self.batch_size} in "
                f"each process ({processes}); lower data.batch_size"
            )
        return batches

    def train_dataloader(self) -> DataLoader:
        """Batches of this process, from where the run stands."""
        trainer = self.trainer
        sampler = EpochSampler(
            len(self.source),
            self.batch_size,
            self.seed,
            trainer.global_rank,
            trainer.world_size,
            batches_done=trainer.fit_loop.epoch_loop.batch_progress.total.processed,
            batches=self.batches,
        )
        return DataLoader(
            self.views,
            batch_size=self.batch_size,
            sampler=EpochKeys(sampler),
            num_workers=self.workers,
            pin_memory=trainer.strategy.root_device.type == "cuda",
            persistent_workers=self.workers > 0,
        )

    def transfer_batch_to_device(
        self, batch: list[torch.Tensor], device: torch.device, dataloader_idx: int
    ) -> list[torch.Tensor]:
        """Move a batch, without waiting where its memory is pinned."""
        return [tensor.to(device, non_blocking=True) for tensor in batch]

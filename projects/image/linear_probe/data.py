"""Labelled images for a linear probe: cropped and flipped at random to train on, undistorted to measure on."""

from __future__ import annotations

from pathlib import Path

import lightning.pytorch as pl
from torch.utils.data import DataLoader

from pcrq.errors import InputError
from projects.image.image_transforms import evaluation_transform, probe_train_transform
from projects.image.sources import open_source
from projects.image.view_data import ViewData
from projects.training.sampling import EpochKeys, EpochSampler


class LabelledImages(pl.LightningDataModule):
    """The labelled training and test images of one source.

    Args:
        source: "builtin", "folder", or a data set of torchvision such as "CIFAR10" or "STL10".
        root: the folder of the images; not for "builtin".
        download: fetch a data set of torchvision that is not there.
        size: pixels along each side.
        smallest_crop: part of the area that a training crop has at least; 0.08 on ImageNet, more where the figure fills
            the image.
        batch_size: images per process and step.
        workers: processes that decode and crop; 0 does it in the training process.
        seed: draws the order of the images, and the crops.

    Raises:
        InputError: the images cannot be used, or an option is out of range.
    """

    def __init__(
        self,
        source: str = "builtin",
        root: Path | None = None,
        download: bool = False,
        size: int = 224,
        smallest_crop: float = 0.08,
        batch_size: int = 1024,
        workers: int = 2,
        seed: int = 0,
    ):
        super().__init__()
        if batch_size < 1 or workers < 0 or size < 8:
            raise InputError(f"batch_size {batch_size}, workers {workers}, size {size}: choose at least 1, 0 and 8")
        if not 0 < smallest_crop <= 1:
            raise InputError(f"smallest_crop {smallest_crop}: a part of the area, above 0 and up to 1")
        self.train = open_source(source, "train", root, download=download)
        self.test = open_source(source, "test", root, download=download)
        self.size, self.smallest_crop = size, smallest_crop
        self.batch_size, self.workers, self.seed = batch_size, workers, seed
        self.train_views = ViewData(self.train, [probe_train_transform(size, smallest_crop)], seed)
        self.test_views = ViewData(self.test, [evaluation_transform(size)])

    @property
    def classes(self) -> list[str]:
        """Names of the classes."""
        return self.train.classes

    def test_indices(self) -> range:
        """The test images of this process."""
        return range(self.trainer.global_rank, len(self.test), self.trainer.world_size)

    def train_dataloader(self) -> DataLoader:
        """Batches of this process, from where the run stands; every image is seen in an epoch."""
        sampler = EpochSampler.of_run(self.trainer, len(self.train), self.batch_size, self.seed)
        return self._loader(self.train_views, EpochKeys(sampler), persistent_workers=self.workers > 0)

    def test_dataloader(self) -> DataLoader:
        """Every test image in one of the processes.

        Raises:
            InputError: there are fewer than processes.
        """
        if len(self.test) < self.trainer.world_size:
            raise InputError(f"{self.test.name}: fewer test images than processes ({self.trainer.world_size})")
        return self._loader(self.test_views, self.test_indices())

    def _loader(self, views: ViewData, sampler, **options) -> DataLoader:
        return DataLoader(
            views,
            batch_size=self.batch_size,
            sampler=sampler,
            num_workers=self.workers,
            pin_memory=self.trainer.strategy.root_device.type == "cuda",
            **options,
        )

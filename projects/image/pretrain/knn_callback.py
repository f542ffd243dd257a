"""The accuracy of nearest neighbours while an encoder is pretrained, where the images have labels."""

from __future__ import annotations

import logging

import lightning.pytorch as pl

from pcrq.errors import InputError
from projects.image.features import source_knn_accuracy
from projects.training.callbacks import AccuracyCallback

_log = logging.getLogger(__name__)


class KNNAccuracy(AccuracyCallback):
    """Log ``knn_accuracy`` before training, after every few epochs and after the last one.

    Args:
        every_n_epochs: how often; 0 for never.
        neighbours: labelled training images that vote on a test image.
        images: of a larger source only so many are looked at, the same ones every time.

    Raises:
        InputError: a number is negative, or nobody is to vote.
    """

    def __init__(self, every_n_epochs: int = 10, neighbours: int = 200, images: int = 50_000):
        super().__init__(every_n_epochs)
        if neighbours < 1 or images < 2:
            raise InputError(f"knn {neighbours} neighbours, {images} images: choose at least 1 and 2")
        self.neighbours, self.images = neighbours, images

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        """Look for labelled images, and say where there are none."""
        self.labelled, self.last = None, None
        if not (self.every_n_epochs and trainer.is_global_zero):
            return
        try:
            self.labelled = trainer.datamodule.labelled
        except InputError as error:
            _log.info("no kNN accuracy without labelled images: %s", error)

    def measure(self, trainer: pl.Trainer, module: pl.LightningModule) -> float | None:
        """The accuracy on the test images, None without labels."""
        if self.labelled is None:
            return None
        data, views = trainer.datamodule, module.views
        mean, std = views.mean.flatten().tolist(), views.std.flatten().tolist()
        self.last = source_knn_accuracy(
            module.framework.encoder,
            *self.labelled,
            data.size,
            mean,
            std,
            neighbours=self.neighbours,
            images=self.images,
            workers=data.workers,
        )
        return self.last

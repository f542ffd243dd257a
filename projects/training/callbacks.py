"""Callbacks of pretraining: accuracy of nearest neighbors, and throughput."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import torch

from pcrq import InputError

_log = logging.getLogger(__name__)


class KNNAccuracy(pl.Callback):
    """Log ``knn_accuracy`` before training, after every few epochs and after the last one.

    Args:
        every_n_epochs: epochs between two measurements; 0 for never.
        measure: returns the accuracy in [0, 1], called in the first process only; None where there are no labels.

    Raises:
        InputError: ``every_n_epochs`` is negative.
    """

    def __init__(self, every_n_epochs: int, measure: Callable[[], float | None]):
        if every_n_epochs < 0:
            raise InputError(f"knn.every_n_epochs {every_n_epochs}: must be at least 1, or 0 for never")
        self.every_n_epochs, self._measure = every_n_epochs, measure
        self.last: float | None = None

    def measure(self) -> float | None:
        """The accuracy of the network as it is now."""
        self.last = self._measure()
        return self.last

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Measure the untrained network, for comparison."""
        if trainer.global_step == 0 and self.every_n_epochs:
            self._log(trainer, epoch=0)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Measure after every ``every_n_epochs`` epochs and after the last one."""
        epoch = trainer.current_epoch + 1
        if self.every_n_epochs and (epoch % self.every_n_epochs == 0 or epoch == trainer.max_epochs):
            self._log(trainer, epoch)

    def _log(self, trainer: pl.Trainer, epoch: int) -> None:
        accuracy = self.measure() if trainer.is_global_zero else None
        if accuracy is None:
            return
        for logger in trainer.loggers:
            logger.log_metrics({"knn_accuracy": accuracy, "epoch": epoch}, step=trainer.global_step)
        trainer.progress_bar_metrics["knn_accuracy"] = accuracy
        _log.info("epoch %d: kNN accuracy %.1f %%", epoch, 100 * accuracy)


_WINDOW = 20  # steps


class Throughput(pl.Callback):
    """Log ``samples_per_second`` over all processes, averaged over the last 20 steps."""

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Start counting; a run that resumes within an epoch has no start of an epoch."""
        self.on_train_epoch_start(trainer, module)

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Ignore the time between epochs."""
        self._ends = [time.perf_counter()]

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the batch; the logged value is on the CPU, because a copy to the device would synchronize."""
        self._ends = [*self._ends[-_WINDOW:], time.perf_counter()]
        steps = len(self._ends) - 1
        rate = steps * trainer.datamodule.batch_size * trainer.world_size / (self._ends[-1] - self._ends[0])
        module.log("samples_per_second", torch.tensor(rate), prog_bar=True, batch_size=trainer.datamodule.batch_size)

"""Samples per second, on the progress bar and in the log."""

from __future__ import annotations

import time
from typing import Any

import lightning.pytorch as pl
import torch

_WINDOW = 20  # steps


class Throughput(pl.Callback):
    """Log ``samples_per_second`` over all processes, averaged over the last 20 steps."""

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Begin to count; a run that resumes within an epoch has no start of it."""
        self.on_train_epoch_start(trainer, module)

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Leave out what happens between epochs."""
        self._ends = [time.perf_counter()]

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the batch; what is logged stands on the CPU, as a copy to the device would have to wait for it."""
        self._ends = [*self._ends[-_WINDOW:], time.perf_counter()]
        steps = len(self._ends) - 1
        rate = steps * trainer.datamodule.batch_size * trainer.world_size / (self._ends[-1] - self._ends[0])
        module.log("samples_per_second", torch.tensor(rate), prog_bar=True, batch_size=trainer.datamodule.batch_size)

"""The samples of a pretraining run, in whole batches and in an order from which any run can go on."""

from __future__ import annotations

import lightning.pytorch as pl
from torch.utils.data import DataLoader, Dataset

from pcrq.errors import InputError
from projects.epoch_sampler import EpochKeys, EpochSampler


class WholeBatches(pl.LightningDataModule):
    """Base of data modules whose samples are drawn by (epoch, index).

    Args:
        samples: takes the keys of :class:`EpochKeys`.
        name: where the samples come from, for messages.
        batch_size: samples per process and step; what is left of an epoch after the last whole batch is left out.
        workers: processes that make the samples; 0 makes them in the training process.
        seed: draws the order.
    """

    def __init__(self, samples: Dataset, name: str, batch_size: int, workers: int, seed: int):
        super().__init__()
        self.samples, self.name = samples, name
        self.batch_size, self.workers, self.seed = batch_size, workers, seed

    @property
    def batches(self) -> int:
        """Batches of each process in an epoch.

        Raises:
            InputError: there are none.
        """
        processes = self.trainer.world_size
        batches = len(self.samples) // (self.batch_size * processes)
        if batches == 0:
            raise InputError(
                f"{self.name}: its samples ({len(self.samples)}) are fewer than a batch of {self.batch_size} in each "
                f"process ({processes}); lower data.batch_size"
            )
        return batches

    def train_dataloader(self) -> DataLoader:
        """Batches of this process, from where the run stands."""
        sampler = EpochSampler.of_run(self.trainer, len(self.samples), self.batch_size, self.seed, self.batches)
        return DataLoader(
            self.samples,
            batch_size=self.batch_size,
            sampler=EpochKeys(sampler),
            num_workers=self.workers,
            pin_memory=self.trainer.strategy.root_device.type == "cuda",
            persistent_workers=self.workers > 0,
        )

"""Order of the samples and random numbers of a step, as functions of seed, epoch, step and process.

Nothing depends on what ran before, so a resumed run continues exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from pcrq import InputError


class EpochSampler(Sampler[Any]):
    """Shuffle the samples in every epoch and distribute them over the processes in complete batches.

    All processes take the same number of full batches. An epoch that needs more samples than there are continues with
    another permutation of all of them.

    Args:
        samples: number of samples.
        batch_size: samples in a batch of one process.
        seed: random seed of the permutations.
        rank, world_size: index of this process and number of processes.
        batches_done: batches that each process has already processed, over all epochs; the first pass starts there.
        batches: batches of each process in an epoch; None for as many as it takes to see every sample once.
        with_epoch: yield (epoch, index) instead of the index, for datasets whose random numbers depend on both.
            Persistent worker processes do not see the epoch change otherwise.
    """

    def __init__(
        self,
        samples: int,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        batches_done: int = 0,
        batches: int | None = None,
        with_epoch: bool = False,
    ):
        self.samples, self.batch_size, self.seed, self.with_epoch = samples, batch_size, seed, with_epoch
        self.rank, self.world_size = rank, world_size
        self.batches = -(-samples // (batch_size * world_size)) if batches is None else batches
        self.start_epoch, self.start_batch = divmod(batches_done, self.batches)
        self.epoch = self.start_epoch

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next pass; called by Lightning."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.batches * self.batch_size

    def __iter__(self) -> Iterator[Any]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        total = self.batches * self.batch_size * self.world_size
        orders = [torch.randperm(self.samples, generator=generator) for _ in range(-(-total // self.samples))]
        mine = torch.cat(orders)[:total].view(self.batches, self.world_size, self.batch_size)
        skip = self.start_batch if self.epoch == self.start_epoch else 0
        indices, epoch = map(int, mine[skip:, self.rank].flatten()), self.epoch
        return ((epoch, index) for index in indices) if self.with_epoch else indices


def whole_batches(samples: int, batch_size: int, trainer: pl.Trainer, name: str) -> int:
    """Number of complete batches of each process in an epoch.

    Args:
        samples: number of samples of the dataset.
        batch_size: samples of a batch of one process.
        trainer: knows the number of processes.
        name: of the dataset, for messages.

    Raises:
        InputError: there are fewer samples than a batch in each process.
    """
    batches = samples // (batch_size * trainer.world_size)
    if batches == 0:
        raise InputError(
            f"{name}: {samples} samples are fewer than a batch of {batch_size} in each of {trainer.world_size} "
            "processes; lower data.batch_size"
        )
    return batches


def training_loader(
    samples: Dataset[Any],
    batch_size: int,
    workers: int,
    seed: int,
    trainer: pl.Trainer,
    batches: int | None = None,
    with_epoch: bool = False,
    **options: Any,
) -> DataLoader[Any]:
    """Batches of this process, from the batch at which the run stands.

    Args:
        samples: the dataset.
        batch_size: samples of a batch of one process.
        workers: processes that load the samples; 0 loads them in the training process.
        seed: random seed of the order.
        trainer: knows where the run stands.
        batches, with_epoch: as for :class:`EpochSampler`.
        options: further arguments of ``DataLoader``, such as ``collate_fn``.
    """
    done = trainer.fit_loop.epoch_loop.batch_progress.total.processed
    rank, world_size = trainer.global_rank, trainer.world_size
    return DataLoader(
        samples,
        batch_size=batch_size,
        sampler=EpochSampler(len(samples), batch_size, seed, rank, world_size, done, batches, with_epoch),
        num_workers=workers,
        pin_memory=trainer.strategy.root_device.type == "cuda",
        persistent_workers=workers > 0,
        **options,
    )


def step_generator(module: pl.LightningModule, seed: int) -> torch.Generator:
    """A generator on the module's device for the current batch; processes have different random numbers."""
    return torch.Generator(module.device).manual_seed(_number([seed, _batch(module), module.trainer.global_rank]))


def common_generator(module: pl.LightningModule, seed: int) -> torch.Generator:
    """A generator on the CPU for the current batch; all processes have the same random numbers."""
    return torch.Generator().manual_seed(_number([seed, _batch(module)], common=True))


def _batch(module: pl.LightningModule) -> int:
    return module.trainer.fit_loop.epoch_loop.batch_progress.total.ready


def _number(entropy: list[int], *, common: bool = False) -> int:
    """A seed from some integers.

    ``common`` keeps the numbers of all processes apart from those of process 0: SeedSequence ignores trailing zeros, so
    that [seed, batch, 0] and [seed, batch] would be the same without another spawn key.
    """
    key = (0,) if common else ()
    return int(np.random.SeedSequence(entropy, spawn_key=key).generate_state(1, np.uint64)[0] >> 1)

"""The order in which a run sees its samples: a function of seed, epoch and process, so that any run can go on."""

from __future__ import annotations

from collections.abc import Iterator

import lightning.pytorch as pl
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from pcrq.errors import InputError


class EpochSampler(Sampler[int]):
    """Shuffle the samples anew every epoch and deal them to the processes in whole batches.

    All processes take the same number of full batches. An epoch that needs more samples than there are goes on with
    another order of all of them.

    Args:
        samples: how many there are.
        batch_size: samples in a batch of one process.
        seed: draws the orders.
        rank, world_size: this process among all.
        batches_done: batches that each process has taken already, over all epochs; the first pass starts there.
        batches: batches of each process in an epoch; None for as many as it takes to see every sample once.
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
    ):
        self.samples, self.batch_size, self.seed = samples, batch_size, seed
        self.rank, self.world_size = rank, world_size
        self.batches = -(-samples // (batch_size * world_size)) if batches is None else batches
        self.start_epoch, self.start_batch = divmod(batches_done, self.batches)
        self.epoch = self.start_epoch

    @classmethod
    def of_run(
        cls, trainer: pl.Trainer, samples: int, batch_size: int, seed: int, batches: int | None = None
    ) -> EpochSampler:
        """The sampler of this process, from where a training stands; the numbers are those of the class."""
        done = trainer.fit_loop.epoch_loop.batch_progress.total.processed
        return cls(samples, batch_size, seed, trainer.global_rank, trainer.world_size, done, batches)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next pass; Lightning calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.batches * self.batch_size

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        total = self.batches * self.batch_size * self.world_size
        orders = [torch.randperm(self.samples, generator=generator) for _ in range(-(-total // self.samples))]
        mine = torch.cat(orders)[:total].view(self.batches, self.world_size, self.batch_size)
        skip = self.start_batch if self.epoch == self.start_epoch else 0
        return map(int, mine[skip:, self.rank].flatten())


class EpochKeys(Sampler[tuple[int, int]]):
    """The indices of a sampler, each with the epoch, as data takes them that draws by it.

    The epoch travels with the index because worker processes that live on do not see it change here.

    Args:
        sampler: has ``epoch`` and ``set_epoch``.
    """

    def __init__(self, sampler: Sampler[int]):
        self.sampler = sampler

    def __len__(self) -> int:
        return len(self.sampler)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next pass; Lightning calls this."""
        self.sampler.set_epoch(epoch)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch = self.sampler.epoch
        return ((epoch, index) for index in self.sampler)


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
    samples: Dataset,
    batch_size: int,
    workers: int,
    seed: int,
    trainer: pl.Trainer,
    batches: int | None = None,
    **options,
) -> DataLoader:
    """Batches of this process, from the batch at which the run stands.

    Args:
        samples: the dataset.
        batch_size: samples of a batch of one process.
        workers: processes that load the samples; 0 loads them in the training process.
        seed: random seed of the order.
        trainer: knows where the run stands.
        batches: batches of each process in an epoch; None for as many as it takes to see every sample once.
        options: further arguments of ``DataLoader``, such as ``collate_fn``; ``keys=True`` asks the dataset for
            (epoch, index) instead of index.
    """
    sampler = EpochSampler.of_run(trainer, len(samples), batch_size, seed, batches)
    return DataLoader(
        samples,
        batch_size=batch_size,
        sampler=EpochKeys(sampler) if options.pop("keys", False) else sampler,
        num_workers=workers,
        pin_memory=trainer.strategy.root_device.type == "cuda",
        persistent_workers=workers > 0,
        **options,
    )


def step_generator(module: pl.LightningModule, seed: int) -> torch.Generator:
    """A generator on the module's device for the batch that it is training on; every process has its own numbers."""
    return torch.Generator(module.device).manual_seed(_number([seed, _batch(module), module.trainer.global_rank]))


def common_generator(module: pl.LightningModule, seed: int) -> torch.Generator:
    """A generator on the CPU for the batch that the module is training on; all processes have the same numbers."""
    return torch.Generator().manual_seed(_number([seed, _batch(module)], apart=True))


def _batch(module: pl.LightningModule) -> int:
    return module.trainer.fit_loop.epoch_loop.batch_progress.total.ready


def _number(entropy: list[int], *, apart: bool = False) -> int:
    # zeros at the end of the entropy do not count, so that a key keeps common numbers apart from those of process 0
    key = (0,) if apart else ()
    return int(np.random.SeedSequence(entropy, spawn_key=key).generate_state(1, np.uint64)[0] >> 1)

"""The random numbers of a training step, whatever ran before: a resumed run draws what it would have drawn."""

from __future__ import annotations

import lightning.pytorch as pl
import numpy as np
import torch


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

"""The random numbers of a training step, whatever ran before: a resumed run draws what it would have drawn."""

from __future__ import annotations

import lightning.pytorch as pl
import numpy as np
import torch


def step_generator(module: pl.LightningModule, seed: int) -> torch.Generator:
    """A generator on the module's device for the batch that it is training on; every process has its own numbers."""
    trainer = module.trainer
    batch = trainer.fit_loop.epoch_loop.batch_progress.total.ready
    state = np.random.SeedSequence([seed, batch, trainer.global_rank]).generate_state(1, np.uint64)
    return torch.Generator(module.device).manual_seed(int(state[0] >> 1))

"""The accuracy of nearest neighbours while an encoder is pretrained, where the sounds have categories and splits."""

from __future__ import annotations

import logging

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor

from pcrq.errors import InputError
from pcrq.evaluation.knn import knn_accuracy
from pcrq.evaluation.subsets import subset
from pcrq.stores.sound_store import SoundStore
from projects.audio.embedding import embed_sounds
from projects.training.callbacks import AccuracyCallback

_log = logging.getLogger(__name__)


class KNNAccuracy(AccuracyCallback):
    """Log ``knn_accuracy``, of the store's test sounds among its training sounds.

    Args:
        every_n_epochs: how often; 0 for never.
        neighbours: training sounds that vote on a test sound.
        seconds: length that all sounds are brought to.
        sounds: of a larger split only so many are looked at, the same ones every time.

    Raises:
        InputError: a number is out of range, or nobody is to vote.
    """

    def __init__(self, every_n_epochs: int = 10, neighbours: int = 5, seconds: float = 4.0, sounds: int = 5000):
        super().__init__(every_n_epochs)
        if neighbours < 1 or sounds < 2 or seconds < 0.1:
            raise InputError(
                f"knn {neighbours} neighbours, {sounds} sounds, {seconds} seconds: choose at least 1, 2 and 0.1"
            )
        self.neighbours, self.seconds, self.sounds = neighbours, seconds, sounds

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        """Look for labelled sounds, and say where there are none."""
        self.last, store = None, trainer.datamodule.store
        self.gallery, self.held_out = (_labelled(store, split) for split in ("train", "test"))
        if self.every_n_epochs and trainer.is_global_zero and not self.can_measure:
            _log.info("no kNN accuracy: %s has no sounds with categories in the splits train and test", store.path)

    @property
    def can_measure(self) -> bool:
        """Whether there are sounds to measure on."""
        return bool(len(self.gallery) and len(self.held_out))

    def measure(self, trainer: pl.Trainer, module: pl.LightningModule) -> float | None:
        """The accuracy on the test sounds, None without labels."""
        if not self.can_measure:
            return None
        (voters, voted), (features, truth) = (
            self._embedded(trainer, module, split) for split in (self.gallery, self.held_out)
        )
        self.last = knn_accuracy(features, truth, voters, voted, neighbours=self.neighbours)
        return self.last

    def _embedded(self, trainer: pl.Trainer, module: pl.LightningModule, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        data, indices = trainer.datamodule, subset(self.sounds, indices)
        features = embed_sounds(
            module.encoder, module.statistics, data.store, indices, seconds=self.seconds, workers=data.workers
        )
        return features, torch.from_numpy(data.store.category[indices].astype(np.int64))


def _labelled(store: SoundStore, split: str) -> np.ndarray:
    indices = store.indices(split)
    return indices[store.category[indices] >= 0]

"""The accuracy of nearest neighbours while a network is pretrained, where the store knows categories."""

from __future__ import annotations

import lightning.pytorch as pl
import numpy as np
import torch

from octree.embedding import embed
from octree.midnet import MIDNet
from pcrq.errors import InputError
from pcrq.evaluation.knn import knn_accuracy
from pcrq.evaluation.subsets import subset
from pcrq.stores.shape_store import ShapeStore
from projects.training.callbacks import AccuracyCallback


class KNNAccuracy(AccuracyCallback):
    """Log ``knn_accuracy`` before training and after every few epochs.

    The gallery is the training shapes. Shapes of the splits "val" and "test" are classified by it; a store without
    them is classified by leaving each shape out in turn.

    Args:
        every_n_epochs: how often; 0 for never.
        neighbours: shapes that vote.
        shapes: of a larger store only so many are looked at, the same ones every time.

    Raises:
        InputError: a number is negative, or nobody is to vote.
    """

    def __init__(self, every_n_epochs: int = 10, neighbours: int = 5, shapes: int = 5000):
        super().__init__(every_n_epochs)
        if neighbours < 1 or shapes < 2:
            raise InputError(f"knn {neighbours} neighbours, {shapes} shapes: choose at least 1 and 2")
        self.neighbours, self.shapes = neighbours, shapes

    def measure(self, trainer: pl.Trainer, module: pl.LightningModule) -> float | None:
        """The accuracy on the data of the run, None where no shape has a category."""
        data = trainer.datamodule
        if (data.store.category[data.indices] < 0).all():
            return None
        return store_knn_accuracy(module.network, data.store, data.indices, self.neighbours, self.shapes)


def store_knn_accuracy(
    network: MIDNet, store: ShapeStore, gallery: np.ndarray, neighbours: int = 5, shapes: int = 5000
) -> float:
    """kNN accuracy in [0, 1] of a network on the held-out shapes of a store, or leaving one out where it has none.

    Args:
        network: the network to ask.
        store: labelled shapes; those without a category are left out.
        gallery: positions of the shapes that vote.
        neighbours: shapes that vote on one.
        shapes: at most so many in the gallery, and held out.
    """
    held_out = np.flatnonzero(np.isin(np.asarray(store.split, dtype=object), ["val", "test"]) & (store.category >= 0))
    held_out = subset(shapes, np.setdiff1d(held_out, gallery))
    gallery = subset(shapes, gallery[store.category[gallery] >= 0])
    category = torch.from_numpy(store.category.astype(np.int64))
    features = embed(network, store, gallery)
    if len(held_out) == 0:
        return knn_accuracy(features, category[gallery], neighbours=neighbours)
    return knn_accuracy(
        embed(network, store, held_out), category[held_out], features, category[gallery], neighbours=neighbours
    )

"""Pretrain MID-Net on the shapes of a store, with or without randomized quantization.

Multiresolution instance discrimination (Wang et al., AAAI 2021) on randomly quantized coordinates (Wu et al., ICCV
2023, section 5.2): distort every shape, quantize its coordinates, build the octree, and classify the shape among all
shapes and its patches among its own patches.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import numpy as np
import torch
from jsonargparse import ArgumentParser
from torch.utils.data import DataLoader

from octree import (
    MIDFeatures,
    MIDLoss,
    MIDNet,
    MIDNetConfig,
    PointBatch,
    RandomAffine,
    ShapeDataset,
    ShapeStore,
    collate,
    embed,
    quantize,
)
from octree.pretrained import KEY, describe
from pcrq import InputError
from pcrq.evaluation import knn_accuracy, subset
from projects.training.callbacks import KNNAccuracy, Throughput
from projects.training.records import NETWORK, check_resume_config
from projects.training.run import Program, Run, make_run_folder
from projects.training.sampling import step_generator, training_loader

# --- options ---


@dataclass(frozen=True)
class Quantization:
    """Randomized quantization of the coordinates.

    Args:
        bins: bins per axis; the paper uses 30 for point clouds; null for no quantization (plain MID-Net).
        p: probability of quantizing a shape, in [0, 1]; the paper quantizes every shape.
        random_edges: sample the boundaries of the bins; otherwise they are evenly spaced.
        random_values: sample the value of a bin; otherwise it is the center.

    Raises:
        InputError: ``bins`` is not positive, or ``p`` is not a probability.
    """

    bins: int | None = 30
    p: float = 1.0
    random_edges: bool = True
    random_values: bool = True

    def __post_init__(self) -> None:
        if self.bins is not None and self.bins < 1:
            raise InputError(f"model.quantization.bins {self.bins}: must be at least 1, or null for no quantization")
        if not 0 <= self.p <= 1:
            raise InputError(f"model.quantization.p {self.p}: must be a probability in [0, 1]")


@dataclass(frozen=True)
class Optimization:
    """SGD with momentum 0.9.

    Args:
        learning_rate: initial learning rate.
        milestones: epochs after which the learning rate is divided by ten.
        weight_decay: weight decay of all weights.
    """

    learning_rate: float = 0.03
    milestones: list[int] = field(default_factory=lambda: [200, 300])
    weight_decay: float = 5e-4


@dataclass(frozen=True)
class KNN:
    """Accuracy of nearest neighbors during training, where the store has categories.

    The gallery is the training shapes. Shapes of the splits "val" and "test" are classified by it; without such
    shapes each training shape is classified by the others.

    Args:
        every_n_epochs: epochs between two measurements; 0 for never.
        neighbours: number of neighbors that vote.
        shapes: maximum number of shapes in the gallery, and of classified ones; a fixed random subset.

    Raises:
        InputError: a number is out of range.
    """

    every_n_epochs: int = 10
    neighbours: int = 5
    shapes: int = 5000

    def __post_init__(self) -> None:
        if self.neighbours < 1 or self.shapes < 2:
            raise InputError(f"knn.neighbours {self.neighbours}, knn.shapes {self.shapes}: at least 1 and 2")


# --- data ---


class ShapeData(pl.LightningDataModule):
    """The shapes of one store.

    Args:
        store: shape store with patches, written by 'pcrq prep'; "builtin" computes 250 shapes into --out first.
        split: "train", "val", "test" or "all"; "auto" means "train" if the store has splits, otherwise all.
        batch_size: shapes per process and step.
        workers: processes that read the store; 0 reads in the training process.
        seed: random seed of the order of the shapes.

    Raises:
        InputError: the store cannot be used.
    """

    def __init__(self, store: Path, split: str = "auto", batch_size: int = 32, workers: int = 2, seed: int = 0):
        super().__init__()
        if batch_size < 1 or workers < 0:
            raise InputError(f"data.batch_size {batch_size}, data.workers {workers}: at least 1 and 0")
        self.store = ShapeStore(store)
        if not self.store.has_patches:
            raise InputError(
                f"{store}: the store has no patches, which pretraining needs; prepare it again with 'pcrq prep meshes'"
            )
        _, self.indices = self.store.select(split)
        self.patches = int(self.store.parameters.get("patches", 100))
        self.batch_size, self.workers, self.seed = batch_size, workers, seed

    def train_dataloader(self) -> DataLoader:
        """Batches of this process, from the batch at which the run stands."""
        shapes = ShapeDataset(self.store, self.indices)
        return training_loader(shapes, self.batch_size, self.workers, self.seed, self.trainer, collate_fn=collate)

    def transfer_batch_to_device(self, batch: PointBatch, device: torch.device, dataloader_idx: int) -> PointBatch:
        """Copy a batch to the device, asynchronously from pinned memory."""
        return batch.to(device, non_blocking=True)


def builtin_store(folder: Path) -> Path:
    """A store of ten built-in shapes of each of 25 categories in a folder; prepared unless it is there."""
    from data_prep import builtin_shapes, prepare

    make_run_folder(folder)
    shapes = builtin_shapes
    prepare(
        shapes.builtin_items(10, None, 0),
        folder / "builtin_shapes.h5",
        classes=shapes.class_names(),
        parts=shapes.part_names(),
        source="built-in shapes",
    )
    return folder / "builtin_shapes.h5"


# --- model ---


class MIDPretraining(pl.LightningModule):
    """MID-Net, its two losses with their memory banks, and the optimizer.

    Args:
        data: the training shapes; the memory banks have a row for each.
        network: architecture of the network.
        quantization: randomized quantization of the coordinates.
        optimization: SGD with momentum 0.9.
        memory_dtype: data type of the memory banks; float16 halves their memory.
        seed: random seed of the augmentation; a step's random numbers depend on the seed, the step and the process.
    """

    def __init__(
        self,
        data: ShapeData,
        network: MIDNetConfig = MIDNetConfig(),  # noqa: B008 (frozen)
        quantization: Quantization = Quantization(),
        optimization: Optimization = Optimization(),
        memory_dtype: Literal["float32", "float16"] = "float32",
        seed: int = 0,
    ):
        super().__init__()
        self.data, self.quantization, self.optimization, self.seed = data, quantization, optimization, seed
        self.network = MIDNet(network)
        self.loss = MIDLoss(
            len(data.indices),
            data.patches,
            network.shape_channels,
            network.point_channels,
            memory_dtype=getattr(torch, memory_dtype),
        )
        # All processes keep equal banks by their own updates; broadcasting them every step would cost gigabytes.
        self._ddp_params_and_buffers_to_ignore = [f"loss.{name}" for name, _ in self.loss.named_buffers()]
        # Features of the next optimizer step; several batches where gradients are accumulated.
        self._pending: list[tuple[MIDFeatures, PointBatch]] = []

    def augment(self, batch: PointBatch, generator: torch.Generator) -> PointBatch:
        """MID-Net's base augmentation, then quantization of the coordinates."""
        batch, options = RandomAffine()(batch, generator), self.quantization
        if options.bins is None:
            return batch
        choices = {"random_edges": options.random_edges, "random_values": options.random_values}
        return quantize(batch, options.bins, generator, p=options.p, **choices)

    def training_step(self, batch: PointBatch, batch_idx: int) -> torch.Tensor:
        """Classify the shape and its patches against the memory banks."""
        batch = self.augment(batch, step_generator(self, self.seed))
        octree = self.network.octree(batch)
        features = self.network(octree)
        losses = self.loss(features, batch)
        self._pending.append((features.detach(), batch))

        values = {"loss": losses.total, "shape_loss": losses.shape_loss, "point_loss": losses.point_loss}
        values |= {"shape_accuracy": losses.shape_accuracy, "point_accuracy": losses.point_accuracy}
        self.log_dict(values, prog_bar=True, batch_size=batch.batch_size)
        nodes = octree.nnum_nempty / batch.batch_size  # non-empty nodes per shape: what quantization saves
        depths = range(3, octree.depth + 1)
        self.log_dict({f"nodes_depth_{d}": nodes[d].float() for d in depths}, batch_size=batch.batch_size)
        return losses.total

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, then update the memory banks with the features of the step."""
        super().optimizer_step(*args, **kwargs)
        for features, batch in self._pending:
            self.loss.update(features, batch)
        self._pending.clear()

    def configure_optimizers(self) -> dict:
        """SGD; the learning rate is divided by ten at the milestones."""
        options = self.optimization
        optimizer = torch.optim.SGD(
            self.network.parameters(), options.learning_rate, momentum=0.9, weight_decay=options.weight_decay
        )
        scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, options.milestones, gamma=0.1)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "epoch"}}

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        """Add what rebuilds the network without this class, and the options that a resumed run must share."""
        data = self.data
        pretraining = {
            **asdict(self.quantization),
            "epochs": self.current_epoch + 1,
            "store": data.store.path.name,
            "shapes": len(data.indices),
            "seed": self.seed,
        }
        checkpoint[KEY] = describe(self.network, pretraining)
        checkpoint["resume"] = self._resume_config()

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        """Refuse to continue with another network, other shapes (rows of the banks) or another order of them."""
        before = dict(checkpoint.get("resume", {}))
        before["network"] = {**NETWORK, **before.get("network", {})}
        check_resume_config(self.trainer.ckpt_path, before, self._resume_config())

    def _resume_config(self) -> dict[str, Any]:
        return {
            "network": self.network.hyper_parameters(),
            "seed": self.seed,
            "store": self.data.store.digest,
            "split": hashlib.sha256(self.data.indices.tobytes()).hexdigest(),
            "batch_size": self.data.batch_size,
            "number of devices": self.trainer.world_size,
        }


def store_knn_accuracy(
    network: MIDNet, store: ShapeStore, gallery: np.ndarray, neighbours: int = 5, shapes: int = 5000
) -> float | None:
    """kNN accuracy in [0, 1] on the held-out shapes of a store, or leaving one out where it has none.

    Args:
        network: the network that is evaluated.
        store: shapes with categories; others are left out.
        gallery: (G,) positions of the shapes that vote.
        neighbours: number of neighbors that vote.
        shapes: maximum number of shapes in the gallery, and of held-out ones.

    Returns:
        None where no shape of the gallery has a category.
    """
    held_out = np.flatnonzero(np.isin(np.asarray(store.split, dtype=object), ["val", "test"]) & (store.category >= 0))
    held_out = subset(shapes, np.setdiff1d(held_out, gallery))
    gallery = subset(shapes, gallery[store.category[gallery] >= 0])
    if len(gallery) == 0:
        return None
    category = torch.from_numpy(store.category.astype(np.int64))
    features = embed(network, store, gallery)
    if len(held_out) == 0:
        return knn_accuracy(features, category[gallery], neighbours=neighbours)
    queries = embed(network, store, held_out)
    return knn_accuracy(queries, category[held_out], features, category[gallery], neighbours=neighbours)


# --- main ---


def add_options(parser: ArgumentParser) -> None:
    """Options of data, model and kNN accuracy."""
    parser.add_class_arguments(ShapeData, "data", skip={"seed"}, instantiate=False)
    parser.add_class_arguments(MIDPretraining, "model", skip={"data", "seed"}, instantiate=False)
    parser.add_class_arguments(KNN, "knn")


def pretrain(run: Run, callbacks: Sequence[pl.Callback] = ()) -> None:
    """Pretrain by the options of a run, with further callbacks."""
    options, knn = run.init, run.init.knn
    if str(options.data.store) == "builtin":
        options.data.store = builtin_store(run.out)
    data = ShapeData(**options.data, seed=run.seed)
    model = MIDPretraining(data, **options.model, seed=run.seed)
    weights = sum(weight.numel() for weight in model.network.parameters())
    accuracy = KNNAccuracy(
        knn.every_n_epochs,
        lambda: store_knn_accuracy(model.network, data.store, data.indices, knn.neighbours, knn.shapes),
    )
    run.fit(
        model,
        data,
        f"{len(data.indices)} shapes of {data.store.path}, {weights:,} weights",
        callbacks=[accuracy, Throughput(), *callbacks],
    )
    metrics = {} if accuracy.last is None else {"kNN accuracy": accuracy.last}
    run.finish(metrics, f"pcrq probe {data.store.path} --checkpoint {run.checkpoint}")


PROGRAM = Program(
    name="pretrain shapes",
    description=__doc__,
    configs=Path(__file__).parent / "configs",
    out="runs/pretrain",
    add_options=add_options,
    run=pretrain,
    checkpoint_key=KEY,
)
main = PROGRAM.main

if __name__ == "__main__":
    sys.exit(main())

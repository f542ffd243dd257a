"""Classify shapes with few labels: fine-tune a pretrained MID-Net, or train the same network from random weights.

The protocols "ft" and "scratch" of the paper's table 6 (ModelNet40), with O-CNN's numbers. "lin" trains on features
instead of shapes and is 'pcrq evaluate shapes'.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from jsonargparse import ArgumentParser

from octree import MIDNetConfig, PointBatch, RandomAffine, ShapeClassifier
from pcrq import InputError
from pcrq.stores import ShapeStore
from projects.point_cloud.fine_tuning import (
    AUGMENTATION,
    KEY,
    LabelledData,
    Schedule,
    check_resume,
    labelled_shapes,
    load_start,
    record,
    save_resume_config,
    set_max_steps,
    sgd,
    train_and_test,
    training_config,
)
from projects.training.run import Program, Run
from projects.training.sampling import step_generator


def classification_data(
    store: Path, ratio: float = 1.0, batch_size: int = 32, workers: int = 2, seed: int = 0
) -> LabelledData:
    """Shapes with categories.

    Args:
        store: shape store with categories and the splits "train" and "test", written by 'pcrq prep'.
        ratio: fraction of the labels, in (0, 1]: the first ⌈ratio·n⌉ of the n training shapes of every category.
        batch_size: shapes per process and step.
        workers: processes that read the store; 0 reads in the training process.
        seed: random seed of the order of the shapes.

    Raises:
        InputError: the store cannot be used.
    """
    shapes = ShapeStore(store)
    train, test = (labelled_shapes(shapes, split) for split in ("train", "test"))
    return LabelledData(shapes, train, test, shapes.classes, ratio, batch_size, workers, seed)


class Classification(pl.LightningModule):
    """A shape classifier and its optimizer.

    Args:
        data: the labelled shapes.
        protocol: "ft" trains all layers, pretrained ones with a tenth of the learning rate; "scratch" trains all layers
            from random weights; "lin" is 'pcrq evaluate shapes'.
        pretrained: checkpoint or exported folder of the pretrained network, for "ft".
        method: name of the pretraining in the run record; empty for what the checkpoint says.
        network: architecture of the network; null for that of the pretrained network, with which it must agree in all
            but the sizes of the heads, bn_momentum, bn_eps and init.
        augmentation: random rotation, shift and scaling of the training shapes.
        schedule: number of steps and learning rates.
        head_only_below: with less than this fraction of the labels "ft" freezes the backbone and trains the head with
            the full learning rate (O-CNN's "finetune_head").
        head_only_shift: replaces augmentation.shift in that case.
        seed: random seed of the augmentation.

    Raises:
        InputError: the options contradict each other, or the pretrained network cannot be loaded.
    """

    def __init__(
        self,
        data: LabelledData,
        protocol: Literal["ft", "lin", "scratch"] = "ft",
        pretrained: Path | None = None,
        method: str = "",
        network: MIDNetConfig | None = None,
        augmentation: RandomAffine = AUGMENTATION,
        schedule: Schedule = Schedule(),  # noqa: B008 (frozen)
        head_only_below: float = 0.1,
        head_only_shift: float = 0.25,
        seed: int = 0,
    ):
        super().__init__()
        if protocol == "lin":
            raise InputError("model.protocol lin: trains on features; choose ft or scratch, or 'pcrq evaluate shapes'")
        self.start, backbone = load_start(protocol, pretrained, network, method)
        self.data, self.schedule, self.seed = data, schedule, seed
        self.head_only = protocol == "ft" and data.ratio < head_only_below
        self.augmentation = replace(augmentation, shift=head_only_shift) if self.head_only else augmentation
        self.network = ShapeClassifier(self.start.network, len(data.classes))
        if backbone is not None:
            self.network.load_backbone(backbone)
        self.network.backbone.requires_grad_(not self.head_only)

    def training_step(self, batch: PointBatch, batch_idx: int) -> torch.Tensor:
        """Cross entropy of an augmented batch."""
        batch = self.augmentation(batch, step_generator(self, self.seed))
        logits = self.network(batch)
        loss = F.cross_entropy(logits, batch.category)
        correct = (logits.argmax(dim=1) == batch.category).float()
        self.log_dict({"loss": loss, "accuracy": correct.mean()}, prog_bar=True, batch_size=batch.batch_size)
        return loss

    def test_step(self, batch: PointBatch, batch_idx: int) -> None:
        """Accuracy on shapes without augmentation."""
        correct = (self.network(batch).argmax(dim=1) == batch.category).float()
        options = {"on_step": False, "on_epoch": True, "sync_dist": True, "prog_bar": True}
        self.log("test_accuracy", correct.mean(), **options, batch_size=batch.batch_size)

    validation_step = test_step

    def configure_optimizers(self) -> dict[str, Any]:
        """SGD; the full learning rate for the new layer, or for the whole head where only that is trained."""
        new_layers = self.network.head if self.head_only else self.network.head.fc2
        return sgd(self.network, new_layers, self.start, self.schedule, self.trainer.max_steps)

    def config(self) -> dict[str, Any]:
        """What decides the result besides seed and labels; plain values."""
        config = training_config(self.start, self.augmentation, self.schedule, self.data, self.trainer)
        return {**config, "head_only": self.head_only}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what a resumed run must share."""
        save_resume_config(checkpoint, self.config(), self.data)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse to continue with other options."""
        check_resume(checkpoint, self.config(), self.data)


def add_options(parser: ArgumentParser) -> None:
    """Options of data and model."""
    parser.add_function_arguments(classification_data, "data", skip={"seed"})
    parser.add_class_arguments(Classification, "model", skip={"data", "seed"}, instantiate=False)


def classify(run: Run) -> None:
    """Train, test and record by the options of a run."""
    options = run.init
    set_max_steps(run, options.model.schedule)
    data = classification_data(**options.data, seed=run.seed)
    model = Classification(data, **options.model, seed=run.seed)
    found = train_and_test(run, model, data, model.start)
    metrics = {"accuracy": float(found["test_accuracy"])}
    record(run, data, model.start, "shape classification", model.config(), metrics)


PROGRAM = Program(
    name="classify",
    description=__doc__,
    configs=Path(__file__).parent / "configs",
    out="runs/classify",
    add_options=add_options,
    run=classify,
    checkpoint_key=KEY,
    defaults={"trainer.max_epochs": 1, "trainer.limit_val_batches": 0},
)
main = PROGRAM.main

if __name__ == "__main__":
    sys.exit(main())

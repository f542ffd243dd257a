"""Segment the shapes of one category into parts: lin, fine-tuning, or training from random weights.

The protocols of the paper's table 7 (ShapeNet Part), with O-CNN's numbers: "ft" fine-tunes a pretrained MID-Net, "lin"
trains two fully connected layers on a frozen one, "scratch" starts from random weights.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import numpy as np
import torch
import torch.nn.functional as F
from jsonargparse import ArgumentParser

from octree import MIDNetConfig, PartSegmenter, PointBatch, RandomAffine, part_iou
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


def segmentation_data(
    store: Path, category: str, ratio: float = 1.0, batch_size: int = 32, workers: int = 2, seed: int = 0
) -> LabelledData:
    """Shapes of one category with part labels.

    Args:
        store: shape store with parts named "category/part" and the splits "train" and "test", written by 'pcrq prep'.
        category: name of the category.
        ratio: fraction of the labels, in (0, 1]: the first ⌈ratio·n⌉ of the training and then the validation shapes.
        batch_size: shapes per process and step.
        workers: processes that read the store; 0 reads in the training process.
        seed: random seed of the order of the shapes.

    Raises:
        InputError: the store cannot be used.
    """
    shapes = ShapeStore(store)
    known = category_parts(shapes)
    if category not in known:
        raise InputError(f"{store}: no parts of a category {category!r}; available: {', '.join(known)}")
    train = labelled_shapes(shapes, "train", "val")
    test = labelled_shapes(shapes, "test")
    train, test = (indices[shapes.category[indices] == shapes.classes.index(category)] for indices in (train, test))
    if len(train) == 0 or len(test) == 0:
        raise InputError(
            f"{store}: {len(train)} training and {len(test)} test shapes of category {category!r}; both are needed"
        )
    class_of_label = np.full(len(shapes.parts), -1)
    class_of_label[known[category]] = np.arange(len(known[category]))
    return LabelledData(
        shapes,
        train,
        test,
        [shapes.parts[label] for label in known[category]],
        ratio,
        batch_size,
        workers,
        seed,
        class_of_label,
        config={"category": category, "categories": len(known)},
    )


def category_parts(store: ShapeStore) -> dict[str, list[int]]:
    """The labels of the parts of every category that the store has shapes of; "lamp/base" is a part of "lamp".

    Raises:
        InputError: the store has no parts, or none belongs to one of its categories.
    """
    if store.parts is None:
        raise InputError(f"{store.path}: no part labels; segmentation needs a store such as 'pcrq prep shapenet-part'")
    known = {
        name: [label for label, part in enumerate(store.parts) if part.startswith(f"{name}/")]
        for category, name in enumerate(store.classes)
        if category in store.category
    }
    known = {name: labels for name, labels in known.items() if labels}
    if not known:
        raise InputError(f"{store.path}: its parts are not named 'category/part', so no category has any")
    return known


class Segmentation(pl.LightningModule):
    """A part segmenter and its optimizer; features of points are interpolated from those of the octree.

    Args:
        data: the labelled shapes.
        protocol: "ft" trains all layers, pretrained ones with a tenth of the learning rate; "lin" trains the head, two
            fully connected layers, on a frozen backbone; "scratch" trains all layers from random weights.
        pretrained: checkpoint or exported folder of the pretrained network, for "ft" and "lin".
        method: name of the pretraining in the run record; empty for what the checkpoint says.
        network: architecture of the network; null for that of the pretrained network, with which it must agree in all
            but the sizes of the heads, bn_momentum, bn_eps and init.
        augmentation: random rotation, shift and scaling of the training shapes.
        schedule: number of steps and learning rates.
        category_iterations: replaces schedule.iterations for some categories, where the number of steps is derived.
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
        category_iterations: dict[str, int] = {},  # noqa: B006 (never changed)
        seed: int = 0,
    ):
        super().__init__()
        self.start, backbone = load_start(protocol, pretrained, network, method)
        self.data, self.augmentation, self.schedule, self.seed = data, augmentation, schedule, seed
        self.network = PartSegmenter(self.start.network, len(data.classes))
        if backbone is not None:
            self.network.load_backbone(backbone)
        self.network.backbone.requires_grad_(protocol != "lin")

    def training_step(self, batch: PointBatch, batch_idx: int) -> torch.Tensor:
        """Cross entropy over all points of an augmented batch."""
        batch = self.augmentation(batch, step_generator(self, self.seed))
        logits = self.network(batch)
        loss = F.cross_entropy(logits, batch.labels)
        correct = (logits.argmax(dim=1) == batch.labels).float()
        self.log_dict({"loss": loss, "accuracy": correct.mean()}, prog_bar=True, batch_size=batch.batch_size)
        return loss

    def test_step(self, batch: PointBatch, batch_idx: int) -> None:
        """IoU of predicted and true parts, averaged over shapes without augmentation."""
        predicted = self.network(batch).argmax(dim=1)
        iou = part_iou(predicted, batch.labels, batch.batch_id, batch.batch_size, len(self.data.classes))
        values = {
            "test_iou": iou.present.float().mean(),
            "test_iou_all_parts": iou.all_parts.float().mean(),
            "test_accuracy": (predicted == batch.labels).float().mean(),
        }
        self.log_dict(values, on_step=False, on_epoch=True, sync_dist=True, prog_bar=True, batch_size=batch.batch_size)

    validation_step = test_step

    def configure_optimizers(self) -> dict[str, Any]:
        """SGD; the full learning rate for the head, whose hidden layer starts from the pretrained weights."""
        return sgd(self.network, self.network.head, self.start, self.schedule, self.trainer.max_steps)

    def config(self) -> dict[str, Any]:
        """What decides the result besides seed and labels; plain values."""
        return training_config(self.start, self.augmentation, self.schedule, self.data, self.trainer)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what a resumed run must share."""
        save_resume_config(checkpoint, self.config(), self.data)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse to continue with other options."""
        check_resume(checkpoint, self.config(), self.data)


def add_options(parser: ArgumentParser) -> None:
    """Options of data and model."""
    parser.add_function_arguments(segmentation_data, "data", skip={"seed"})
    parser.add_class_arguments(Segmentation, "model", skip={"data", "seed"}, instantiate=False)


def segment(run: Run) -> None:
    """Train, test and record by the options of a run."""
    options = run.init
    schedule, category = options.model.schedule, options.data.category
    iterations = options.model.category_iterations.get(category, schedule.iterations)
    set_max_steps(run, replace(schedule, iterations=iterations))
    data = segmentation_data(**options.data, seed=run.seed)
    model = Segmentation(data, **options.model, seed=run.seed)
    found = train_and_test(run, model, data, model.start)
    metrics = {
        "mIoU": float(found["test_iou"]),
        "mIoU, absent parts count 1": float(found["test_iou_all_parts"]),
    }
    record(run, data, model.start, "part segmentation", model.config(), metrics)


PROGRAM = Program(
    name="segment",
    description=__doc__,
    configs=Path(__file__).parent / "configs",
    out="runs/segment",
    add_options=add_options,
    run=segment,
    checkpoint_key=KEY,
    defaults={"trainer.max_epochs": 1, "trainer.limit_val_batches": 0},
)
main = PROGRAM.main

if __name__ == "__main__":
    sys.exit(main())

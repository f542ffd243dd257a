"""What classification and part segmentation share: schedule, augmentation, labelled shapes, optimizer, run record.

The numbers are those of O-CNN's scripts for ModelNet40 and ShapeNet Part (microsoft/O-CNN, tensorflow/script), which
tables 6 and 7 of the paper follow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from octree import MIDNet, MIDNetConfig, PointBatch, RandomAffine, collate, load_pretrained
from octree.pretrained import pretraining_method
from pcrq import InputError
from pcrq.checkpoint import weights_digest
from pcrq.evaluation import label_subset
from pcrq.stores import Shape, ShapeStore
from projects.training.records import NETWORK, Record, append_records, check_resume_config, code_version
from projects.training.run import Run
from projects.training.sampling import training_loader

KEY = "fine_tuning"
"""The entry that only checkpoints of classification and segmentation contain."""


# --- options ---


AUGMENTATION = RandomAffine(angle=5, shift=0.125, scale=0.25, uniform_scale=True)
"""O-CNN's augmentation of ModelNet40."""


@dataclass(frozen=True)
class Schedule:
    """SGD with momentum 0.9; the number of steps is proportional to the number of labels.

    Args:
        iterations: steps with all labels; with fewer, iterations · ratio · multiple.
        multiples: pairs (ratio, multiple) in ascending order; the first ratio that is not exceeded counts.
        least_iterations: minimum number of steps.
        learning_rate: initial learning rate of new layers.
        milestones: fractions of the run, in (0, 1], after which the learning rate is divided by ten.
        weight_decay: weight decay of all weights.

    Raises:
        InputError: a number is out of range.
    """

    iterations: int = 100_000
    multiples: list[tuple[float, int]] = field(default_factory=list)
    least_iterations: int = 1
    learning_rate: float = 0.1
    milestones: list[float] = field(default_factory=lambda: [0.4, 0.6, 0.8])
    weight_decay: float = 5e-4

    def __post_init__(self) -> None:
        if self.iterations < 1 or self.least_iterations < 1:
            raise InputError(f"iterations {self.iterations}, least_iterations {self.least_iterations}: at least 1")
        if not all(0 < milestone <= 1 for milestone in self.milestones):
            raise InputError(f"milestones {self.milestones}: fractions of the run, above 0 and at most 1")
        if self.learning_rate <= 0 or self.weight_decay < 0:
            raise InputError(
                f"learning_rate {self.learning_rate}, weight_decay {self.weight_decay}: above 0, and at least 0"
            )
        if sorted(self.multiples) != list(self.multiples) or any(multiple < 1 for _, multiple in self.multiples):
            raise InputError(
                f"multiples {self.multiples}: pairs of a ratio and an integer of at least 1, in ascending order"
            )

    def steps(self, ratio: float) -> int:
        """Number of steps with a fraction ``ratio`` of the labels."""
        multiple = next((multiple for upper, multiple in self.multiples if ratio <= upper), 1)
        return max(self.least_iterations, math.floor(self.iterations * ratio * multiple + 1e-6))

    def plain(self) -> dict[str, Any]:
        """The values as JSON gives them back."""
        return {**asdict(self), "multiples": [list(pair) for pair in self.multiples]}


# --- data ---


def labelled_shapes(store: ShapeStore, *splits: str) -> np.ndarray:
    """Positions of the shapes of some splits that have a category, one split after the other.

    Raises:
        InputError: there are none.
    """
    indices = np.concatenate([store.indices(split) for split in splits])
    indices = indices[store.category[indices] >= 0]
    if len(indices) == 0:
        raise InputError(
            f"{store.path}: no shapes of the split {splits[0]!r} with a category; training and test shapes are both "
            "needed; put the columns file, label and split into labels.csv and prepare the shapes again"
        )
    return indices


class LabelledData(pl.LightningDataModule):
    """A fraction of the training shapes of a store, and all of its test shapes.

    Args:
        store: the shapes.
        train: (S,) positions of the training shapes with labels, in the order in which labels are given.
        test: (T,) positions of the test shapes.
        classes: what the network predicts: names of categories, or of parts.
        ratio: fraction of the labels that is used, in (0, 1]: the first ⌈ratio·n⌉ shapes of every category.
        batch_size: shapes per process and step.
        workers: processes that read the store; 0 reads in the training process.
        seed: random seed of the order of the shapes.
        class_of_label: (P,) class of every part label of the store, -1 for labels that must not occur; None for data
            without part labels.
        config: further entries of the run record.

    Raises:
        InputError: a number is out of range.
    """

    def __init__(
        self,
        store: ShapeStore,
        train: np.ndarray,
        test: np.ndarray,
        classes: list[str],
        ratio: float,
        batch_size: int,
        workers: int,
        seed: int,
        class_of_label: np.ndarray | None = None,
        config: Mapping[str, Any] | None = None,
    ):
        super().__init__()
        if batch_size < 1 or workers < 0:
            raise InputError(f"data.batch_size {batch_size}, data.workers {workers}: at least 1 and 0")
        self.store, self.test, self.classes = store, test, classes
        self.train = train[label_subset(store.category[train], ratio)]
        self.ratio, self.batch_size, self.workers, self.seed = ratio, batch_size, workers, seed
        self.class_of_label, self.config = class_of_label, dict(config or {})

    def train_dataloader(self) -> DataLoader:
        """Batches of this process from the step at which the run stands; one epoch is the whole run."""
        shapes, trainer = _LabelledShapes(self.store, self.train, self.class_of_label), self.trainer
        batches = trainer.max_steps * trainer.accumulate_grad_batches
        return training_loader(shapes, self.batch_size, self.workers, self.seed, trainer, batches, collate_fn=collate)

    def test_dataloader(self) -> DataLoader:
        """All test shapes, in every process."""
        return DataLoader(
            _LabelledShapes(self.store, self.test, self.class_of_label),
            batch_size=self.batch_size,
            num_workers=self.workers,
            collate_fn=collate,
            pin_memory=self.trainer.strategy.root_device.type == "cuda",
        )

    val_dataloader = test_dataloader  # for curves during training, which trainer.limit_val_batches turns on

    def transfer_batch_to_device(self, batch: PointBatch, device: torch.device, dataloader_idx: int) -> PointBatch:
        """Copy a batch to the device, asynchronously from pinned memory."""
        return batch.to(device, non_blocking=True)


class _LabelledShapes(Dataset[Shape]):
    """Some shapes of a store, without patches, and with part labels as numbers of ``LabelledData.classes``."""

    def __init__(self, store: ShapeStore, indices: np.ndarray, class_of_label: np.ndarray | None):
        self.store, self.indices, self.class_of_label = store, indices, class_of_label

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, row: int) -> Shape:
        shape = replace(self.store[int(self.indices[row])], patches=None)
        if self.class_of_label is None:
            return replace(shape, labels=None)
        labels = self.class_of_label[shape.labels]
        if labels.min() < 0:
            category, part = self.store.classes[shape.category], self.store.parts[shape.labels[labels.argmin()]]
            raise InputError(
                f"{self.store.path}: {shape.id} is of category {category!r}, but a point has the part {part!r}; "
                "prepare the store again"
            )
        return replace(shape, labels=labels)


# --- model ---


@dataclass(frozen=True)
class Start:
    """What a training starts from.

    Args:
        protocol: "scratch" trains all layers from random weights; "ft" trains all layers, pretrained ones with a tenth
            of the learning rate; "lin" trains the head on a frozen backbone.
        method: name of the pretraining in the run record; "scratch" without one.
        network: the architecture of the backbone.
        weights: fingerprint of the pretrained weights; "" without any.
        pretraining: how the weights were pretrained; plain values.
    """

    protocol: str
    method: str
    network: MIDNetConfig
    weights: str = ""
    pretraining: Mapping[str, Any] = field(default_factory=dict)


def load_start(
    protocol: str, pretrained: Path | None, network: MIDNetConfig | None, method: str
) -> tuple[Start, MIDNet | None]:
    """Load the pretrained network, if the protocol needs one.

    Args:
        protocol: "scratch", "ft" or "lin".
        pretrained: checkpoint or exported folder, for "ft" and "lin".
        network: the architecture; None for that of the pretrained network. Head sizes, batch normalization and the
            initialization of new layers may differ from the pretrained network's.
        method: name of the pretraining in the run record; "" for what the checkpoint says.

    Raises:
        InputError: the options contradict each other, or the network cannot be loaded.
    """
    if protocol == "scratch":
        return Start(protocol, method or "scratch", network or MIDNetConfig()), None
    if pretrained is None:
        raise InputError(
            f"model.protocol {protocol}: needs a pretrained network; name its checkpoint by --model.pretrained, or "
            "choose --model.protocol scratch"
        )
    loaded = load_pretrained(pretrained)
    if network is not None and _backbone(network) != _backbone(loaded.config):
        raise InputError(
            f"{pretrained}: a network of {_backbone(loaded.config)}, but --model.network says {_backbone(network)}; "
            "leave --model.network out to use that of the checkpoint"
        )
    method = method or pretraining_method(loaded.pretraining)
    return Start(protocol, method, network or loaded.config, weights_digest(loaded), loaded.pretraining), loaded


def _backbone(config: MIDNetConfig) -> dict[str, Any]:
    """The options that decide the shapes and the meaning of pretrained weights."""
    free = ("shape_channels", "point_channels", "bn_momentum", "bn_eps", "init")
    return {name: value for name, value in asdict(config).items() if name not in free}


def sgd(network: nn.Module, new_layers: nn.Module, start: Start, schedule: Schedule, steps: int) -> dict[str, Any]:
    """SGD with two learning rates, divided by ten at the milestones.

    Args:
        network: all weights; those without gradients are left out.
        new_layers: the part of the network with the full learning rate; the rest has a tenth under "ft".
        start: its protocol decides on the learning rates.
        schedule: learning rate, milestones and weight decay.
        steps: length of the run.

    Returns:
        What Lightning's ``configure_optimizers`` returns.
    """
    new = {id(weight) for weight in new_layers.parameters()}
    trained = [weight for weight in network.parameters() if weight.requires_grad]
    rate = schedule.learning_rate
    groups = [
        {"params": [weight for weight in trained if id(weight) in new], "lr": rate},
        {
            "params": [weight for weight in trained if id(weight) not in new],
            "lr": rate if start.protocol == "scratch" else rate / 10,
        },
    ]
    groups = [group for group in groups if group["params"]]
    optimizer = torch.optim.SGD(groups, momentum=0.9, weight_decay=schedule.weight_decay)
    milestones = [round(fraction * steps) for fraction in schedule.milestones]
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones, gamma=0.1)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def training_config(
    start: Start, augmentation: RandomAffine, schedule: Schedule, data: LabelledData, trainer: pl.Trainer
) -> dict[str, Any]:
    """What decides the result besides seed and labels; plain values for the run record."""
    return {
        "weights": start.weights,
        "pretraining": dict(start.pretraining),
        "network": asdict(start.network),
        "augmentation": asdict(augmentation),
        "schedule": schedule.plain(),
        "steps": trainer.max_steps,
        "batch_size": data.batch_size * trainer.world_size * trainer.accumulate_grad_batches,
        "precision": str(trainer.precision),
        "gradient_clip_val": trainer.gradient_clip_val,
        **data.config,
    }


def save_resume_config(checkpoint: dict[str, Any], config: Mapping[str, Any], data: LabelledData) -> None:
    """Add to a checkpoint what a resumed run must share."""
    checkpoint[KEY] = _resume_config(config, data)


def check_resume(checkpoint: Mapping[str, Any], config: Mapping[str, Any], data: LabelledData) -> None:
    """Refuse to continue a run with other options.

    Raises:
        InputError: an option differs.
    """
    before = dict(checkpoint.get(KEY, {}))
    if "view" in before:  # the name in earlier versions
        before["augmentation"] = {**before.pop("view"), "uniform_scale": True}
    before["network"] = {**NETWORK, **before.get("network", {})}
    check_resume_config(data.trainer.ckpt_path, before, _resume_config(config, data))


def _resume_config(config: Mapping[str, Any], data: LabelledData) -> dict[str, Any]:
    return {**config, "store": data.store.digest, "ratio": data.ratio, "seed": data.seed}


# --- run ---


def set_max_steps(run: Run, schedule: Schedule) -> None:
    """Derive the number of steps from the label ratio, unless it is given.

    Raises:
        InputError: the given number is not positive.
    """
    steps = run.init.trainer.max_steps
    if steps == -1:
        steps = schedule.steps(run.init.data.ratio)
    if steps < 1:
        raise InputError(f"trainer.max_steps {steps}: must be at least 1; leave it out to use the schedule")
    run.options.trainer.max_steps = run.init.trainer.max_steps = steps


def train_and_test(run: Run, model: pl.LightningModule, data: LabelledData, start: Start) -> Mapping[str, torch.Tensor]:
    """Train for all steps, then test on all test shapes.

    Returns:
        The metrics that the model's test step logs.

    Raises:
        InputError: the training stopped early.
    """
    network = start.protocol if start.protocol == start.method else f"{start.method}, {start.protocol}"
    shapes = f"{len(data.train)} training shapes ({100 * data.ratio:g} % of the labels), {len(data.test)} test shapes"
    steps = f"{run.init.trainer.max_steps} steps"
    trainer = run.fit(model, data, f"{shapes} of {data.store.path}, {network}, {steps}")
    done, steps = trainer.global_step, trainer.max_steps
    if done < steps:
        raise InputError(f"stopped after {done} of {steps} steps, nothing is recorded; continue with --resume last")
    trainer.test(model, datamodule=data, verbose=False)
    return trainer.callback_metrics


def record(
    run: Run, data: LabelledData, start: Start, task: str, config: Mapping[str, Any], metrics: Mapping[str, float]
) -> None:
    """Append metrics to OUT/results.json and print what to do next.

    Args:
        run: a finished training.
        data: what it was trained and tested on.
        start: what it started from.
        task: name of the task in the run record.
        config: what decides the result besides seed and labels.
        metrics: values in [0, 1] by their names in the run record.
    """
    if not run.is_writer:
        return
    records = [
        Record(
            task=task,
            method=start.method,
            protocol=start.protocol,
            metric=metric,
            value=value,
            ratio=data.ratio,
            seed=run.seed,
            store=data.store.path.name,
            digest=data.store.digest,
            train_samples=len(data.train),
            test_samples=len(data.test),
            config=dict(config),
            seconds=round(run.seconds, 1),
            code=code_version(),
        )
        for metric, value in metrics.items()
    ]
    results = run.out / "results.json"
    append_records(results, records)
    run.finish(metrics, f"pcrq report {run.out}", results)

"""Training on labels, from a pretrained backbone or from nothing: what classification and segmentation share.

The numbers are those of O-CNN's scripts for ModelNet40 and ShapeNet Part (microsoft/O-CNN, tensorflow/script), which
tables 6 and 7 of the paper follow.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from torch import nn

from octree.augmentation import RandomAffine
from octree.midnet import MIDNet, MIDNetConfig
from octree.point_batch import PointBatch
from octree.pretrained import load_pretrained, pretraining_method
from pcrq.checkpoint import weights_digest
from pcrq.errors import InputError
from projects.training.records import check_resume_config
from projects.training.sampling import step_generator

KEY = "fine_tuning"
"""The entry of a checkpoint that marks it as one of these runs."""


@dataclass(frozen=True)
class View:
    """How training shapes are distorted; see octree.RandomAffine.

    Args:
        angle: rotation about y by up to so many degrees.
        shift: move every axis by up to this part of the diameter.
        scale: one factor for all axes in [1 - scale, 1 + scale].

    Raises:
        InputError: a number is out of range.
    """

    angle: int = 5
    shift: float = 0.125
    scale: float = 0.25

    def __post_init__(self) -> None:
        if not (0 <= self.angle <= 180 and 0 <= self.shift <= 1 and 0 <= self.scale < 1):
            raise InputError(
                f"angle {self.angle}, shift {self.shift}, scale {self.scale}: choose 0 to 180, 0 to 1, and 0 to below 1"
            )


@dataclass(frozen=True)
class Schedule:
    """Stochastic gradient descent with momentum 0.9, its length in proportion to the number of labels.

    Args:
        iterations: steps with all labels; with fewer, iterations · ratio · multiple.
        multiples: pairs (ratio, multiple), ascending: up to this ratio the steps are multiplied so.
        least_iterations: never fewer steps than this.
        learning_rate: of new layers, at the start.
        milestones: parts of the run after which the rate is divided by ten.
        weight_decay: on all weights.

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
            raise InputError(f"milestones {self.milestones}: parts of the run, so numbers above 0 and up to 1")
        if self.learning_rate <= 0 or self.weight_decay < 0:
            raise InputError(
                f"learning_rate {self.learning_rate}, weight_decay {self.weight_decay}: above 0, at least 0"
            )
        if sorted(self.multiples) != list(self.multiples) or any(multiple < 1 for _, multiple in self.multiples):
            raise InputError(
                f"multiples {self.multiples}: pairs of a ratio and a whole number, in the order of the ratios"
            )

    def steps(self, ratio: float) -> int:
        """Steps of a run that sees this part of the labels."""
        multiple = next((multiple for upper, multiple in self.multiples if ratio <= upper), 1)
        return max(self.least_iterations, math.floor(self.iterations * ratio * multiple + 1e-6))

    def plain(self) -> dict[str, Any]:
        """As plain values, equal before and after JSON."""
        return {**asdict(self), "multiples": [list(pair) for pair in self.multiples]}


class FineTuning(pl.LightningModule):
    """Train a network whose backbone is pretrained, or not, on labelled shapes.

    Args:
        protocol: "ft" trains everything, what is pretrained with a tenth of the learning rate; "lin" trains the head
            on a frozen backbone; "scratch" trains everything, nothing is pretrained.
        pretrained: checkpoint or exported folder of the pretrained network, for "ft" and "lin".
        method: what the results call the pretraining; empty for what the checkpoint says.
        network: the architecture; None for that of the pretrained network.
        view: how training shapes are distorted.
        schedule: how long and how fast to train.
        seed: draws every distortion.

    Raises:
        InputError: the options contradict each other, or the pretrained network cannot be loaded.
    """

    def __init__(
        self,
        protocol: Literal["ft", "lin", "scratch"] = "ft",
        pretrained: Path | None = None,
        method: str = "",
        network: MIDNetConfig | None = None,
        view: View = View(),
        schedule: Schedule = Schedule(),
        seed: int = 0,
    ):
        super().__init__()
        self.protocol, self.view, self.schedule, self.seed = protocol, view, schedule, seed
        self.pretrained = self._pretrained_network(pretrained, network)
        self.weights = weights_digest(self.pretrained) if self.pretrained else ""
        self.config = network or (self.pretrained.config if self.pretrained else MIDNetConfig())
        self.method = method or (pretraining_method(self.pretrained.pretraining) if self.pretrained else "scratch")

    def _pretrained_network(self, path: Path | None, network: MIDNetConfig | None) -> MIDNet | None:
        """The network to start from, kept out of this module's own parameters."""
        if self.protocol == "scratch":
            return None
        if path is None:
            raise InputError(
                f"protocol {self.protocol}: needs a pretrained network; name its checkpoint by --model.pretrained, or "
                "choose --model.protocol scratch"
            )
        pretrained = load_pretrained(path)
        if network is not None and _backbone(network) != _backbone(pretrained.config):
            raise InputError(
                f"{path}: a network of {_backbone(pretrained.config)}, but --model.network says {_backbone(network)}; "
                "leave --model.network out to take the checkpoint's"
            )
        return pretrained

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "pretrained":  # a module that is not to be trained, moved or saved with this one
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    # What the two tasks differ in.

    def make_network(self) -> nn.Module:
        """The network for the data that is known now, with ``backbone``, ``head`` and ``load_backbone(MIDNet)``."""
        raise NotImplementedError

    def new_layers(self) -> nn.Module:
        """The part of the network that trains with the full learning rate under "ft"."""
        raise NotImplementedError

    @property
    def head_only(self) -> bool:
        """Whether the backbone is frozen."""
        return self.protocol == "lin"

    # What they share.

    def setup(self, stage: str) -> None:
        """Make the network, now that the number of classes is known."""
        if hasattr(self, "network"):
            return
        self.network = self.make_network()
        if self.pretrained is not None:
            self.network.load_backbone(self.pretrained)
        if self.head_only:
            self.network.backbone.requires_grad_(False)

    def distort(self, batch: PointBatch) -> PointBatch:
        """Draw a view of every training shape."""
        augment = RandomAffine(self.view.angle, self.view.shift, self.view.scale, uniform_scale=True)
        return augment(batch, step_generator(self, self.seed))

    def configure_optimizers(self) -> dict:
        """SGD with two learning rates, divided by ten at the milestones."""
        options, steps = self.schedule, self.trainer.max_steps
        new = {id(weight) for weight in self.new_layers().parameters()}
        trained = [weight for weight in self.network.parameters() if weight.requires_grad]
        rate = options.learning_rate
        groups = [
            {"params": [weight for weight in trained if id(weight) in new], "lr": rate},
            {
                "params": [weight for weight in trained if id(weight) not in new],
                "lr": rate if self.protocol == "scratch" else rate / 10,
            },
        ]
        optimizer = torch.optim.SGD(
            [group for group in groups if group["params"]], momentum=0.9, weight_decay=options.weight_decay
        )
        milestones = [round(part * steps) for part in options.milestones]
        scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones, gamma=0.1)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        """Add what a resumed run must have in common."""
        checkpoint[KEY] = self._identity()

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        """Refuse to go on in another way."""
        check_resume_config(self.trainer.ckpt_path, checkpoint.get(KEY, {}), self._identity())

    def _identity(self) -> dict[str, Any]:
        """What a run and its continuation have in common, by the words of the options."""
        data = self.trainer.datamodule
        return {**self.common(), "store": data.store.digest, "ratio": data.ratio, "seed": self.seed}

    def common(self) -> dict[str, Any]:
        """What decides the result besides seed and labels, as plain values."""
        data, trainer = self.trainer.datamodule, self.trainer
        return {
            "weights": self.weights,
            "pretraining": self.pretrained.pretraining if self.pretrained else {},
            "network": asdict(self.config),
            "view": asdict(self.view),
            "schedule": self.schedule.plain(),
            "steps": trainer.max_steps,
            "batch_size": data.batch_size * trainer.world_size * trainer.accumulate_grad_batches,
            "precision": str(trainer.precision),
            "gradient_clip_val": trainer.gradient_clip_val,
        }


def _backbone(config: MIDNetConfig) -> dict[str, Any]:
    """The part of an architecture that is taken over."""
    return {name: value for name, value in asdict(config).items() if not name.endswith("_channels")}

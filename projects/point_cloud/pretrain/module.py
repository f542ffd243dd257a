"""Pretraining of a MID-Net, with or without randomized quantization of the coordinates."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from typing import Any

import lightning.pytorch as pl
import torch

from octree import pretrained as network_checkpoint
from octree.augmentation import Distortion, clip, quantize
from octree.mid_loss import MIDLoss, MIDLosses, MIDTarget
from octree.midnet import MIDFeatures, MIDNet, MIDNetConfig
from octree.point_batch import PointBatch
from pcrq.errors import InputError
from projects.training.records import check_resume_config
from projects.training.sampling import step_generator


@dataclass(frozen=True)
class Quantization:
    """Randomized quantization of the coordinates of a view.

    Args:
        bins: bins per axis; the paper uses 30 for point clouds. 0 switches quantization off (plain MID-Net).
        random_edges: draw the boundaries of the bins; else they are evenly spaced.
        random_values: draw the value of a bin; else it is the middle.
    """

    bins: int = 30
    random_edges: bool = True
    random_values: bool = True

    def __post_init__(self) -> None:
        if self.bins < 0:
            raise InputError(f"bins {self.bins}: choose a positive number, or 0 for no quantization")


@dataclass(frozen=True)
class Optimization:
    """Stochastic gradient descent with momentum 0.9.

    Args:
        learning_rate: at the start.
        milestones: epochs after which the rate is divided by ten.
        weight_decay: on all weights.
    """

    learning_rate: float = 0.03
    milestones: list[int] = field(default_factory=lambda: [200, 300])
    weight_decay: float = 5e-4


class MIDPretraining(pl.LightningModule):
    """Multiresolution instance discrimination on randomly quantized shapes.

    Args:
        network: the architecture.
        quantization: how a view is quantized.
        optimization: how the network is trained.
        seed: draws every augmentation; a step's draw depends on the seed, the step and the process alone.
    """

    def __init__(
        self,
        network: MIDNetConfig = MIDNetConfig(),  # noqa: B008 (frozen)
        quantization: Quantization = Quantization(),
        optimization: Optimization = Optimization(),
        seed: int = 0,
    ):
        super().__init__()
        self.quantization, self.optimization, self.seed = quantization, optimization, seed
        self.network = MIDNet(network)
        self._pending: list[tuple[MIDFeatures, MIDTarget]] = []

    def setup(self, stage: str) -> None:
        """Make the memory banks, now that the data is known."""
        data, config = self.trainer.datamodule, self.network.config
        self.loss = MIDLoss(len(data.indices), data.patches, config.shape_channels, config.point_channels)
        # The banks are kept equal by their own update; broadcasting them before every step would cost gigabytes.
        self._ddp_params_and_buffers_to_ignore = [f"loss.{name}" for name, _ in self.loss.named_buffers()]

    def view(self, batch: PointBatch, generator: torch.Generator) -> PointBatch:
        """Draw a view of every shape: distort, clip, quantize."""
        distortion = Distortion.sample(batch.batch_size, device=batch.points.device, generator=generator)
        batch = clip(distortion(batch))
        options = self.quantization
        if options.bins == 0:
            return batch
        return quantize(
            batch,
            options.bins,
            generator,
            random_edges=options.random_edges,
            random_values=options.random_values,
        )

    def training_step(self, batch: PointBatch, batch_idx: int) -> torch.Tensor:
        """One view of every shape against both memory banks."""
        batch = self.view(batch, step_generator(self, self.seed))
        octree, leaf_of_point = self.network.octree(batch)
        features, target = self.network(octree), MIDTarget.of(batch, octree, leaf_of_point)
        losses = self.loss(features, target)
        self._pending.append((MIDFeatures(features.shape.detach(), features.point.detach()), target))
        self._log_step(losses, octree, batch.batch_size)
        return losses.total

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, then bring the memory banks up to date with the features of the step."""
        super().optimizer_step(*args, **kwargs)
        for features, target in self._pending:
            self.loss.update(features, target)
        self._pending.clear()

    def configure_optimizers(self) -> dict:
        """SGD, divided by ten at the milestones."""
        options = self.optimization
        optimizer = torch.optim.SGD(
            self.network.parameters(), options.learning_rate, momentum=0.9, weight_decay=options.weight_decay
        )
        scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, options.milestones, gamma=0.1)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "epoch"}}

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        """Add what rebuilds the network without this class, and what a resumed run must have in common."""
        checkpoint[network_checkpoint.KEY] = network_checkpoint.describe(self.network, self._pretraining())
        checkpoint["resume"] = self._common()

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        """Refuse to go on with another network, other shapes (rows of the banks) or another order of them."""
        check_resume_config(self.trainer.ckpt_path, checkpoint.get("resume", {}), self._common())

    def _pretraining(self) -> dict[str, Any]:
        """How the network was pretrained up to now; it goes with the network wherever that goes."""
        data = self.trainer.datamodule
        return {
            **asdict(self.quantization),
            "epochs": self.current_epoch + 1,
            "store": data.store.path.name,
            "shapes": len(data.indices),
            "seed": self.seed,
        }

    def _common(self) -> dict[str, Any]:
        """What a run and its continuation have in common, by the words of the options."""
        data = self.trainer.datamodule
        return {
            "network": self.network.hyper_parameters(),
            "seed": self.seed,
            "store": data.store.digest,
            "split": hashlib.sha256(data.indices.tobytes()).hexdigest(),
            "batch_size": data.batch_size,
            "number of devices": self.trainer.world_size,
        }

    def _log_step(self, losses: MIDLosses, octree, batch_size: int) -> None:
        values = {
            "loss": losses.total,
            "shape_loss": losses.shape_loss,
            "point_loss": losses.point_loss,
            "shape_accuracy": losses.shape_accuracy,
            "point_accuracy": losses.point_accuracy,
        }
        self.log_dict(values, prog_bar=True, batch_size=batch_size)
        # Counts of non-empty nodes per shape: what quantization saves.
        nodes = octree.nnum_nempty / batch_size
        self.log_dict({f"nodes_depth_{d}": nodes[d].float() for d in range(3, octree.depth + 1)}, batch_size=batch_size)

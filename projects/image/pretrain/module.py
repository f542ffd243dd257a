"""Pretraining of an encoder by MoCo v3 or BYOL, from views that are quantized on the device."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import lightning.pytorch as pl
import torch

from pcrq.errors import InputError
from pcrq.ssl import (
    BYOL,
    LARS,
    Baseline,
    MoCoV3,
    SiameseFramework,
    cosine_momentum,
    scaled_learning_rate,
    warmup_cosine,
)
from projects.image import encoder_checkpoint
from projects.image.encoder import Encoder, feature_size
from projects.image.views import ViewsOnDevice
from projects.training.records import check_resume_config
from projects.training.sampling import common_generator, step_generator

FRAMEWORKS = {"mocov3": "MoCo v3", "byol": "BYOL"}


@dataclass(frozen=True)
class Heads:
    """Projector and predictor.

    Args:
        hidden: width of their hidden layers.
        out: size of projections and predictions.
        temperature: of MoCo v3's softmax over keys.

    Raises:
        InputError: a size is not positive.
    """

    hidden: int = 4096
    out: int = 256
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.hidden < 1 or self.out < 1:
            raise InputError(f"heads: hidden {self.hidden}, out {self.out}; choose at least 1")


@dataclass(frozen=True)
class Optimization:
    """LARS with warm-up and cosine decay, as MoCo v3 trains ResNets; 1-D parameters are neither decayed nor scaled.

    Args:
        learning_rate: for 256 images a step; the rate is in proportion to the joint batch.
        weight_decay: of weights.
        warmup_epochs: the rate grows for so long.
        momentum: of the target network at the start; it grows to 1 by a cosine.

    Raises:
        InputError: a number is out of range.
    """

    learning_rate: float = 0.6
    weight_decay: float = 1e-6
    warmup_epochs: int = 10
    momentum: float = 0.99

    def __post_init__(self) -> None:
        if self.learning_rate <= 0 or self.weight_decay < 0 or self.warmup_epochs < 0:
            raise InputError(
                f"optimization: learning_rate {self.learning_rate}, weight_decay {self.weight_decay}, warmup_epochs "
                f"{self.warmup_epochs}; choose above 0, at least 0 and at least 0"
            )
        if not 0 <= self.momentum <= 1:
            raise InputError(f"optimization: momentum {self.momentum}; choose one in [0, 1]")


class SiamesePretraining(pl.LightningModule):
    """Two views of an image predict each other.

    Both networks see the same two views. The authors' code draws new quantizers for the target network; as a loss
    compares only *different* views of the two networks, each pair that it compares is drawn alike in both ways.

    Args:
        framework: "mocov3" or "byol".
        encoder: the architecture.
        heads: of the framework.
        baseline: another way to make the loss of two views, with which the paper compares: DACL, IMix, SSQL, or MSF.
        optimization: how the network is trained.
        seed: draws every quantizer; a step's draw depends on the seed, the step and the process alone.
    """

    def __init__(
        self,
        framework: Literal["mocov3", "byol"] = "mocov3",
        encoder: Encoder = Encoder(),  # noqa: B008 (frozen)
        heads: Heads = Heads(),
        baseline: Baseline | None = None,
        optimization: Optimization = Optimization(),
        seed: int = 0,
    ):
        super().__init__()
        self.framework_name, self.encoder, self.heads = framework, encoder, heads
        self.optimization, self.seed = optimization, seed
        self.baseline = baseline
        if baseline is not None:  # equal in all processes; DDP would send the memory of MSF before every step
            self._ddp_params_and_buffers_to_ignore = [f"baseline.{name}" for name, _ in baseline.named_buffers()]

    def setup(self, stage: str) -> None:
        """Make the networks for the images that are known now."""
        if hasattr(self, "framework"):
            return
        data, heads = self.trainer.datamodule, self.heads
        network = self.encoder.build()
        features = feature_size(network, data.size)
        if self.framework_name == "mocov3":
            framework: SiameseFramework = MoCoV3(network, features, heads.hidden, heads.out, heads.temperature)
        else:
            framework = BYOL(network, features, heads.hidden, heads.out)
        self.framework = framework.to(memory_format=torch.channels_last)
        self.views = ViewsOnDevice(data.augmentation, data.source.mean, data.source.std)

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        """The loss of two views of every image."""
        generator = step_generator(self, self.seed)
        torch.manual_seed(generator.initial_seed() + 1)  # for dropout of encoders, so that they resume exactly, too
        first, second = (view.contiguous(memory_format=torch.channels_last) for view in self.views(batch[0], generator))
        if self.baseline is None:
            loss = self.framework(first, second)
        else:
            loss = self.baseline(self.framework, first, second, generator, common_generator(self, self.seed))
        self.log("loss", loss, prog_bar=True, batch_size=len(first))
        return loss

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, then let the target network follow with the momentum of the next step."""
        super().optimizer_step(*args, **kwargs)
        step = self.trainer.global_step + 1
        self.framework.update_target(cosine_momentum(step, self._steps, self.optimization.momentum))

    def configure_optimizers(self) -> dict:
        """LARS; the rate changes with every step."""
        options, trainer = self.optimization, self.trainer
        if trainer.max_epochs < 1:
            raise InputError("trainer.max_epochs: name it, as learning rate and momentum follow a cosine up to the end")
        if options.warmup_epochs >= trainer.max_epochs:
            raise InputError(
                f"model.optimization.warmup_epochs {options.warmup_epochs}: as long as the training of "
                f"trainer.max_epochs {trainer.max_epochs}; warm up for fewer"
            )
        self._steps = steps = trainer.max_epochs * self._steps_per_epoch
        trained = [weight for weight in self.framework.parameters() if weight.requires_grad]
        rate = scaled_learning_rate(options.learning_rate, self.joint_batch)
        optimizer = LARS(trained, rate, options.weight_decay)
        warmup = options.warmup_epochs * self._steps_per_epoch
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warmup_cosine(step, steps, warmup))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    @property
    def joint_batch(self) -> int:
        """Images of an optimiser's step, over all processes."""
        trainer = self.trainer
        return trainer.datamodule.batch_size * trainer.world_size * trainer.accumulate_grad_batches

    @property
    def _steps_per_epoch(self) -> int:
        # Lightning steps with what is left at an epoch's end
        return -(-self.trainer.datamodule.batches // self.trainer.accumulate_grad_batches)

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        """Add what rebuilds the encoder without this class, and what a resumed run must have in common."""
        source = self.trainer.datamodule.source
        checkpoint[encoder_checkpoint.KEY] = encoder_checkpoint.describe(
            self.encoder, source.mean, source.std, self.pretraining()
        )
        checkpoint["resume"] = self._common()

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        """Refuse to go on with another network, other images, or in another way."""
        check_resume_config(self.trainer.ckpt_path, checkpoint.get("resume", {}), self._common())
        for name in list(checkpoint["state_dict"]):  # older checkpoints have the baseline inside the framework
            for old in ("framework.baseline.", "framework.rival."):
                if name.startswith(old):
                    checkpoint["state_dict"]["baseline." + name.removeprefix(old)] = checkpoint["state_dict"].pop(name)

    def pretraining(self) -> dict[str, Any]:
        """How the encoder was pretrained up to now; it goes with the encoder wherever that goes."""
        data, baseline = self.trainer.datamodule, self.baseline
        return {
            "framework": FRAMEWORKS[self.framework_name],
            "augmentation": asdict(data.augmentation),
            "baseline": "" if baseline is None else baseline.name,
            **({} if baseline is None else {"baseline_options": baseline.options}),
            "epochs": min(self.trainer.current_epoch + 1, self.trainer.max_epochs),
            "source": data.source.name,
            "images": len(data.source),
            "size": data.size,
            "batch_size": self.joint_batch,
            "heads": asdict(self.heads),
            "optimization": asdict(self.optimization),
            "seed": self.seed,
        }

    def _common(self) -> dict[str, Any]:
        """What a run and its continuation have in common, by the words of the options."""
        pretraining = self.pretraining()
        del pretraining["epochs"], pretraining["images"], pretraining["source"]
        return {
            **pretraining,
            "encoder": asdict(self.encoder),
            "max_epochs": self.trainer.max_epochs,
            "accumulate_grad_batches": self.trainer.accumulate_grad_batches,
            "precision": str(self.trainer.precision),
            "images": self.trainer.datamodule.source.digest,
            "number of devices": self.trainer.world_size,
        }

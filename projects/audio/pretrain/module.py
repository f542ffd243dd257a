"""BYOL-A: two views of a second of sound predict each other.

Source: Niizumi et al., BYOL for Audio, IJCNN 2021; nttcslab/byol-a, train.py and config.yaml; section 5.3.
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from pcrq.errors import InputError
from pcrq.ssl import BYOL
from projects.audio import encoder_checkpoint
from projects.audio.augmentation import Augmentation
from projects.audio.log_mel import LogMel
from projects.audio.normalization import LogMelStatistics
from projects.audio.ntt import AudioNTT2020
from projects.audio.store_waveforms import waveform_statistics
from projects.audio.views import AudioViews
from projects.training.records import check_resume_config
from projects.training.sampling import step_generator

_log = logging.getLogger(__name__)


class BYOLA(pl.LightningModule):
    """BYOL around AudioNTT2020, by Adam at a constant rate, the target network at a constant momentum.

    Spectrograms and views are made on the device for the whole batch. They are normalised by the statistics of one
    random segment of every sound (of 10,000 where there are more), measured before the first step or brought by the
    checkpoint that a run goes on from.

    With several processes, each keeps a memory of mixup of its own (see
    :class:`~projects.audio.mixup.MixupMemory`).

    Args:
        augmentation: how the two views of a segment are made.
        dimension: of the embeddings.
        channels: of the encoder's convolutions.
        hidden: width of the hidden layers of projector and predictor.
        out: size of projections and predictions.
        learning_rate: of Adam.
        momentum: of the target network.
        seed: draws views and dropout; a step's draw depends on the seed, the step and the process alone. Weights are
            drawn here by torch's global generator, which the command line seeds with the same number before.

    Raises:
        InputError: a number is out of range.
    """

    def __init__(
        self,
        augmentation: Augmentation = Augmentation(),  # noqa: B008 (frozen)
        dimension: int = 2048,
        channels: int = 64,
        hidden: int = 4096,
        out: int = 256,
        learning_rate: float = 3e-4,
        momentum: float = 0.99,
        seed: int = 0,
    ):
        super().__init__()
        if hidden < 1 or out < 1:
            raise InputError(f"hidden {hidden}, out {out}: choose at least 1")
        if not learning_rate > 0 or not 0 <= momentum <= 1:
            raise InputError(f"learning_rate {learning_rate}, momentum {momentum}: choose above 0, and in [0, 1]")
        self.augmentation, self.learning_rate, self.momentum, self.seed = augmentation, learning_rate, momentum, seed
        self.hidden, self.out = hidden, out
        network = BYOL(AudioNTT2020(dimension, channels=channels), dimension, hidden, out)
        self.framework = network.to(memory_format=torch.channels_last)  # 1.7 times as fast on CPUs
        self.log_mel = LogMel()
        self.views = AudioViews(augmentation, None)
        own = [name for name, _ in self.named_buffers() if name.startswith(("views.", "log_mel."))]
        self._ddp_params_and_buffers_to_ignore = own  # DDP would send 50 MB of mixup around before every step

    def on_fit_start(self) -> None:
        """Measure the sounds, where no checkpoint told what is known of them."""
        if self.statistics is not None:
            return
        data = self.trainer.datamodule
        statistics = waveform_statistics(data.samples, self.device, data.workers)
        if self.trainer.is_global_zero:
            _log.info("log-mel spectrograms: mean %.3f, deviation %.3f", statistics.mean, statistics.std)
        self.views.pre_normalize.statistics = statistics

    @property
    def encoder(self) -> AudioNTT2020:
        """The network that is trained."""
        return self.framework.encoder

    @property
    def statistics(self) -> LogMelStatistics | None:
        """What spectrograms are normalised by; None before it is known."""
        return self.views.pre_normalize.statistics

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        """The loss of two views of every segment.

        Args:
            batch: (B, 15200) float32 waveforms.
        """
        generator = step_generator(self, self.seed)
        torch.manual_seed(generator.initial_seed() + 1)  # for dropout, so that a run resumes exactly
        first, second = self.views(self.log_mel(batch), generator)
        loss = self.framework(first, second)
        self.log("loss", loss, prog_bar=True, batch_size=len(batch))
        return loss

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, then let the target network follow."""
        super().optimizer_step(*args, **kwargs)
        self.framework.update_target(self.momentum)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam; the rate does not change."""
        if self.trainer.max_epochs < 1:
            raise InputError("trainer.max_epochs: name it, as results belong to a training that has an end")
        trained = [weight for weight in self.framework.parameters() if weight.requires_grad]
        return torch.optim.Adam(trained, self.learning_rate)

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        """Add what rebuilds the encoder without this class, and what a resumed run must have in common."""
        checkpoint[encoder_checkpoint.KEY] = encoder_checkpoint.describe(
            self.encoder, self.statistics, self.pretraining()
        )
        checkpoint["resume"] = self._common()

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        """Refuse to go on with other sounds or in another way; take the statistics, whoever measured them."""
        check_resume_config(self.trainer.ckpt_path, checkpoint.get("resume", {}), self._common())
        self.views.pre_normalize.statistics = LogMelStatistics(**checkpoint[encoder_checkpoint.KEY]["statistics"])

    def pretraining(self) -> dict[str, Any]:
        """How the encoder was pretrained up to now; it goes with the encoder wherever that goes."""
        trainer, data = self.trainer, self.trainer.datamodule
        epochs = trainer.current_epoch + 1
        return {
            "framework": "BYOL-A",
            "augmentation": asdict(self.augmentation),
            "epochs": min(epochs, trainer.max_epochs) if trainer.max_epochs > 0 else epochs,
            "store": data.store.path.name,
            "sounds": len(data.indices),
            "batch_size": data.batch_size * trainer.world_size * trainer.accumulate_grad_batches,
            "hidden": self.hidden,
            "out": self.out,
            "learning_rate": self.learning_rate,
            "momentum": self.momentum,
            "seed": self.seed,
        }

    def _common(self) -> dict[str, Any]:
        """What a run and its continuation have in common, by the words of the options."""
        trainer, data, pretraining = self.trainer, self.trainer.datamodule, self.pretraining()
        del pretraining["epochs"], pretraining["sounds"]
        return {
            **pretraining,
            **self.encoder.sizes,
            "accumulate_grad_batches": trainer.accumulate_grad_batches,
            "precision": str(trainer.precision),
            "store": data.store.digest,
            "split": data.split,
            "number of devices": trainer.world_size,
        }

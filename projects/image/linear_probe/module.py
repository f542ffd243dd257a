"""A linear classifier on a frozen encoder.

Source: facebookresearch/moco-v3, main_lincls.py, which the paper follows (section 4).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pcrq.errors import InputError
from pcrq.ssl import scaled_learning_rate
from projects.image.augmentation import Augmentation
from projects.image.encoder import Encoder, feature_size
from projects.image.encoder_checkpoint import LoadedEncoder, load_encoder
from projects.image.records import method_name
from projects.image.views import ViewsOnDevice
from projects.training.records import check_resume_config

KEY = "linear_probe"
"""The entry of a checkpoint that marks it as one of these runs."""


@dataclass(frozen=True)
class Pretraining:
    """What a published checkpoint does not say of itself, for the report; see projects/image/README.md.

    Args:
        framework: as the report calls it.
        augmentation: how its views were made.
        epochs: of its pretraining.

    Raises:
        InputError: there were no epochs.
    """

    framework: Literal["MoCo v3", "BYOL"] = "MoCo v3"
    augmentation: Augmentation = field(default_factory=Augmentation)
    epochs: int = 100

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise InputError(f"pretraining.epochs {self.epochs}: choose at least 1")


class LinearProbe(pl.LightningModule):
    """One linear layer, trained by stochastic gradient descent with momentum 0.9 and a cosine over epochs.

    The encoder is in evaluation mode, gets no gradient and is not saved again.

    Args:
        checkpoint: of projects.image.pretrain, or a published one of moco-v3 or random_quantize; none to probe an
            untrained encoder.
        encoder: its architecture, where the checkpoint does not tell it, or none is given.
        pretraining: how it was pretrained, where the checkpoint does not tell it.
        method: what the results call it; empty for what the checkpoint says.
        learning_rate: for 256 images a step; the rate is in proportion to the joint batch.
        seed: draws the weights, the order of the images and the crops.

    Raises:
        InputError: the encoder cannot be loaded, or an option is out of range.
    """

    def __init__(
        self,
        checkpoint: Path | None = None,
        encoder: Encoder | None = None,
        pretraining: Pretraining | None = None,
        method: str = "",
        learning_rate: float = 0.1,
        seed: int = 0,
    ):
        super().__init__()
        if learning_rate <= 0:
            raise InputError(f"learning_rate {learning_rate}: choose a positive number")
        self.learning_rate, self.seed = learning_rate, seed
        self._frozen = [_load(checkpoint, encoder)]  # in a list: not a part of this module, so not saved or trained
        if pretraining is not None:
            if checkpoint is None:
                raise InputError("model.pretraining: tells of a checkpoint; name it by --model.checkpoint")
            if self.loaded.pretraining:
                raise InputError(f"{checkpoint}: tells itself how it was pretrained; leave model.pretraining out")
            self.loaded.pretraining = {**asdict(pretraining), "baseline": ""}
        self.method = method or method_name(self.loaded.pretraining)
        if not method and checkpoint is not None and not self.loaded.pretraining:
            raise InputError(
                f"{checkpoint}: does not tell how it was pretrained; name it by --model.method, or give "
                "--model.pretraining"
            )

    @property
    def loaded(self) -> LoadedEncoder:
        """The encoder and what is known of it."""
        return self._frozen[0]

    def setup(self, stage: str) -> None:
        """Make the layer for the classes that are known now."""
        if hasattr(self, "layer"):
            return
        data = self.trainer.datamodule
        features = feature_size(self.loaded.network, data.size)
        self.layer = nn.Linear(features, len(data.classes))
        nn.init.normal_(self.layer.weight, std=0.01, generator=torch.Generator().manual_seed(self.seed))
        nn.init.zeros_(self.layer.bias)
        self.normalise = ViewsOnDevice(Augmentation(bins=0), self.loaded.mean, self.loaded.std)
        self.loaded.network.requires_grad_(False).eval().to(memory_format=torch.channels_last)

    def on_fit_start(self) -> None:
        """Bring the encoder to the device of the layer."""
        self.loaded.network.to(self.device)

    on_test_start = on_fit_start

    def forward(self, views: Tensor) -> Tensor:
        """(B, 1, 3, H, W) uint8 -> (B, classes) logits."""
        (images,) = self.normalise(views)
        with torch.no_grad():
            features = self.loaded.network(images.contiguous(memory_format=torch.channels_last))
        return self.layer(features)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        """Cross entropy."""
        logits, labels = self(batch[0]), batch[1]
        loss = F.cross_entropy(logits, labels)
        accuracy = (logits.argmax(dim=1) == labels).float().mean()
        self.log_dict({"loss": loss, "accuracy": accuracy}, prog_bar=True, batch_size=len(labels))
        return loss

    def on_test_epoch_start(self) -> None:
        """Begin to collect."""
        self._hits: list[Tensor] = []

    def test_step(self, batch: list[Tensor], batch_idx: int) -> None:
        """Whether the true class is the first, …, the fifth that comes to mind."""
        logits, labels = self(batch[0]), batch[1]
        likely = logits.topk(min(5, logits.shape[1]), dim=1).indices
        self._hits.append(likely == labels.unsqueeze(1))

    def on_test_epoch_end(self) -> None:
        """Accuracies over all processes, without the images that could not be read."""
        data = self.trainer.datamodule
        indices = torch.tensor(data.test_indices())
        readable = ~data.test_views.unreadable[indices].to(self.device)
        hits = torch.cat(self._hits)
        if len(hits) < len(indices):
            raise InputError("trainer.limit_test_batches: the accuracy is that of all test images; leave it out")
        hits = hits[readable]
        counts = torch.stack([hits[:, 0].sum(), hits.sum(), readable.sum()])
        top1, top5, images = self.trainer.strategy.reduce(counts, reduce_op="sum").tolist()
        if images == 0:
            raise InputError(f"{data.test.name}: none of the test images can be read")
        self.measured = {"accuracy": top1 / images}
        if len(data.classes) > 5:
            self.measured["top-5 accuracy"] = top5 / images

    def configure_optimizers(self) -> dict:
        """SGD; the rate changes from epoch to epoch."""
        data, trainer = self.trainer.datamodule, self.trainer
        batch = data.batch_size * trainer.world_size * trainer.accumulate_grad_batches
        rate, epochs = scaled_learning_rate(self.learning_rate, batch), trainer.max_epochs
        if epochs < 1:
            raise InputError("trainer.max_epochs: name it, as the learning rate follows a cosine up to the end")
        optimizer = torch.optim.SGD(self.layer.parameters(), rate, momentum=0.9, weight_decay=0)
        cosine = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda epoch: (1 + math.cos(math.pi * min(epoch / epochs, 1))) / 2
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cosine, "interval": "epoch"}}

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        """Add what a resumed run must have in common."""
        checkpoint[KEY] = self._identity()

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        """Refuse to go on in another way."""
        check_resume_config(self.trainer.ckpt_path, checkpoint.get(KEY, {}), self._identity())

    def common(self) -> dict[str, Any]:
        """What decides the result besides seed and images, as plain values."""
        data, trainer = self.trainer.datamodule, self.trainer
        return {
            "pretraining": self.loaded.pretraining,
            "encoder": asdict(self.loaded.encoder),
            "weights": self._weights,
            "size": data.size,
            "smallest_crop": data.smallest_crop,
            "batch_size": data.batch_size * trainer.world_size * trainer.accumulate_grad_batches,
            "learning_rate": self.learning_rate,
            "epochs": trainer.max_epochs,
            "precision": str(trainer.precision),
        }

    @property
    def _weights(self) -> str:
        if not hasattr(self, "_digest"):
            self._digest = self.loaded.digest
        return self._digest

    def _identity(self) -> dict[str, Any]:
        """What a run and its continuation have in common, by the words of the options."""
        data = self.trainer.datamodule
        return {**self.common(), "seed": self.seed, "images": data.train.digest, "test images": data.test.digest}


def _load(checkpoint: Path | None, encoder: Encoder | None) -> LoadedEncoder:
    if checkpoint is not None:
        return load_encoder(checkpoint, encoder)
    if encoder is None:
        raise InputError("nothing to probe: name a --model.checkpoint, or an untrained --model.encoder")
    return LoadedEncoder(encoder.build().eval(), encoder)

"""Evaluate a frozen image encoder by a linear classifier.

One linear layer is trained on the labeled training images and tested once, after the last epoch
(facebookresearch/moco-v3, main_lincls.py, which the paper follows in section 4; moco-v3 itself reports the best epoch).
The options are explained in projects/image/README.md.
"""

from __future__ import annotations

import math
import shlex
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from jsonargparse import ArgumentParser
from torch import Tensor, nn
from torch.utils.data import DataLoader

from pcrq import InputError
from pcrq.ssl import scaled_learning_rate
from projects.image.augmentation import (
    Augmentation,
    AugmentedImages,
    QuantizeAndNormalize,
    evaluation_transform,
    probe_train_transform,
)
from projects.image.encoder import Encoder, LoadedEncoder, feature_size, load_encoder
from projects.image.evaluation import method_name, record_evaluation
from projects.image.sources import open_source
from projects.training.records import check_resume_config, upgraded_pretraining
from projects.training.run import Program, Run
from projects.training.sampling import training_loader

KEY = "linear_probe"
"""An entry that only checkpoints of this program contain."""

# --- options ---


@dataclass(frozen=True)
class Pretraining:
    """How a published checkpoint was pretrained, for the report.

    Args:
        framework: the report's name of it.
        augmentation: the augmentation of its views.
        epochs: epochs of the pretraining.

    Raises:
        InputError: ``epochs`` is not positive.
    """

    framework: Literal["MoCo v3", "BYOL"] = "MoCo v3"
    augmentation: Augmentation = field(default_factory=Augmentation)
    epochs: int = 100

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise InputError(f"model.pretraining.epochs {self.epochs}: must be at least 1")


# --- data ---


class LabeledImages(pl.LightningDataModule):
    """Labeled images of one source: random crops and flips for training, center crops for testing.

    Args:
        source: "builtin", "folder", or a dataset of torchvision such as "CIFAR10" or "STL10".
        root: folder of the images; not for "builtin".
        download: download a dataset of torchvision if it is missing.
        test_every: for a folder CLASS/* without splits: every such image of each class, in the order of names, is a
            test image; 0 for sources with splits.
        size: height and width in pixels.
        smallest_crop: smallest part of the area of a training crop, in (0, 1]; 0.08 on ImageNet, more if the objects
            fill the images.
        batch_size: images per process and step.
        workers: processes that decode and crop images; 0 does it in the training process.
        seed: random seed of the order of the images, and of the crops.

    Raises:
        InputError: the images cannot be used, or an option is out of range.
    """

    def __init__(
        self,
        source: str = "builtin",
        root: Path | None = None,
        download: bool = False,
        test_every: int = 0,
        size: int = 224,
        smallest_crop: float = 0.08,
        batch_size: int = 1024,
        workers: int = 2,
        seed: int = 0,
    ):
        super().__init__()
        if batch_size < 1 or workers < 0 or size < 8:
            raise InputError(
                f"data.batch_size {batch_size}, data.workers {workers}, data.size {size}: at least 1, 0 and 8"
            )
        if not 0 < smallest_crop <= 1:
            raise InputError(f"data.smallest_crop {smallest_crop}: must be above 0 and at most 1")
        self.train = open_source(source, "train", root, download=download, test_every=test_every)
        self.test = open_source(source, "test", root, download=download, test_every=test_every)
        self.size, self.smallest_crop = size, smallest_crop
        self.batch_size, self.workers, self.seed = batch_size, workers, seed
        self.train_views = AugmentedImages(self.train, [probe_train_transform(size, smallest_crop)], seed)
        self.test_views = AugmentedImages(self.test, [evaluation_transform(size)])

    def test_indices(self) -> range:
        """The test images of this process."""
        return range(self.trainer.global_rank, len(self.test), self.trainer.world_size)

    def train_dataloader(self) -> DataLoader:
        """Batches of this process, from the batch at which the run stands; an epoch contains every image."""
        return training_loader(
            self.train_views, self.batch_size, self.workers, self.seed, self.trainer, with_epoch=True
        )

    def test_dataloader(self) -> DataLoader:
        """Every test image in exactly one of the processes.

        Raises:
            InputError: there are fewer test images than processes.
        """
        if len(self.test) < self.trainer.world_size:
            raise InputError(f"{self.test.name}: fewer test images than processes ({self.trainer.world_size})")
        return DataLoader(
            self.test_views,
            batch_size=self.batch_size,
            sampler=self.test_indices(),
            num_workers=self.workers,
            pin_memory=self.trainer.strategy.root_device.type == "cuda",
        )


# --- model ---


class LinearProbe(pl.LightningModule):
    """A linear layer on the features of a frozen encoder, trained by SGD with momentum 0.9.

    The encoder is in evaluation mode, has no gradient, and is left out of checkpoints.

    Args:
        data: the images.
        checkpoint: checkpoint of the encoder, by 'pcrq pretrain images', moco-v3 or random_quantize; null for an
            untrained encoder.
        encoder: architecture of the encoder, if the checkpoint does not describe it, or without a checkpoint.
        pretraining: pretraining of the encoder, if the checkpoint does not describe it.
        method: name of the method in the results; by default that of the checkpoint's pretraining.
        learning_rate: for 256 images per step; scaled linearly with the joint batch of all devices.
        seed: random seed of the initial weights.

    Raises:
        InputError: the encoder cannot be loaded, or an option is out of range.
    """

    strict_loading = False  # checkpoints do not contain the encoder

    def __init__(
        self,
        data: LabeledImages,
        checkpoint: Path | None = None,
        encoder: Encoder | None = None,
        pretraining: Pretraining | None = None,
        method: str = "",
        learning_rate: float = 0.1,
        seed: int = 0,
    ):
        super().__init__()
        if learning_rate <= 0:
            raise InputError(f"model.learning_rate {learning_rate}: must be above 0")
        self.data, self.learning_rate, self.seed = data, learning_rate, seed
        self.loaded = loaded = _load(checkpoint, encoder)
        if pretraining is not None:
            if checkpoint is None:
                raise InputError("model.pretraining: describes a checkpoint; name it by --model.checkpoint")
            if loaded.pretraining:
                raise InputError(f"{checkpoint}: describes its pretraining itself; leave model.pretraining out")
            loaded.pretraining = {**asdict(pretraining), "baseline": ""}
        if not method and checkpoint is not None and not loaded.pretraining:
            raise InputError(
                f"{checkpoint}: does not describe its pretraining; set --model.pretraining or --model.method NAME"
            )
        self.method = method or method_name(loaded.pretraining)
        self.weights_digest = loaded.digest

        self.normalize = QuantizeAndNormalize(Augmentation(bins=None), loaded.mean, loaded.std)
        features = feature_size(loaded.network, data.size)
        self.encoder = loaded.network.requires_grad_(False).eval().to(memory_format=torch.channels_last)
        self.layer = nn.Linear(features, len(data.train.classes))
        nn.init.normal_(self.layer.weight, std=0.01, generator=torch.Generator().manual_seed(seed))
        nn.init.zeros_(self.layer.bias)

    def forward(self, views: Tensor) -> Tensor:
        """(B, 1, 3, H, W) uint8 -> (B, classes) logits."""
        (images,) = self.normalize(views)
        with torch.no_grad():
            features = self.encoder(images.contiguous(memory_format=torch.channels_last))
        return self.layer(features)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        """Cross-entropy."""
        logits, labels = self(batch[0]), batch[1]
        loss = F.cross_entropy(logits, labels)
        accuracy = (logits.argmax(dim=1) == labels).float().mean()
        self.log_dict({"loss": loss, "accuracy": accuracy}, prog_bar=True, batch_size=len(labels))
        return loss

    def on_test_epoch_start(self) -> None:
        """Reset the collected predictions."""
        self._hits: list[Tensor] = []

    def test_step(self, batch: list[Tensor], batch_idx: int) -> None:
        """Collect whether each of the five most probable classes is the true one."""
        logits, labels = self(batch[0]), batch[1]
        likely = logits.topk(min(5, logits.shape[1]), dim=1).indices
        self._hits.append(likely == labels.unsqueeze(1))

    def on_test_epoch_end(self) -> None:
        """Accuracies in [0, 1] over all processes, without the images that could not be read."""
        data = self.data
        indices = torch.tensor(data.test_indices())
        readable = ~data.test_views.unreadable[indices].to(self.device)
        hits = torch.cat(self._hits)
        if len(hits) < len(indices):
            raise InputError("trainer.limit_test_batches: all test images are needed; leave it out")
        hits = hits[readable]
        counts = torch.stack([hits[:, 0].sum(), hits.sum(), readable.sum()])
        top1, top5, images = self.trainer.strategy.reduce(counts, reduce_op="sum").tolist()
        if images == 0:
            raise InputError(f"{data.test.name}: none of the test images can be read; check the files")
        self.measured = {"accuracy": top1 / images}
        if len(data.train.classes) > 5:
            self.measured["top-5 accuracy"] = top5 / images

    def configure_optimizers(self) -> dict:
        """SGD; the learning rate follows a cosine from epoch to epoch."""
        epochs = self.trainer.max_epochs
        rate = scaled_learning_rate(self.learning_rate, self.joint_batch)
        optimizer = torch.optim.SGD(self.layer.parameters(), rate, momentum=0.9, weight_decay=0)
        cosine = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda epoch: (1 + math.cos(math.pi * min(epoch / epochs, 1))) / 2
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cosine, "interval": "epoch"}}

    @property
    def joint_batch(self) -> int:
        """Images per optimizer step, over all processes."""
        return self.data.batch_size * self.trainer.world_size * self.trainer.accumulate_grad_batches

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        """Add the options that a resumed run must share; leave the encoder out."""
        checkpoint[KEY] = self._resume_config()
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {name: state[name] for name in state if not name.startswith("encoder.")}

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        """Refuse to continue with another encoder, other images or other options."""
        before = checkpoint.get(KEY, {})
        before = {**before, "pretraining": upgraded_pretraining(before.get("pretraining", {}))}
        check_resume_config(self.trainer.ckpt_path, before, self._resume_config())

    def config(self) -> dict[str, Any]:
        """What determines the result besides seed and images, for the run record."""
        return {
            "pretraining": self.loaded.pretraining,
            "encoder": asdict(self.loaded.encoder),
            "weights": self.weights_digest,
            "size": self.data.size,
            "smallest_crop": self.data.smallest_crop,
            "batch_size": self.joint_batch,
            "learning_rate": self.learning_rate,
            "epochs": self.trainer.max_epochs,
            "precision": str(self.trainer.precision),
        }

    def _resume_config(self) -> dict[str, Any]:
        data = self.data
        return {**self.config(), "seed": self.seed, "images": data.train.digest, "test images": data.test.digest}


def _load(checkpoint: Path | None, encoder: Encoder | None) -> LoadedEncoder:
    if checkpoint is not None:
        return load_encoder(checkpoint, encoder)
    if encoder is None:
        raise InputError("model.checkpoint is missing; name a checkpoint, or an untrained --model.encoder.name")
    return LoadedEncoder(encoder.build().eval(), encoder)


# --- main ---


def add_options(parser: ArgumentParser) -> None:
    """Options of data and model."""
    parser.add_class_arguments(LabeledImages, "data", skip={"seed"}, instantiate=False)
    parser.add_class_arguments(LinearProbe, "model", skip={"data", "seed"}, instantiate=False)


def linear_probe(run: Run) -> None:
    """Train the layer by the options of a run, test it, and record the accuracies.

    Raises:
        InputError: the number of epochs is missing, or the training stopped before the last one.
    """
    run.require_epochs()
    data = LabeledImages(**run.init.data, seed=run.seed)
    model = LinearProbe(data, **run.init.model, seed=run.seed)
    images = f"{len(data.train)} training and {len(data.test)} test images of {data.test.name}"
    what = f"{model.method} ({model.loaded.encoder.name}), {images}, {len(data.train.classes)} classes"
    trainer = run.fit(model, data, what)
    if run.epochs < trainer.max_epochs:
        raise InputError(
            f"stopped after {run.epochs} of {trainer.max_epochs} epochs, so nothing is recorded; continue with "
            "--resume last"
        )
    if not run.is_finished:
        return
    trainer.test(model, datamodule=data, verbose=False)
    data.train_views.log_unreadable()
    data.test_views.log_unreadable()
    if not run.is_writer:
        return
    results = record_evaluation(
        run.out,
        model.measured,
        method=model.method,
        protocol="linear probe",
        seed=run.seed,
        train=data.train,
        test=data.test,
        config=model.config(),
        seconds=run.seconds,
    )
    run.finish(model.measured, shlex.join(["pcrq", "report", str(run.out)]), results)


PROGRAM = Program(
    name="evaluate images",
    description=__doc__,
    configs=Path(__file__).parent / "configs",
    out="runs/image_linear",
    add_options=add_options,
    run=linear_probe,
    checkpoint_key=KEY,
    defaults={"trainer.max_epochs": -1},  # required: Lightning's default would be 1,000
)
main = PROGRAM.main

if __name__ == "__main__":
    sys.exit(main())

"""Pretrain an image encoder by MoCo v3 or BYOL, with randomized quantization or another method of the paper.

Two views of each image are cropped in worker processes, quantized on the training device, and each predicts the other
(Chen et al., MoCo v3, ICCV 2021; Grill et al., BYOL, NeurIPS 2020; Wu et al., ICCV 2023, section 5.1). The options are
explained in projects/image/README.md.
"""

from __future__ import annotations

import json
import logging
import shlex
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from jsonargparse import ArgumentParser
from torch import Tensor, nn
from torch.utils.data import DataLoader

from pcrq import InputError, ssl
from pcrq.checkpoint import weights_digest
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
from projects.image.augmentation import Augmentation, AugmentedImages, QuantizeAndNormalize, view_transforms
from projects.image.encoder import KEY, Encoder, describe, feature_size
from projects.image.evaluation import method_name, record_evaluation, source_knn_accuracy
from projects.image.image_source import ImageSource
from projects.image.sources import open_source
from projects.training.callbacks import KNNAccuracy, Throughput
from projects.training.records import check_resume_config, upgraded_pretraining
from projects.training.run import Program, Run
from projects.training.sampling import common_generator, step_generator, training_loader, whole_batches

_log = logging.getLogger(__name__)

# --- options ---


@dataclass(frozen=True)
class Heads:
    """Projector and predictor.

    Args:
        hidden: width of the hidden layers.
        out: size of projections and predictions.
        temperature: temperature of MoCo v3's softmax; BYOL ignores it.

    Raises:
        InputError: a size is not positive.
    """

    hidden: int = 4096
    out: int = 256
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.hidden < 1 or self.out < 1:
            raise InputError(f"model.heads.hidden {self.hidden}, model.heads.out {self.out}: must be at least 1")


@dataclass(frozen=True)
class Optimization:
    """Optimizer with linear warm-up and cosine decay of the learning rate, and the momentum of the target network.

    Args:
        optimizer: "lars", as MoCo v3 trains ResNets (no weight decay and scaling of 1-D parameters), or "adamw", as it
            trains vision transformers (learning rate 1.5e-4, weight decay 0.1, 40 epochs of warm-up).
        learning_rate: for 256 images per step; scaled linearly with the joint batch of all devices.
        weight_decay: weight decay.
        warmup_epochs: epochs of warm-up.
        momentum: momentum of the target network at the start.
        final_momentum: momentum of the target network at the end; a cosine leads to it from the start.

    Raises:
        InputError: a value is out of range.
    """

    optimizer: Literal["lars", "adamw"] = "lars"
    learning_rate: float = 0.6
    weight_decay: float = 1e-6
    warmup_epochs: int = 10
    momentum: float = 0.99
    final_momentum: float = 1.0

    def __post_init__(self) -> None:
        if self.learning_rate <= 0 or self.weight_decay < 0 or self.warmup_epochs < 0:
            raise InputError(
                f"model.optimization.learning_rate {self.learning_rate}, weight_decay {self.weight_decay}, "
                f"warmup_epochs {self.warmup_epochs}: must be above 0, at least 0 and at least 0"
            )
        if not (0 <= self.momentum <= 1 and 0 <= self.final_momentum <= 1):
            raise InputError(
                f"model.optimization.momentum {self.momentum}, final_momentum {self.final_momentum}: must be in [0, 1]"
            )


@dataclass(frozen=True)
class KNN:
    """Accuracy of nearest neighbors during training, if the source has labels.

    Args:
        every_n_epochs: epochs between two measurements; 0 for never.
        neighbours: number of labeled training images that vote on a test image.
        images: maximum number of training images, and of test images; a fixed random subset.

    Raises:
        InputError: a number is out of range.
    """

    every_n_epochs: int = 10
    neighbours: int = 200
    images: int = 50_000

    def __post_init__(self) -> None:
        if self.neighbours < 1 or self.images < 2:
            raise InputError(f"knn.neighbours {self.neighbours}, knn.images {self.images}: at least 1 and 2")


# --- data ---


class ImageData(pl.LightningDataModule):
    """Two augmented views of the images of one source.

    Args:
        source: "builtin", "folder", or a dataset of torchvision such as "CIFAR10" or "STL10".
        root: folder of the images; not for "builtin".
        download: download a dataset of torchvision if it is missing.
        test_every: for a folder CLASS/* without splits: every such image of each class, in the order of names, is a
            test image; 0 for sources with splits.
        augmentation: augmentation of the two views.
        size: height and width of a view in pixels.
        batch_size: images per process and step; an incomplete last batch is dropped.
        workers: processes that decode and augment images; 0 does it in the training process.
        seed: random seed of the order of the images, and of the views.

    Raises:
        InputError: the images cannot be used, or an option is out of range.
    """

    def __init__(
        self,
        source: str = "builtin",
        root: Path | None = None,
        download: bool = False,
        test_every: int = 0,
        augmentation: Augmentation = Augmentation(),  # noqa: B008 (frozen)
        size: int = 224,
        batch_size: int = 256,
        workers: int = 2,
        seed: int = 0,
    ):
        super().__init__()
        if batch_size < 2 or workers < 0 or size < 8:
            raise InputError(
                f"data.batch_size {batch_size}, data.workers {workers}, data.size {size}: at least 2, 0 and 8"
            )
        self._open = partial(open_source, source, root=root, download=download, test_every=test_every)
        self.source = self._open("pretrain")
        self.augmentation, self.size = augmentation, size
        self.batch_size, self.workers, self.seed = batch_size, workers, seed
        self.views = AugmentedImages(self.source, view_transforms(augmentation, size), seed)

    @property
    def batches(self) -> int:
        """Batches of each process in an epoch."""
        return whole_batches(len(self.source), self.batch_size, self.trainer, self.source.name)

    def train_dataloader(self) -> DataLoader:
        """Batches of this process, from the batch at which the run stands."""
        return training_loader(
            self.views, self.batch_size, self.workers, self.seed, self.trainer, self.batches, with_epoch=True
        )

    @cached_property
    def labeled(self) -> tuple[ImageSource, ImageSource] | None:
        """Labeled training and test images of the source; None if it has no labels, which is logged."""
        try:
            return self._open("train"), self._open("test")
        except InputError as error:
            _log.info("no kNN accuracy, since the images have no labels: %s", error)
            return None


# --- model ---


FRAMEWORKS: dict[str, tuple[str, Callable[[nn.Module, int, Heads], SiameseFramework]]] = {
    "mocov3": ("MoCo v3", lambda net, features, h: MoCoV3(net, features, h.hidden, h.out, h.temperature)),
    "byol": ("BYOL", lambda net, features, h: BYOL(net, features, h.hidden, h.out)),
}
"""The choices of ``--model.framework``: name in records, and how it is made from encoder, feature size and heads."""


class SiamesePretraining(pl.LightningModule):
    """An online and a target network, the loss of two views, and the optimizer.

    Both networks get the same two views. The authors' code quantizes the views anew for the target network; since a
    loss compares only *different* views of the two networks, the pairs that it compares have the same distribution.

    Args:
        data: the training images.
        framework: "mocov3" or "byol".
        encoder: architecture of the encoder.
        heads: projector and predictor of the framework.
        baseline: another loss of the two views that the paper compares with: DACL, IMix, SSQL or MSF.
        optimization: optimizer and schedules.
        seed: random seed of the quantizers; a step's random numbers depend on the seed, the step and the process.

    Raises:
        InputError: there is no such framework, or the encoder cannot be made.
    """

    def __init__(
        self,
        data: ImageData,
        framework: str = "mocov3",
        encoder: Encoder = Encoder(),  # noqa: B008 (frozen)
        heads: Heads = Heads(),
        baseline: Baseline | None = None,
        optimization: Optimization = Optimization(),
        seed: int = 0,
    ):
        super().__init__()
        self.data, self.seed = data, seed
        self.encoder, self.heads, self.optimization = encoder, heads, optimization
        if framework not in FRAMEWORKS:
            raise InputError(f"model.framework {framework!r}: available: {', '.join(FRAMEWORKS)}")
        self.framework_name, make_framework = FRAMEWORKS[framework]
        network = encoder.build()
        self.framework = make_framework(network, feature_size(network, data.size), heads)
        self.framework.to(memory_format=torch.channels_last)
        self.baseline = baseline
        if baseline is not None:  # equal in all processes by their own updates; DDP would broadcast the memory of MSF
            self._ddp_params_and_buffers_to_ignore = [f"baseline.{name}" for name, _ in baseline.named_buffers()]
        self.augment = QuantizeAndNormalize(data.augmentation, data.source.mean, data.source.std)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        """Quantize the two views of each image on the device, then compute the loss."""
        generator = step_generator(self, self.seed)
        # Dropout of an encoder also resumes exactly; another stream of random numbers than that of the quantizers.
        torch.manual_seed(generator.initial_seed() + 1)
        views = self.augment(batch[0], generator)
        first, second = (view.contiguous(memory_format=torch.channels_last) for view in views)
        if self.baseline is None:
            loss = self.framework(first, second)
        else:
            loss = self.baseline(self.framework, first, second, generator, common_generator(self, self.seed))
        self.log("loss", loss, prog_bar=True, batch_size=len(first))
        return loss

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, then update the target network with the momentum of the next step."""
        super().optimizer_step(*args, **kwargs)
        step = self.trainer.global_step + 1  # Lightning increments global_step after this hook
        start, end = self.optimization.momentum, self.optimization.final_momentum
        self.framework.update_target(cosine_momentum(step, self.steps, start, end))

    def configure_optimizers(self) -> dict:
        """LARS or AdamW; the learning rate changes in every step."""
        options = self.optimization
        weights = [weight for weight in self.parameters() if weight.requires_grad]
        optimizer_class = {"lars": LARS, "adamw": torch.optim.AdamW}[options.optimizer]
        rate = scaled_learning_rate(options.learning_rate, self.joint_batch)
        optimizer = optimizer_class(weights, rate, weight_decay=options.weight_decay)
        steps, warmup = self.steps, options.warmup_epochs * self.steps_per_epoch
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warmup_cosine(step, steps, warmup))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    @property
    def joint_batch(self) -> int:
        """Images per optimizer step, over all processes."""
        return self.data.batch_size * self.trainer.world_size * self.trainer.accumulate_grad_batches

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps per epoch; Lightning also steps after an incomplete accumulation at its end."""
        return -(-self.data.batches // self.trainer.accumulate_grad_batches)

    @property
    def steps(self) -> int:
        """Optimizer steps of the training."""
        return self.trainer.max_epochs * self.steps_per_epoch

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        """Add what rebuilds the encoder without this class, and the options that a resumed run must share."""
        source = self.data.source
        checkpoint[KEY] = describe(self.encoder, source.mean, source.std, self.pretraining())
        checkpoint["resume"] = self._resume_config()

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        """Refuse to continue with another network, other images or other options."""
        before = upgraded_pretraining(checkpoint.get("resume", {}))
        check_resume_config(self.trainer.ckpt_path, before, self._resume_config())
        state = checkpoint["state_dict"]  # the baseline was part of the framework, and called rival before that
        for name in [name for name in state if name.startswith(("framework.rival.", "framework.baseline."))]:
            state["baseline." + name.split(".", 2)[2]] = state.pop(name)

    def pretraining(self) -> dict[str, Any]:
        """How the encoder was pretrained so far, for its checkpoint and records."""
        data, baseline = self.data, self.baseline
        return {
            "framework": self.framework_name,
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

    def _resume_config(self) -> dict[str, Any]:
        pretraining = self.pretraining()
        del pretraining["epochs"], pretraining["images"], pretraining["source"]
        return {
            **pretraining,
            "encoder": asdict(self.encoder),
            "max_epochs": self.trainer.max_epochs,
            "accumulate_grad_batches": self.trainer.accumulate_grad_batches,
            "precision": str(self.trainer.precision),
            "images": self.data.source.digest,
            "number of devices": self.trainer.world_size,
        }


# --- main ---


def add_options(parser: ArgumentParser) -> None:
    """Options of data, model and kNN accuracy."""
    ssl.DACL, ssl.IMix, ssl.MSF, ssl.SSQL  # noqa: B018 (imported only here; jsonargparse finds imported classes by name)
    parser.add_class_arguments(ImageData, "data", skip={"seed"}, instantiate=False)
    parser.add_class_arguments(SiamesePretraining, "model", skip={"data", "seed"}, instantiate=False)
    parser.add_class_arguments(KNN, "knn")


def pretrain(run: Run) -> None:
    """Pretrain by the options of a run, and record the kNN accuracy of the last epoch."""
    knn, epochs, warmup = run.init.knn, run.require_epochs(), run.init.model.optimization.warmup_epochs
    if warmup >= epochs:
        raise InputError(f"model.optimization.warmup_epochs {warmup}: must be below trainer.max_epochs {epochs}")
    data = ImageData(**run.init.data, seed=run.seed)
    model = SiamesePretraining(data, **run.init.model, seed=run.seed)

    def measure() -> float | None:
        if data.labeled is None:
            return None
        options = {"neighbours": knn.neighbours, "images": knn.images, "workers": data.workers}
        encoder, source = model.framework.encoder, data.source
        return source_knn_accuracy(encoder, *data.labeled, data.size, source.mean, source.std, **options)

    accuracy = KNNAccuracy(knn.every_n_epochs, measure)
    what = f"{len(data.source)} images ({data.source.name}), {model.encoder.name}, {model.framework_name}"
    run.fit(model, data, what, callbacks=[accuracy, Throughput()])
    data.views.log_unreadable()
    metrics, results = {}, None
    if run.is_finished and run.is_writer and knn.every_n_epochs and data.labeled is not None:
        # a run that resumed after its last epoch has not measured it yet
        metrics = {"kNN accuracy": accuracy.measure() if accuracy.last is None else accuracy.last}
        train, test = data.labeled
        pretraining = model.pretraining()
        results = record_evaluation(
            run.out,
            metrics,
            method=method_name(pretraining),
            protocol="kNN",
            seed=run.seed,
            train=train,
            test=test,
            most=knn.images,
            config={
                "pretraining": pretraining,
                "encoder": asdict(model.encoder),
                "weights": weights_digest(model.framework.encoder),
                "neighbours": knn.neighbours,
                "images": knn.images,
            },
            seconds=run.seconds,
        )
    run.finish(metrics, _next_command(run, data), results)


def _next_command(run: Run, data: ImageData) -> str:
    """Evaluate with the labels of the source, or embed a folder without labels."""
    root, source, encoder = run.init.data.root, run.init.data.source, run.init.model.encoder
    checkpoint, arguments = str(run.checkpoint), json.dumps(encoder.arguments)
    if run.is_writer and source == "folder" and data.labeled is None:
        words = ["pcrq", "embed", str(root), "--checkpoint", checkpoint, "--out", "features.npz"]
        words += ["--encoder", encoder.name, "--encoder_arguments", arguments] if encoder.is_imported else []
        return shlex.join(words)
    words = ["pcrq", "evaluate", "images", "--model.checkpoint", checkpoint, "--data.source", source]
    words += ["--data.root", str(root)] if root else []
    words += ["--data.test_every", str(run.init.data.test_every)] if run.init.data.test_every else []
    words += ["--data.size", str(data.size), "--trainer.max_epochs", "90"]
    if encoder.is_imported:
        words += ["--model.encoder.name", encoder.name, "--model.encoder.arguments", arguments]
    return shlex.join(words)


PROGRAM = Program(
    name="pretrain images",
    description=__doc__,
    configs=Path(__file__).parent / "configs",
    out="runs/image",
    add_options=add_options,
    run=pretrain,
    checkpoint_key=KEY,
    defaults={"trainer.max_epochs": -1},  # required: Lightning's default would be 1,000
)
main = PROGRAM.main

if __name__ == "__main__":
    sys.exit(main())

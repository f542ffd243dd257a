"""The command line of pretraining on images."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict
from pathlib import Path

from lightning.pytorch.cli import LightningArgumentParser

from octree.checkpoint import weights_digest
from projects.image.encoder_checkpoint import KEY
from projects.image.pretrain.data import PretrainImages
from projects.image.pretrain.knn_callback import KNNAccuracy
from projects.image.pretrain.module import SiamesePretraining
from projects.image.records import arm_name, record_evaluation
from projects.image.sweep import image_sweep
from projects.image.view_data import log_refusals
from projects.throughput import Throughput
from projects.training_cli import TrainingCLI, run_training

_log = logging.getLogger(__name__)


class PretrainCLI(TrainingCLI):
    """``python -m projects.image.pretrain fit``"""

    program = "pretrain"
    module = "projects.image.pretrain"
    description = """\
Pretrain an encoder of images by MoCo v3 or BYOL, with randomized quantization or any other arm of the paper.

The options that matter are explained in projects/image/README.md; the others are Lightning's.
"""
    default_run_dir = Path("runs/image")
    checkpoint_key = KEY
    model: SiamesePretraining
    datamodule: PretrainImages

    def __init__(self, args: list[str] | None = None):
        self._started = time.perf_counter()
        super().__init__(SiamesePretraining, PretrainImages, args)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The callbacks of every pretraining run."""
        super().add_arguments_to_parser(parser)
        parser.add_lightning_class_args(KNNAccuracy, "knn")
        parser.add_lightning_class_args(Throughput, "throughput")
        parser.set_defaults({"trainer.max_epochs": -1})  # refused, where Lightning would train for 1,000

    def before_fit(self) -> None:
        """Say what is about to run, once for all processes."""
        if not self.trainer.is_global_zero:
            return
        data, model = self.datamodule, self.model
        _log.info(
            "%s: %d images, %s by %s, on %s; everything goes to %s",
            data.source.name,
            len(data.source),
            model.encoder.name,
            model.framework_name,
            self.device_name(),
            self.config_init.fit.run_dir,
        )

    def after_fit(self) -> None:
        """Name the images that could not be read, and record the accuracy of the last epoch."""
        log_refusals(self.datamodule.views)
        knn = next(callback for callback in self.trainer.callbacks if isinstance(callback, KNNAccuracy))
        if self.trainer.is_global_zero and self.epochs_done >= self.trainer.max_epochs:
            self._record(knn)

    def _record(self, knn: KNNAccuracy) -> None:
        if knn.labelled is None:
            return
        model, (gallery, held_out) = self.model, knn.labelled
        accuracy = knn.measure(self.trainer, model) if knn.last is None else knn.last  # None: resumed at the very end
        pretraining = model.pretraining()
        results = record_evaluation(
            Path(self.config_init.fit.run_dir),
            {"kNN accuracy": accuracy},
            arm=arm_name(pretraining),
            protocol="kNN",
            seed=model.seed,
            train=gallery,
            test=held_out,
            config={
                "pretraining": pretraining,
                "encoder": asdict(model.encoder),
                "weights": weights_digest(model.framework.encoder),
                "neighbours": knn.neighbours,
                "images": knn.images,
            },
            seconds=time.perf_counter() - self._started,
        )
        _log.info("kNN accuracy %.1f %%; recorded in %s", 100 * accuracy, results)


def main(args: list[str] | None = None) -> int:
    """Run the command line; returns the exit status, as run_training does."""
    return run_training(PretrainCLI, args, {"sweep": image_sweep})

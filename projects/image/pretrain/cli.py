"""The command line of pretraining on images."""

from __future__ import annotations

import logging
from dataclasses import asdict
from pathlib import Path

from lightning.pytorch.cli import LightningArgumentParser

from pcrq.checkpoint import weights_digest
from projects.image.encoder_checkpoint import KEY
from projects.image.pretrain.data import PretrainImages
from projects.image.pretrain.knn_callback import KNNAccuracy
from projects.image.pretrain.module import SiamesePretraining
from projects.image.records import method_name, record_evaluation
from projects.image.sweep import image_sweep
from projects.image.view_data import log_refusals
from projects.training.cli import PretrainingCLI, run_training

_log = logging.getLogger(__name__)


class PretrainCLI(PretrainingCLI):
    """``python -m projects.image.pretrain fit``"""

    module = "projects.image.pretrain"
    description = """\
Pretrain an encoder of images by MoCo v3 or BYOL, with randomized quantization or any other method of the paper.

The options that matter are explained in projects/image/README.md; the others are Lightning's.
"""
    default_run_dir = Path("runs/image")
    checkpoint_key = KEY
    knn_callback = KNNAccuracy
    model: SiamesePretraining
    datamodule: PretrainImages

    def __init__(self, args: list[str] | None = None):
        super().__init__(SiamesePretraining, PretrainImages, args)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """No number of epochs that nobody chose."""
        super().add_arguments_to_parser(parser)
        parser.set_defaults({"trainer.max_epochs": -1})  # refused, where Lightning would train for 1,000

    def what_runs(self) -> str:
        """Data and network, for the first line."""
        source, model = self.datamodule.source, self.model
        return f"{source.name}: {len(source)} images, {model.encoder.name} by {model.framework_name}"

    def after_fit(self) -> None:
        """Name the images that could not be read, and record the accuracy of the last epoch."""
        log_refusals(self.datamodule.samples)
        if self.is_to_be_recorded:
            self._record(self.knn)

    def _record(self, knn: KNNAccuracy) -> None:
        if knn.labelled is None:
            return
        model, (gallery, held_out) = self.model, knn.labelled
        accuracy = knn.measure(self.trainer, model) if knn.last is None else knn.last  # None: resumed at the very end
        pretraining = model.pretraining()
        results = record_evaluation(
            Path(self.config_init.fit.run_dir),
            {"kNN accuracy": accuracy},
            method=method_name(pretraining),
            protocol="kNN",
            seed=model.seed,
            train=gallery,
            test=held_out,
            most=knn.images,
            config={
                "pretraining": pretraining,
                "encoder": asdict(model.encoder),
                "weights": weights_digest(model.framework.encoder),
                "neighbours": knn.neighbours,
                "images": knn.images,
            },
            seconds=self.seconds,
        )
        _log.info("kNN accuracy %.1f %%; recorded in %s", 100 * accuracy, results)


def main(args: list[str] | None = None) -> int:
    """Run the command line; returns the exit status, as run_training does."""
    return run_training(PretrainCLI, args, {"sweep": image_sweep})

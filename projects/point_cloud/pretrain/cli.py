"""The command line of pretraining."""

from __future__ import annotations

import logging
from pathlib import Path

from lightning.pytorch.cli import LightningArgumentParser

from octree.checkpoint import KEY
from projects.point_cloud.pretrain.data import PretrainData
from projects.point_cloud.pretrain.knn_callback import KNNAccuracy
from projects.point_cloud.pretrain.module import MIDPretraining
from projects.throughput import Throughput
from projects.training_cli import TrainingCLI, run_training

_log = logging.getLogger(__name__)


class PretrainCLI(TrainingCLI):
    """``python -m projects.point_cloud.pretrain fit``"""

    program = "pretrain"
    module = "projects.point_cloud.pretrain"
    description = """\
Pretrain a MID-Net on a shape store, with or without randomized quantization.

The options that matter are explained in projects/point_cloud/README.md; the others are Lightning's.
"""
    default_run_dir = Path("runs/pretrain")
    checkpoint_key = KEY

    def __init__(self, args: list[str] | None = None):
        super().__init__(MIDPretraining, PretrainData, args)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The callbacks of every pretraining run."""
        super().add_arguments_to_parser(parser)
        parser.add_lightning_class_args(KNNAccuracy, "knn")
        parser.add_lightning_class_args(Throughput, "throughput")

    def before_fit(self) -> None:
        """Say what is about to run, once for all processes."""
        if not self.trainer.is_global_zero:
            return
        _log.info(
            "%s: %d shapes, %s weights, on %s; everything goes to %s",
            self.datamodule.store.path,
            len(self.datamodule.indices),
            f"{sum(weight.numel() for weight in self.model.network.parameters()):,}",
            self.device_name(),
            self.config_init.fit.run_dir,
        )


def main(args: list[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 2 for bad input, 130 after Ctrl-C."""
    return run_training(PretrainCLI, args)

"""What the command lines of pretraining share: kNN accuracy, throughput, and a first line that says what runs."""

from __future__ import annotations

import logging

from lightning.pytorch.cli import LightningArgumentParser

from projects.accuracy_callback import AccuracyCallback
from projects.throughput import Throughput
from projects.training_cli import TrainingCLI

_log = logging.getLogger(__name__)


class PretrainingCLI(TrainingCLI):
    """``fit`` that measures while it trains."""

    program = "pretrain"
    knn_callback: type[AccuracyCallback]

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The callbacks of every pretraining run."""
        super().add_arguments_to_parser(parser)
        parser.add_lightning_class_args(self.knn_callback, "knn")
        parser.add_lightning_class_args(Throughput, "throughput")

    def what_runs(self) -> str:
        """Data and network, for the first line."""
        raise NotImplementedError

    def before_fit(self) -> None:
        """Say what is about to run, once for all processes."""
        if self.trainer.is_global_zero:
            run_dir = self.config_init.fit.run_dir
            _log.info("%s, on %s; everything goes to %s", self.what_runs(), self.device_name(), run_dir)

    @property
    def knn(self) -> AccuracyCallback:
        """The callback of this run."""
        return next(callback for callback in self.trainer.callbacks if isinstance(callback, self.knn_callback))

    @property
    def is_to_be_recorded(self) -> bool:
        """Whether this is the process that writes, and the run got to its end with all of every epoch."""
        if not self.trainer.is_global_zero or self.epochs_done < self.trainer.max_epochs:
            return False
        if not self.takes_whole_epochs:
            _log.info("parts of epochs (trainer.limit_train_batches): nothing is recorded")
        return self.takes_whole_epochs

"""The command line of the linear probe: fit, test on all test images, record."""

from __future__ import annotations

import logging
from pathlib import Path

from lightning.pytorch.cli import LightningArgumentParser

from pcrq.errors import InputError
from projects.image.linear_probe.data import LabelledImages
from projects.image.linear_probe.module import KEY, LinearProbe
from projects.image.records import record_evaluation
from projects.image.view_data import log_refusals
from projects.training.cli import TrainingCLI, run_training

_log = logging.getLogger(__name__)


class LinearProbeCLI(TrainingCLI):
    """``fit`` trains the layer, tests it, and writes RUN_DIR/results.json."""

    program = "linear_probe"
    module = "projects.image.linear_probe"
    description = """\
Train a linear classifier on the features of a frozen encoder, test it and record it.

The options that matter are explained in projects/image/README.md; the others are Lightning's.
"""
    default_run_dir = Path("runs/image_linear")
    checkpoint_key = KEY
    model: LinearProbe
    datamodule: LabelledImages

    def __init__(self, args: list[str] | None = None):
        super().__init__(LinearProbe, LabelledImages, args)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """No number of epochs that nobody chose."""
        super().add_arguments_to_parser(parser)
        parser.set_defaults({"trainer.max_epochs": -1})  # refused, where Lightning would train for 1,000

    def before_fit(self) -> None:
        """Say what is about to run, once for all processes."""
        if not self.trainer.is_global_zero:
            return
        data, model = self.datamodule, self.model
        _log.info(
            "%s (%s): %d training and %d test images of %s, %d classes, on %s; everything goes to %s",
            model.method,
            model.loaded.encoder.name,
            len(data.train),
            len(data.test),
            data.test.name,
            len(data.classes),
            self.device_name(),
            self.config_init.fit.run_dir,
        )

    def after_fit(self) -> None:
        """Test, name the images that could not be read, and record what was found.

        Raises:
            InputError: the run did not get to its end.
        """
        done, wanted = self.epochs_done, self.trainer.max_epochs
        if done < wanted:
            raise InputError(
                f"stopped after {done} of {wanted} epochs, so nothing is recorded; --ckpt_path last goes on"
            )
        if not self.takes_whole_epochs:
            _log.info("parts of epochs (trainer.limit_train_batches): nothing is tested and recorded")
            return
        self.trainer.test(self.model, datamodule=self.datamodule, verbose=False)
        data, model = self.datamodule, self.model
        log_refusals(data.train_views)
        log_refusals(data.test_views)
        if not self.trainer.is_global_zero:
            return
        results = record_evaluation(
            Path(self.config_init.fit.run_dir),
            model.measured,
            method=model.method,
            protocol="linear probe",
            seed=model.seed,
            train=data.train,
            test=data.test,
            config=model.common(),
            seconds=self.seconds,
        )
        found = ", ".join(f"{metric} {100 * value:.1f} %" for metric, value in model.measured.items())
        _log.info("%s; recorded in %s", found, results)


def main(args: list[str] | None = None) -> int:
    """Run the command line; returns the exit status, as run_training does."""
    return run_training(LinearProbeCLI, args)

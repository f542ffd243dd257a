"""The command line of a training on labels: fit, test on all test shapes, record."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from jsonargparse import Namespace
from lightning.pytorch.cli import ArgsType, LightningArgumentParser

from pcrq.errors import InputError
from projects.point_cloud.fine_tuning import KEY, FineTuning, Schedule
from projects.point_cloud.labelled_data import LabelledData
from projects.training.cli import TrainingCLI
from projects.training.records import append_records, known_records

_log = logging.getLogger(__name__)


class FineTuningCLI(TrainingCLI):
    """``fit`` trains for as many steps as the labels allow, tests, and writes RUN_DIR/results.json."""

    checkpoint_key = KEY
    task: str
    """Name in the run record."""
    model: FineTuning
    datamodule: LabelledData

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The test shapes are looked at once, at the end."""
        super().add_arguments_to_parser(parser)
        parser.set_defaults({"trainer.max_epochs": 1, "trainer.limit_val_batches": 0})

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Derive the number of steps from the label ratio, unless it is given."""
        super().parse_arguments(parser, args)
        config = self.config.fit
        if config.trainer.max_steps == -1:
            config.trainer.max_steps = self.schedule(config).steps(config.data.ratio)
        if config.trainer.max_steps < 1:
            raise InputError(f"max_steps {config.trainer.max_steps}: choose at least 1, or leave it out")

    def schedule(self, config: Namespace) -> Schedule:
        """The schedule of a configuration."""
        values = config.model.schedule
        return Schedule(**(values.as_dict() if isinstance(values, Namespace) else vars(values)))

    def before_fit(self) -> None:
        """Say what is about to run, once for all processes."""
        if not self.trainer.is_global_zero:
            return
        data, model, run = self.datamodule, self.model, Path(self.config_init.fit.run_dir)
        _log.info(
            "%s: %s, %s, %d of the training shapes (%g %%), %d test shapes, %d steps on %s; everything goes to %s",
            data.store.path,
            model.method,
            model.protocol,
            len(data.train),
            100 * data.ratio,
            len(data.test),
            self.trainer.max_steps,
            self.device_name(),
            run,
        )

    def after_fit(self) -> None:
        """Test, and record what was found.

        Raises:
            InputError: the run did not get to its end.
        """
        done, wanted = self.trainer.global_step, self.trainer.max_steps
        if done < wanted:
            raise InputError(
                f"stopped after {done} of {wanted} steps, so nothing is recorded; --ckpt_path last goes on"
            )
        self.trainer.test(self.model, datamodule=self.datamodule, verbose=False)
        if not self.trainer.is_global_zero:
            return
        data, model = self.datamodule, self.model
        seconds, config = round(self.seconds, 1), model.common()
        records = [
            replace(
                data.record(self.task, model.method, model.protocol, metric, model.seed, config),
                value=value,
                seconds=seconds,
            )
            for metric, value in model.measured().items()
        ]
        results = Path(self.config_init.fit.run_dir) / "results.json"
        known = known_records(results)
        append_records(results, [record for record in records if record.key not in known])
        found = ", ".join(f"{record.metric} {100 * record.value:.1f} %" for record in records)
        _log.info("%s; recorded in %s", found, results)

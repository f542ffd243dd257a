"""The command line of pretraining on sounds."""

from __future__ import annotations

import logging
from pathlib import Path

from lightning.pytorch.cli import LightningArgumentParser

from pcrq.checkpoint import weights_digest
from projects.audio.encoder_checkpoint import KEY
from projects.audio.linear_evaluation.evaluate import evaluate
from projects.audio.pretrain.data import PretrainSounds
from projects.audio.pretrain.knn_callback import KNNAccuracy
from projects.audio.pretrain.module import BYOLA
from projects.audio.records import sound_record
from projects.audio.sweep import audio_sweep
from projects.training.cli import PretrainingCLI, run_training
from projects.training.records import Record, append_records, known_records

_log = logging.getLogger(__name__)


class PretrainCLI(PretrainingCLI):
    """``python -m projects.audio.pretrain fit``"""

    module = "projects.audio.pretrain"
    description = """\
Pretrain an encoder of sounds by BYOL-A, with randomized quantization or any other augmentation.

The options that matter are explained in projects/audio/README.md; the others are Lightning's.
"""
    default_run_dir = Path("runs/audio")
    checkpoint_key = KEY
    knn_callback = KNNAccuracy
    model: BYOLA
    datamodule: PretrainSounds

    def __init__(self, args: list[str] | None = None):
        super().__init__(BYOLA, PretrainSounds, args)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """No number of epochs that nobody chose."""
        super().add_arguments_to_parser(parser)
        parser.set_defaults({"trainer.max_epochs": -1})  # refused, where Lightning would train for 1,000

    def what_runs(self) -> str:
        """Data and network, for the first line."""
        data, model = self.datamodule, self.model
        sounds = f"{data.store.path}: {len(data.indices)} sounds"
        return f"{sounds}, {model.augmentation.name}, {model.encoder.dimension} dimensions"

    def after_fit(self) -> None:
        """Write the results of a run that got to its end: kNN accuracy, or none where the sounds have no categories."""
        if not self.is_to_be_recorded:
            return
        results = Path(self.config_init.fit.run_dir) / "results.json"
        records = [self._knn_record(self.knn)] if self.knn.every_n_epochs and self.knn.can_measure else []
        known = known_records(results)
        append_records(results, [record for record in records if record.key not in known])
        for record in records:
            _log.info("kNN accuracy %.1f %%; recorded in %s", 100 * record.value, results)

    def _knn_record(self, knn: KNNAccuracy) -> Record:
        model, pretraining = self.model, self.model.pretraining()
        accuracy = knn.measure(self.trainer, model) if knn.last is None else knn.last  # None: resumed at the very end
        return sound_record(
            self.datamodule.store,
            method=model.augmentation.name,
            protocol="kNN",
            metric="kNN accuracy",
            value=accuracy,
            seed=model.seed,
            train_samples=len(knn.gallery),
            test_samples=len(knn.held_out),
            config={
                "pretraining": pretraining,
                "encoder": model.encoder.sizes,
                "weights": weights_digest(model.encoder),
                "neighbours": knn.neighbours,
                "seconds": knn.seconds,
                "sounds": knn.sounds,
            },
            seconds=self.seconds,
        )


def main(args: list[str] | None = None) -> int:
    """Run the command line; returns the exit status, as run_training does."""
    return run_training(PretrainCLI, args, {"evaluate": evaluate, "sweep": audio_sweep})

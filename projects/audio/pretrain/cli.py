"""The command line of pretraining on sounds."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from lightning.pytorch.cli import LightningArgumentParser

from octree.checkpoint import weights_digest
from projects.audio.encoder_checkpoint import KEY
from projects.audio.linear_evaluation.evaluate import evaluate
from projects.audio.pretrain.data import PretrainSounds
from projects.audio.pretrain.knn_callback import KNNAccuracy
from projects.audio.pretrain.module import BYOLA
from projects.audio.records import sound_record
from projects.audio.sweep import audio_sweep
from projects.run_record import append_records, known_records
from projects.throughput import Throughput
from projects.training_cli import TrainingCLI, run_training

_log = logging.getLogger(__name__)


class PretrainCLI(TrainingCLI):
    """``python -m projects.audio.pretrain fit``"""

    program = "pretrain"
    module = "projects.audio.pretrain"
    description = """\
Pretrain an encoder of sounds by BYOL-A, with randomized quantization or any other augmentation.

The options that matter are explained in projects/audio/README.md; the others are Lightning's.
"""
    default_run_dir = Path("runs/audio")
    checkpoint_key = KEY
    model: BYOLA
    datamodule: PretrainSounds

    def __init__(self, args: list[str] | None = None):
        self._started = time.perf_counter()
        super().__init__(BYOLA, PretrainSounds, args)

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
            "%s: %d sounds, %s, %d dimensions, on %s; everything goes to %s",
            data.store.path,
            len(data.indices),
            model.augmentation.name,
            model.encoder.dimension,
            self.device_name(),
            self.config_init.fit.run_dir,
        )

    def after_fit(self) -> None:
        """Write the results of a run that got to its end: kNN accuracy, or none where the sounds have no categories."""
        trainer = self.trainer
        if not trainer.is_global_zero or self.epochs_done < trainer.max_epochs:
            return
        knn = next(callback for callback in trainer.callbacks if isinstance(callback, KNNAccuracy))
        results = Path(self.config_init.fit.run_dir) / "results.json"
        records = [self._knn_record(knn)] if knn.every_n_epochs and knn.can_measure else []
        known = known_records(results)
        append_records(results, [record for record in records if record.key not in known])
        for record in records:
            _log.info("kNN accuracy %.1f %%; recorded in %s", 100 * record.value, results)

    def _knn_record(self, knn: KNNAccuracy):
        model, pretraining = self.model, self.model.pretraining()
        accuracy = knn.measure(self.trainer, model) if knn.last is None else knn.last  # None: resumed at the very end
        return sound_record(
            self.datamodule.store,
            arm=model.augmentation.name,
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
            seconds=time.perf_counter() - self._started,
        )


def main(args: list[str] | None = None) -> int:
    """Run the command line; returns the exit status, as run_training does."""
    return run_training(PretrainCLI, args, {"evaluate": evaluate, "sweep": audio_sweep})

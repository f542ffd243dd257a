"""The command line of pretraining: LightningCLI with a run folder, safe checkpoints and one-line errors."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger

from octree.checkpoint import load_checkpoint
from pcrq.errors import InputError
from projects.point_cloud.pretrain.data import PretrainData
from projects.point_cloud.pretrain.knn_callback import KNNAccuracy
from projects.point_cloud.pretrain.module import MIDPretraining
from projects.point_cloud.pretrain.throughput import Throughput

TRAINER_DEFAULTS = {
    "use_distributed_sampler": False,  # ShapeSampler deals the shapes to the processes
    "log_every_n_steps": 10,
    "enable_model_summary": False,
}

CHECKPOINT_DEFAULTS = {
    "filename": "last",  # one file, always replaced by a newer whole one, also in a folder that was moved
    "enable_version_counter": False,
}


class PretrainCLI(LightningCLI):
    """``fit`` with everything of a run under one folder.

    RUN_DIR/checkpoints/last.ckpt is what ``--ckpt_path last`` resumes from; RUN_DIR/logs holds the metrics and the
    configuration of every start.
    """

    def __init__(self, args: list[str] | None = None):
        super().__init__(
            MIDPretraining,
            PretrainData,
            seed_everything_default=0,
            save_config_kwargs={"overwrite": True},
            trainer_defaults=TRAINER_DEFAULTS,
            parser_kwargs={"fit": {"description": "Pretrain a MID-Net on a shape store."}},
            args=args,
        )

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Pretraining only fits."""
        return {"fit": {"model", "train_dataloaders", "val_dataloaders", "datamodule", "weights_only"}}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The run folder, one seed for everything, and the callbacks of every run."""
        parser.add_argument("--run_dir", type=Path, default=Path("runs/pretrain"), help="folder for all files of a run")
        parser.add_lightning_class_args(KNNAccuracy, "knn")
        parser.add_lightning_class_args(Throughput, "throughput")
        parser.add_lightning_class_args(ModelCheckpoint, "checkpoint")
        parser.set_defaults({f"checkpoint.{name}": value for name, value in CHECKPOINT_DEFAULTS.items()})
        parser.link_arguments("seed_everything", "model.seed", compute_fn=int)
        parser.link_arguments("seed_everything", "data.seed", compute_fn=int)

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Put the checkpoints into the run folder, and look into the one to resume from before Lightning does."""
        super().parse_arguments(parser, args)
        config = self.config.fit
        if config.checkpoint.dirpath is None:
            config.checkpoint.dirpath = str(Path(config.run_dir) / "checkpoints")
        last = Path(config.checkpoint.dirpath) / "last.ckpt"
        if config.ckpt_path is None and last.exists():
            raise InputError(
                f"{config.run_dir}: holds a run; go on with it by --ckpt_path last, or name another --run_dir"
            )
        if config.ckpt_path == "last":
            config.ckpt_path = str(last) if last.exists() else None  # None: the run did not get to its first checkpoint
        if config.ckpt_path is not None:
            load_checkpoint(config.ckpt_path)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """A trainer that logs into the run folder unless the configuration names loggers."""
        config = self.config_init.fit
        if config.trainer.logger is None:
            kwargs["logger"] = default_loggers(config.run_dir)
        return super().instantiate_trainer(default_root_dir=config.run_dir, **kwargs)


def default_loggers(folder: Path) -> list[Logger]:
    """CSV always, TensorBoard where it is installed, both under FOLDER/logs; every start gets a new version."""
    csv = CSVLogger(folder, name="logs")
    if find_spec("tensorboard") is None:
        return [csv]
    return [csv, TensorBoardLogger(folder, name="logs", version=csv.version)]


def main(args: list[str] | None = None) -> int:
    """Run the command line; returns the exit status, 2 for bad input."""
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # Lightning's own use of torch
    warnings.filterwarnings("ignore", message="The number of training batches.*smaller than the logging interval")
    logging.getLogger("projects").addHandler(logging.StreamHandler())
    logging.getLogger("projects").setLevel(logging.INFO)
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"  # checkpoints are data, whoever loads them
    try:
        PretrainCLI(args)
    except InputError as error:
        print(f"pretrain: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0

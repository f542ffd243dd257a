"""The command line of pretraining: LightningCLI with a run folder, safe checkpoints and one-line errors."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import yaml
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from octree.checkpoint import KEY, load_checkpoint
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

DESCRIPTION = """\
Pretrain a MID-Net on a shape store, with or without randomized quantization. The options that matter are explained in
projects/point_cloud/README.md; the others are Lightning's.
"""

_log = logging.getLogger(__name__)


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
            parser_kwargs={
                "prog": "python -m projects.point_cloud.pretrain",
                "description": "Pretrain a MID-Net on a shape store.",
                "fit": {"description": DESCRIPTION},
            },
            args=args,
        )

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """A parser whose errors are one line."""
        parser = super().init_parser(**kwargs)
        parser.error = _one_line_error
        return parser

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
        if config.ckpt_path is not None and KEY not in load_checkpoint(config.ckpt_path):
            raise InputError(
                f"{config.ckpt_path}: not a checkpoint of a pretraining run; name one that such a run wrote"
            )

    def before_fit(self) -> None:
        """Say what is about to run."""
        weights = sum(weight.numel() for weight in self.model.network.parameters())
        device, count = self.trainer.strategy.root_device, self.trainer.world_size
        _log.info(
            "%s: %d shapes, %s weights, on %s%s; everything goes to %s",
            self.datamodule.store.path,
            len(self.datamodule.indices),
            f"{weights:,}",
            device,
            f" and {count - 1} more" if count > 1 else "",
            self.config_init.fit.run_dir,
        )

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """A trainer that logs into the run folder unless the configuration names loggers."""
        config = self.config_init.fit
        try:
            Path(config.run_dir).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{config.run_dir}: cannot be a run folder ({error.strerror}); choose another") from error
        if config.trainer.logger is None:
            kwargs["logger"] = default_loggers(config.run_dir)
        return super().instantiate_trainer(default_root_dir=config.run_dir, **kwargs)


def _one_line_error(message: str, ex: Exception | None = None) -> NoReturn:
    """One line instead of the usage of a hundred options."""
    print(f"pretrain: error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)


def default_loggers(folder: Path) -> list[Logger]:
    """CSV always, TensorBoard where it is installed, both under FOLDER/logs; every start gets a new version."""
    csv = CSVLogger(folder, name="logs")
    if find_spec("tensorboard") is None:
        return [csv]
    return [csv, TensorBoardLogger(folder, name="logs", version=csv.version)]


def main(args: list[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 2 for bad input, 130 after Ctrl-C."""
    _keep_quiet()
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"  # checkpoints are data, whoever loads them
    try:
        check_configurations(sys.argv[1:] if args is None else args)
        PretrainCLI(args)
    except (InputError, MisconfigurationException) as error:
        print(f"pretrain: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except SystemExit as stop:
        if not isinstance(stop.__context__, KeyboardInterrupt):  # what Lightning turns Ctrl-C into
            raise
        print("\npretrain: interrupted; --ckpt_path last goes on from the last checkpoint", file=sys.stderr)
        return 130
    return 0


def check_configurations(args: list[str]) -> None:
    """Look into the configuration files before they are parsed, for errors that name them.

    Raises:
        InputError: a file is missing, or not YAML.
    """
    for flag, value in zip(args, [*args[1:], ""], strict=True):
        name, _, attached = flag.partition("=")
        if name not in ("--config", "-c"):
            continue
        path = Path(attached or value)
        try:
            if not isinstance(yaml.safe_load(path.read_text(encoding="utf-8")), dict):
                raise InputError(f"{path}: not a configuration; see projects/point_cloud/configs for examples")
        except OSError as error:
            raise InputError(f"{path}: the configuration cannot be read ({error.strerror}); check its name") from error
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: not a text file, so not a configuration") from error
        except yaml.YAMLError as error:
            raise InputError(f"{path}: not YAML ({error}); correct it") from error


def _keep_quiet() -> None:
    """Of what the libraries print, only warnings that concern the user."""
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # Lightning's own use of torch
    warnings.filterwarnings("ignore", message="The number of training batches.*smaller than the logging interval")
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
    for library in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(library).setLevel(logging.WARNING)
    ours = logging.getLogger("projects")
    if not ours.handlers:
        ours.addHandler(logging.StreamHandler())
    ours.setLevel(logging.INFO)

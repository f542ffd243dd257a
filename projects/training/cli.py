"""What the command lines of all trainings share: a run folder, safe checkpoints, and errors of one line."""

from __future__ import annotations

import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import lightning.pytorch as pl
import yaml
from jsonargparse import ArgumentParser
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, ProgressBar, TQDMProgressBar
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from pcrq.checkpoint import load_checkpoint
from pcrq.errors import InputError
from projects.training.callbacks import AccuracyCallback, Throughput

TRAINER_DEFAULTS = {
    "use_distributed_sampler": False,  # our own samplers deal the samples to the processes
    "log_every_n_steps": 10,
    "enable_model_summary": False,
}

PRECISIONS = ("32-true", "16-mixed", "bf16-mixed")
"""Weights and views are float32 in all of them; the others would turn weights into another type than the views."""
_ALIASES = {"32": "32-true", "16": "16-mixed", "bf16": "bf16-mixed", "None": "32-true"}

CHECKPOINT_DEFAULTS = {
    "filename": "last",  # one file, always replaced by a newer whole one, also in a folder that was moved
    "enable_version_counter": False,
}


class EpochCheckpoint(ModelCheckpoint):
    """A checkpoint at the end of every whole epoch, beside those within epochs."""

    def on_train_epoch_end(self, trainer: Trainer, module: pl.LightningModule) -> None:
        """Leave out an epoch that ``max_steps`` ended, as it would pass for a whole one when the run goes on."""
        if trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            super().on_train_epoch_end(trainer, module)


class TrainingCLI(LightningCLI):
    """``fit`` with everything of a run under one folder.

    RUN_DIR/checkpoints/last.ckpt is what ``--ckpt_path last`` resumes from; RUN_DIR/logs holds the metrics and the
    configuration of every start. A subclass names itself and adds its own arguments.

    Args:
        model, data: the classes whose arguments become options.
        args: the words of the command line; those of the process for None.
    """

    program: str
    """Name in messages, such as "pretrain"."""
    module: str
    """What follows ``python -m``."""
    description: str
    default_run_dir: Path
    checkpoint_key: str
    """An entry that only checkpoints of this kind of run have."""

    def __init__(
        self, model: type[pl.LightningModule], data: type[pl.LightningDataModule], args: list[str] | None = None
    ):
        self._started = time.perf_counter()
        super().__init__(
            model,
            data,
            seed_everything_default=0,
            save_config_kwargs={"overwrite": True},
            trainer_defaults=TRAINER_DEFAULTS,
            parser_kwargs={
                "prog": f"python -m {self.module}",
                "description": self.description.splitlines()[0],
                "fit": {"description": self.description},
            },
            args=args,
        )

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """A parser whose errors are one line."""
        parser = super().init_parser(**kwargs)
        parser.error = self._one_line_error
        return parser

    def _one_line_error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """One line instead of the usage of a hundred options."""
        print_error(self.program, message)
        sys.exit(2)

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Runs only fit; what is measured is measured at their end."""
        return {"fit": {"model", "train_dataloaders", "val_dataloaders", "datamodule", "weights_only"}}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The run folder, checkpoints, and one seed for everything."""
        parser.add_argument("--run_dir", type=Path, default=self.default_run_dir, help="folder for all files of a run")
        parser.add_lightning_class_args(ModelCheckpoint, "checkpoint")
        parser.set_defaults({f"checkpoint.{name}": value for name, value in CHECKPOINT_DEFAULTS.items()})
        parser.link_arguments("seed_everything", "model.seed", compute_fn=int)
        parser.link_arguments("seed_everything", "data.seed", compute_fn=int)

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Put the checkpoints into the run folder, and look into the one to resume from before Lightning does."""
        super().parse_arguments(parser, args)
        config = self.config.fit
        seed, precision = config.seed_everything, str(config.trainer.precision)
        if isinstance(seed, bool) or not 0 <= seed < 2**32:
            raise InputError(f"seed_everything {seed}: choose a whole number from 0 to {2**32 - 1}")
        if _ALIASES.get(precision, precision) not in PRECISIONS:
            raise InputError(f"trainer.precision {precision}: choose {', '.join(PRECISIONS)}")
        if config.checkpoint.dirpath is None:
            config.checkpoint.dirpath = str(Path(config.run_dir) / "checkpoints")
        last = Path(config.checkpoint.dirpath) / "last.ckpt"
        if config.ckpt_path is None and last.exists():
            raise InputError(
                f"{config.run_dir}: holds a run; go on with it by --ckpt_path last, or name another --run_dir"
            )
        if config.ckpt_path == "last":
            config.ckpt_path = str(last) if last.exists() else None  # None: the run did not get to its first checkpoint
        if config.ckpt_path is not None and self.checkpoint_key not in load_checkpoint(config.ckpt_path):
            raise InputError(
                f"{config.ckpt_path}: not a checkpoint of a {self.program} run; name one that such a run wrote"
            )

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """A trainer that logs into the run folder unless the configuration names loggers."""
        config = self.config_init.fit
        make_run_folder(Path(config.run_dir))
        if config.trainer.logger is None:
            kwargs["logger"] = default_loggers(config.run_dir)
        callbacks = config.trainer.callbacks or []
        callbacks = callbacks if isinstance(callbacks, list) else [callbacks]
        shows_progress = config.trainer.enable_progress_bar is not False
        if shows_progress and not any(isinstance(callback, ProgressBar) for callback in callbacks):
            # Lightning's own shows the loss of every step, for which it waits for the device.
            kwargs["callbacks"] = [*callbacks, TQDMProgressBar(max(1, config.trainer.log_every_n_steps))]
        trainer = super().instantiate_trainer(default_root_dir=config.run_dir, **kwargs)
        checkpoint = self.config.fit.checkpoint
        if checkpoint.every_n_train_steps:  # would leave out the end of epochs, and of the run
            trainer.callbacks.append(EpochCheckpoint(checkpoint.dirpath, **CHECKPOINT_DEFAULTS))
        return trainer

    @property
    def epochs_done(self) -> int:
        """Whole epochs; Lightning's own number counts one that ``max_steps`` or ``max_time`` ended."""
        return self.trainer.current_epoch - (not self.trainer.fit_loop.epoch_loop.batch_progress.is_last_batch)

    @property
    def takes_whole_epochs(self) -> bool:
        """Whether every batch counts: no limit_train_batches or overfit_batches, which are for trying things out."""
        return self.trainer.num_training_batches >= len(self.trainer.train_dataloader)

    @property
    def seconds(self) -> float:
        """Time since the command began."""
        return time.perf_counter() - self._started

    def device_name(self) -> str:
        """Where the run computes, for its first line."""
        device, count = self.trainer.strategy.root_device, self.trainer.world_size
        return f"{device} and {count - 1} more" if count > 1 else str(device)


def make_run_folder(folder: Path) -> None:
    """Create a run folder where there is none.

    Raises:
        InputError: it cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be a run folder ({error.strerror}); choose another") from error


def default_loggers(folder: Path) -> list[Logger]:
    """CSV always, TensorBoard where it is installed, both under FOLDER/logs; every start gets a new version."""
    csv = CSVLogger(folder, name="logs")
    if find_spec("tensorboard") is None:
        return [csv]
    return [csv, TensorBoardLogger(folder, name="logs", version=csv.version)]


def run_training(
    cli: type[TrainingCLI],
    args: list[str] | None = None,
    functions: dict[str, Callable[..., list[str] | None]] | None = None,
) -> int:
    """Run a command line of trainings.

    Args:
        cli: what "fit" does.
        args: the words of the command line; those of the process for None.
        functions: further sub-commands: functions whose arguments become options. They return lines that say what
            failed, if anything.

    Returns:
        The exit status: 0, 1 where some of many runs failed, 2 for bad input, 130 after Ctrl-C.
    """
    args = sys.argv[1:] if args is None else args
    functions = functions or {}
    try:
        with quiet_libraries():
            os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"  # checkpoints are data, whoever loads them
            check_configurations(args)
            if args and args[0] in functions:
                return _run_function(cli, functions[args[0]], args)
            if args and args[0] not in ("fit", "-h", "--help", *functions) and not args[0].startswith("-"):
                raise InputError(f"{args[0]!r} is no command; choose among {', '.join(('fit', *functions))}")
            if functions and (not args or args[0] in ("-h", "--help")):
                print(_overview(cli, functions))
                return 0
            cli(args=args)
    except (InputError, MisconfigurationException) as error:
        print_error(cli.program, str(error))
        return 2
    except ValueError as error:
        if not isinstance(error.__cause__, InputError):  # what jsonargparse makes of the error of an optional argument
            raise
        print_error(cli.program, str(error.__cause__))
        return 2
    except SystemExit as stop:
        if not isinstance(stop.__context__, KeyboardInterrupt):  # what Lightning turns Ctrl-C into
            raise
        message = "interrupted; --ckpt_path last goes on from the last checkpoint"
        print(f"\n{cli.program}: {message}", file=sys.stderr)
        return 130
    except KeyboardInterrupt:
        print(f"\n{cli.program}: interrupted; the same command goes on where this one stopped", file=sys.stderr)
        return 130
    return 0


def _run_function(cli: type[TrainingCLI], function: Callable[..., list[str] | None], args: list[str]) -> int:
    parser = ArgumentParser(prog=f"python -m {cli.module} {args[0]}", description=function.__doc__.split("\n\n")[0])
    parser.error = lambda message, ex=None: (print_error(cli.program, message), sys.exit(2))
    parser.add_argument("--config", "-c", action="config", help="file with values of the options")
    parser.add_function_arguments(function)
    config = parser.parse_args(args[1:])
    config.pop("config", None)
    failures = function(**parser.instantiate_classes(config).as_dict())
    for failure in failures or []:
        print_error(cli.program, failure)
    return 1 if failures else 0


def _overview(cli: type[TrainingCLI], functions: dict[str, Callable[..., list[str] | None]]) -> str:
    """What ``--help`` says before a sub-command is chosen."""
    lines = {"fit": cli.description.splitlines()[0]}
    lines |= {name: function.__doc__.splitlines()[0] for name, function in functions.items()}
    commands = "\n".join(f"  {name:<10}{line}" for name, line in lines.items())
    return f"usage: python -m {cli.module} COMMAND [--help]\n\n{commands}"


def print_error(program: str, message: str) -> None:
    """One line on standard error; of what a data worker raised, the message alone."""
    message = message.rpartition("pcrq.errors.InputError: ")[2]
    print(f"{program}: error: {' '.join(message.split())}", file=sys.stderr)


def check_configurations(args: list[str]) -> None:
    """Look into the configuration files before they are parsed, for errors that name them.

    Raises:
        InputError: a file is missing, or not YAML.
    """
    for flag, value in zip(args, [*args[1:], ""], strict=True):
        name, _, attached = flag.partition("=")
        if name not in ("--config", "-c"):
            continue
        read_configuration(Path(attached or value), args[0])


def read_configuration(path: Path, command: str | None = None) -> dict[str, Any]:
    """The values of a configuration file.

    Args:
        path: a YAML file; a relative one is looked for in the current folder.
        command: the sub-command it is meant for, if that matters.

    Raises:
        InputError: the file is missing, not YAML, or for another sub-command.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"{path}: the configuration cannot be read ({error.strerror}); check its name, below {Path.cwd()}"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file, so not a configuration") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not YAML ({error}); correct it") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: not a configuration; see the folders projects/*/configs for examples")
    kinds = {
        "sweep": {"protocols", "variants"},
        "fit": {"model", "data", "trainer"},
        "lin": {"schedule"},
        "evaluate": {"repeats", "statistics"},
    }
    kind = next((name for name, keys in kinds.items() if keys & set(values)), command)
    if command in kinds and kind != command:
        raise InputError(f"{path}: a configuration for {kind!r}, not for {command!r}; name another")
    return values


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Of what the libraries print, only warnings that concern the user; what this package logs is shown."""
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # Lightning's own use of torch
    warnings.filterwarnings("ignore", message="LightningCLI's args parameter")
    warnings.filterwarnings("ignore", message=".*dataloader is not resumable")  # ours are, by their samplers
    warnings.filterwarnings("ignore", message="The number of training batches.*smaller than the logging interval")
    warnings.filterwarnings("ignore", message="A worker stopped while some jobs")  # large runs get a new process each
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
    for library in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(library).setLevel(logging.WARNING)
    ours, handler = logging.getLogger("projects"), logging.StreamHandler()
    ours.setLevel(logging.INFO)
    ours.addHandler(handler)
    try:
        yield
    finally:
        ours.removeHandler(handler)


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

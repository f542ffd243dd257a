"""One training or evaluation from the command line: options, run folder, exact resume, and Lightning's trainer.

A trainer file defines a :class:`Program`: its name, its options, and the function that runs it. A training gets a
:class:`Run` with the parsed options, makes its data and its network from them, and calls :meth:`Run.fit`.
"""

from __future__ import annotations

import difflib
import inspect
import logging
import os
import re
import sys
import time
import warnings
from argparse import SUPPRESS, Action
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

# Lightning before anything that imports scikit-learn: typing caches Union types by their members, and scikit-learn's
# order of int and float would make --trainer.limit_train_batches 1 mean 1.0, all batches.
import lightning.pytorch as pl
import yaml
from jsonargparse import ArgumentParser, DefaultHelpFormatter, Namespace
from lightning.pytorch.callbacks import ModelCheckpoint, ProgressBar, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from pcrq import InputError
from pcrq.checkpoint import load_checkpoint

_log = logging.getLogger(__name__)

TRAINER_DEFAULTS = {
    "use_distributed_sampler": False,  # our own samplers distribute the samples over the processes
    "log_every_n_steps": 10,
    "enable_model_summary": False,
}
CHECKPOINT_DEFAULTS = {"filename": "last", "enable_version_counter": False}  # one file, replaced atomically
PRECISIONS = ("32-true", "16-mixed", "bf16-mixed")
"""Weights and inputs are float32 in all of them; the others convert the weights but not the inputs."""
_PRECISION_ALIASES = {"32": "32-true", "16": "16-mixed", "bf16": "bf16-mixed", "None": "32-true"}

TRAINER_OPTIONS = {
    "max_epochs": "number of epochs",
    "max_steps": "number of optimizer steps; -1 for no limit",
    "devices": "number of devices, or auto",
    "num_nodes": "number of machines",
    "strategy": "auto, ddp, …: how several devices work together",
    "accelerator": "cpu, gpu, auto, …",
    "precision": f"{', '.join(PRECISIONS)}",
    "accumulate_grad_batches": "batches per optimizer step",
    "log_every_n_steps": "steps between two lines of the log",
}
"""Options of Lightning's trainer that the short help shows."""


@dataclass(frozen=True)
class Program:
    """A training as a command.

    Args:
        name: words after ``pcrq``, such as "pretrain shapes".
        description: text of the help; its first line summarizes the command.
        configs: folder of the configs that are found by name.
        out: default of ``--out``.
        add_options: adds the options of data and model to the parser.
        run: trains, given the parsed options.
        checkpoint_key: an entry that only checkpoints of this program contain.
        defaults: other defaults of options, such as ``{"trainer.max_epochs": 1}``.
    """

    name: str
    description: str
    configs: Path
    out: str
    add_options: Callable[[ArgumentParser], None]
    run: Callable[[Run], None]
    checkpoint_key: str
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def parser(self, *, all_options: bool = True) -> ArgumentParser:
        """The parser of the command.

        Args:
            all_options: include all options of Lightning; otherwise only those of :data:`TRAINER_OPTIONS`, for help.
        """
        parser = make_parser(self.name, self.description)
        parser.add_argument("--help_all", action="store_true", default=SUPPRESS, help="show Lightning's options, too")
        parser.add_argument("--out", type=Path, default=Path(self.out), help="folder for all files of the run")
        parser.add_argument("--seed", type=int, default=0, help="random seed of weights, order and augmentation")
        parser.add_argument(
            "--resume", type=str, help="continue a run: 'last' for the last checkpoint in --out, or a checkpoint file"
        )
        self.add_options(parser)
        if all_options:
            parser.add_class_arguments(pl.Trainer, "trainer", instantiate=False, fail_untyped=False)
            parser.add_class_arguments(ModelCheckpoint, "checkpoint", instantiate=False, fail_untyped=False)
            parser.set_defaults({f"trainer.{name}": value for name, value in TRAINER_DEFAULTS.items()})
            parser.set_defaults({f"checkpoint.{name}": value for name, value in CHECKPOINT_DEFAULTS.items()})
            parser.set_defaults(dict(self.defaults))
        else:
            group = parser.add_argument_group("Lightning's trainer (all its options: --help_all)")
            for name, text in TRAINER_OPTIONS.items():
                group.add_argument(f"--trainer.{name}", help=text)
        _accept_bare_flags(parser)
        return parser

    def help(self) -> str:
        """Text of ``--help``."""
        return _format_help(self.parser(all_options=False))

    def start(self, words: Sequence[str]) -> Run:
        """The run of a command line; its folder is not created yet.

        Raises:
            InputError: an option or config cannot be used.
        """
        parser = self.parser()
        return Run(self, parser, parser.parse_args(resolve_configs(words, self.configs, "training")))

    def main(self, args: Sequence[str] | None = None) -> int:
        """Run the command.

        Args:
            args: words of the command line; those of the process for None.

        Returns:
            The exit status: 0, 2 for bad input, 130 after Ctrl-C.
        """

        def work(words: list[str]) -> None:
            if {"--help", "-h"} & set(words):
                print(self.help())
                return
            if "--help_all" in words:
                print(_format_help(self.parser()))
                return
            self.run(self.start(words))

        return run_command(self.name, args, work, resume="--resume last continues from the last checkpoint")


@dataclass(frozen=True)
class FunctionProgram:
    """A function as a command: its arguments become options, its docstring the help.

    Args:
        name: words after ``pcrq``, such as "evaluate sounds".
        configs: folder of the configs that are found by name.
        function: returns lines that describe what failed, or None.
        kind: kind of config that it reads: "evaluation" or "sweep".
    """

    name: str
    configs: Path
    function: Callable[..., list[str] | None]
    kind: str = "evaluation"

    def parser(self) -> ArgumentParser:
        """The parser of the command."""
        parser = make_parser(self.name, (inspect.getdoc(self.function) or "").split("\n\nArgs:")[0])
        parser.add_function_arguments(self.function, as_group=False)
        if self.kind == "sweep":  # by which 'pcrq sweep --config NAME' finds this program
            parser.add_argument("--sweep", type=str, help=SUPPRESS)
        _accept_bare_flags(parser)
        return parser

    def help(self) -> str:
        """Text of ``--help``."""
        return _format_help(self.parser())

    def main(self, args: Sequence[str] | None = None) -> int:
        """Run the command; returns the exit status: 0, 1 where runs failed, 2 for bad input, 130 after Ctrl-C."""

        def work(words: list[str]) -> int:
            if {"--help", "-h", "--help_all"} & set(words):
                print(self.help())
                return 0
            parser = self.parser()
            options = parser.parse_args(resolve_configs(words, self.configs, self.kind))
            for name in ("config", "sweep"):
                options.pop(name, None)
            failures = self.function(**parser.instantiate(options).as_dict())
            for failure in failures or []:
                print_error(self.name, failure)
            return 1 if failures else 0

        return run_command(self.name, args, work, resume="the same command continues where this one stopped")


class Run:
    """A training in its folder.

    OUT/checkpoints/last.ckpt is what ``--resume last`` continues from; OUT/logs contains the metrics and the config of
    every start.

    Args:
        program: the command.
        parser: its parser.
        options: the parsed options; they can be changed until :meth:`fit`.

    Raises:
        InputError: an option is out of range, ``out`` already contains a run, or the checkpoint to resume from is not
            one of this program.
    """

    def __init__(self, program: Program, parser: ArgumentParser, options: Namespace):
        self._started = time.perf_counter()
        self.program, self.parser, self.options = program, parser, options
        self.out, self.seed = Path(options.out), options.seed
        precision = str(options.trainer.precision)
        if isinstance(self.seed, bool) or not 0 <= self.seed < 2**32:
            raise InputError(f"seed {self.seed}: must be an integer from 0 to {2**32 - 1}")
        if _PRECISION_ALIASES.get(precision, precision) not in PRECISIONS:
            raise InputError(f"trainer.precision {precision}: choose {', '.join(PRECISIONS)}")
        self.checkpoint = Path(options.checkpoint.dirpath or self.out / "checkpoints") / "last.ckpt"
        self._resume_from = self._checkpoint_to_resume()
        pl.seed_everything(self.seed, workers=True, verbose=False)
        self.init = parser.instantiate(options)
        """The options with dataclasses and classes instead of plain values."""

    def _checkpoint_to_resume(self) -> str | None:
        resume = self.options.resume
        if resume is None and self.checkpoint.exists():
            raise InputError(
                f"{self.out}: already contains a run; continue it with --resume last, or choose another --out"
            )
        if resume == "last":
            resume = str(self.checkpoint) if self.checkpoint.exists() else None  # None: stopped before its first one
        if resume is not None and self.program.checkpoint_key not in load_checkpoint(resume):
            raise InputError(f"{resume}: not a checkpoint of 'pcrq {self.program.name}'; name one that it wrote")
        return resume

    def require_epochs(self) -> int:
        """The number of epochs, for schedules that end with the last one.

        Raises:
            InputError: it is not given.
        """
        epochs = self.init.trainer.max_epochs
        if (epochs or 0) < 1:
            raise InputError(f"trainer.max_epochs {epochs}: set the number of epochs, at least 1")
        return epochs

    def fit(
        self,
        model: pl.LightningModule,
        data: pl.LightningDataModule,
        description: str,
        callbacks: Sequence[pl.Callback] = (),
    ) -> pl.Trainer:
        """Train, from the start or from the checkpoint to resume.

        Args:
            model, data: what Lightning trains, and on what.
            description: data and network, for the first line.
            callbacks: besides those of ``--trainer.callbacks``.

        Returns:
            The trainer, after training.
        """
        self.trainer = trainer = self.make_trainer(callbacks)
        if trainer.is_global_zero:
            count = trainer.world_size
            device = f"{trainer.strategy.root_device}{f' and {count - 1} more' if count > 1 else ''}"
            start = f", resumed from {self._resume_from}" if self._resume_from else ""
            _log.info("%s: %s, on %s%s; output: %s", self.program.name, description, device, start, self.out)
        trainer.fit(model, datamodule=data, ckpt_path=self._resume_from)
        return trainer

    def make_trainer(self, callbacks: Sequence[pl.Callback] = ()) -> pl.Trainer:
        """Lightning's trainer by the options, logging into the run folder."""
        make_run_folder(self.out)
        options = dict(self.init.trainer)
        own = options["callbacks"] or []
        own = own if isinstance(own, list) else [own]
        checkpoint = {**self.init.checkpoint.as_dict(), "dirpath": self.checkpoint.parent}
        callbacks = [*own, *callbacks, ModelCheckpoint(**checkpoint)]
        if checkpoint["every_n_train_steps"]:  # would leave out the end of epochs, and of the run
            callbacks.append(_EpochCheckpoint(checkpoint["dirpath"], **CHECKPOINT_DEFAULTS))
        if options["enable_progress_bar"] is not False and not any(isinstance(c, ProgressBar) for c in callbacks):
            # Lightning's own bar shows the loss of every step, for which it waits for the device.
            callbacks.append(TQDMProgressBar(max(1, options["log_every_n_steps"])))
        if options["logger"] is not False:
            csv = CSVLogger(self.out, name="logs")
            options["logger"] = [*default_loggers(csv), *_as_list(options["logger"])]
            callbacks.append(_SaveConfig(self.parser, self.options, Path(csv.log_dir)))
        options.update(callbacks=callbacks, default_root_dir=options["default_root_dir"] or self.out)
        return pl.Trainer(**options)

    @property
    def is_writer(self) -> bool:
        """Whether this is the process that writes results."""
        return self.trainer.is_global_zero

    @property
    def epochs(self) -> int:
        """Complete epochs that were trained."""
        loop = self.trainer.fit_loop
        # Lightning's own number counts an epoch that max_steps or max_time ended.
        return self.trainer.current_epoch - (not loop.epoch_loop.batch_progress.is_last_batch)

    @property
    def is_finished(self) -> bool:
        """Whether all epochs were trained, each with all of its batches."""
        if self.epochs < self.trainer.max_epochs:
            return False
        whole = self.trainer.num_training_batches >= len(self.trainer.train_dataloader)
        if not whole and self.is_writer:
            _log.info("parts of epochs (trainer.limit_train_batches): nothing is recorded")
        return whole

    @property
    def seconds(self) -> float:
        """Seconds since the command started."""
        return time.perf_counter() - self._started

    def finish(self, metrics: Mapping[str, float], next_command: str, results: Path | None = None) -> None:
        """Print the checkpoint, the final metrics and what to run next, once for all processes.

        Args:
            metrics: fractions in [0, 1] by their names.
            next_command: a line for the shell.
            results: the file that the metrics were recorded in.
        """
        if not self.is_writer:
            return
        if self.checkpoint.exists():
            _log.info("checkpoint: %s", self.checkpoint)
        for name, value in metrics.items():
            _log.info("%s: %.1f %%%s", name, 100 * value, f" (recorded in {results})" if results else "")
        _log.info("next: %s", next_command)


class _EpochCheckpoint(ModelCheckpoint):
    """A checkpoint at the end of every complete epoch, besides those within epochs."""

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Skip an epoch that ``max_steps`` ended: a resumed run would take it for a complete one."""
        if trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            super().on_train_epoch_end(trainer, module)


class _SaveConfig(pl.Callback):
    """Write all options beside the metrics of this start."""

    def __init__(self, parser: ArgumentParser, options: Namespace, folder: Path):
        self.parser, self.options, self.folder = parser, options, folder

    def on_fit_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Write once, in the first process."""
        if trainer.is_global_zero:
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.folder / "config.yaml"
            self.parser.save(self.options, path, overwrite=True, multifile=False)


def make_run_folder(folder: Path) -> None:
    """Create the folder of a run if it does not exist.

    Raises:
        InputError: it cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be created ({error.strerror}); choose another --out") from error


def default_loggers(csv: CSVLogger) -> list[Logger]:
    """CSV always, TensorBoard where it is installed, in the same folder; every start gets a new version."""
    if find_spec("tensorboard") is None:
        return [csv]
    return [csv, TensorBoardLogger(csv.save_dir, name="logs", version=csv.version)]


def _as_list(logger: Any) -> list[Logger]:
    """Loggers that the options name; True and None mean the default ones."""
    if logger is None or logger is True:
        return []
    return list(logger) if isinstance(logger, (list, tuple)) else [logger]


# --- commands ---


class _HelpFormatter(DefaultHelpFormatter):
    """Descriptions as they are written; defaults, but neither types nor options that take a whole group."""

    def __init__(self, prog: str):
        super().__init__(prog, max_help_position=32, width=100)

    def start_section(self, heading: str | None) -> None:
        super().start_section(heading and heading[0].upper() + heading[1:])

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(indent + line for line in text.strip().splitlines())

    def _format_action_invocation(self, action: Action) -> str:
        names = action.option_strings
        action.option_strings = [name for name in names if not name.endswith("+")]  # which append to a list
        try:
            return super()._format_action_invocation(action)
        finally:
            action.option_strings = names

    def _get_help_string(self, action: Action) -> str:
        text = (action.help or "").rstrip(".")
        if action.required:
            return f"{text} (required)"
        is_flag = action.nargs == 0
        hidden = is_flag or action.default is None or action.default in (SUPPRESS, "", [], {})
        return text if hidden else f"{text} (default: %(default)s)"


def _format_help(parser: ArgumentParser) -> str:
    for action in parser._actions:
        if action.help == "Path to a configuration file.":
            action.help = SUPPRESS
        elif "--print_config" in action.option_strings:
            action.help, action.nargs = "print all options as a config and exit", 0
    return parser.format_help()


def make_parser(name: str, description: str) -> ArgumentParser:
    """A parser with ``--config``, errors of one line and no abbreviations."""
    parser = ArgumentParser(
        prog=f"pcrq {name}",
        usage=f"pcrq {name} [--config NAME] [options]",
        description=description,
        formatter_class=_HelpFormatter,
        allow_abbrev=False,
        add_help=False,
    )
    parser.error = lambda message, ex=None: _fail(name, message)
    parser.add_argument("--config", "-c", action="config", help="config by name or path; later ones override")
    return parser


def _accept_bare_flags(parser: ArgumentParser) -> None:
    """Let ``--option`` mean ``--option true`` for every option that is a bool."""
    for action in parser._actions:
        if getattr(action, "_typehint", None) is bool:
            action.nargs, action.const = "?", True


def _fail(name: str, message: str) -> NoReturn:
    print_error(name, _option_error(message))
    sys.exit(2)


_PLAIN = {"int": "an integer", "float": "a number", "bool": "true or false", "str": "a text", "list": "a list"}
_PLAIN |= {"dict": "a mapping", "NoneType": "null"}


def _option_error(message: str) -> str:
    """One line for what jsonargparse says of a value: the option, the value, and what is allowed."""
    pattern = r'Parser key "(?P<name>.+?)":(?P<allowed>.*)(?:Got|Given) value: (?P<value>.*)'
    found = re.fullmatch(pattern, message.strip(), re.DOTALL)
    if found is None:
        return message
    wrong = re.search(r"Problem with given class_path '([^']+)':(.+?)\n    - ", found["allowed"], re.DOTALL)
    if wrong is not None:  # a class, but an argument of it that it does not take
        return f"{found['name']} {wrong[1]}: {_option_error(wrong[2])}"
    allowed = re.sub(r"Subtypes: (.*?)\n.*", r"\1", found["allowed"], flags=re.DOTALL)
    literals = ", ".join(re.findall(r"Literal\[(.*?)\]", allowed)).replace("'", "")
    classes = [name.rpartition(".")[2] for name in re.findall(r"<class '([\w.]+)'>", allowed)]
    kinds = [_PLAIN.get(name, f"the name or import path of a {name}") for name in classes]
    choices = [f"available: {literals}"] * bool(literals) + [f"must be {' or '.join(kinds)}"] * bool(kinds)
    return f"{found['name']} {found['value']!r}: {'; or '.join(choices)}" if choices else message


def run_command(name: str, args: Sequence[str] | None, work: Callable[[list[str]], int | None], resume: str) -> int:
    """Run a command and turn errors of the user's input into one line.

    Args:
        name: words after ``pcrq``.
        args: words of the command line; those of the process for None. ``--debug`` shows the traceback of an error.
        work: the command, given the other words; returns its exit status, None for 0.
        resume: what to do after Ctrl-C.

    Returns:
        The exit status: that of ``work``, 2 for bad input, 130 after Ctrl-C.
    """
    args = list(sys.argv[1:] if args is None else args)
    debug = "--debug" in args
    try:
        with _quiet_libraries():
            os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"  # checkpoints are data, whoever loads them
            return work([word for word in args if word != "--debug"]) or 0
    except (InputError, MisconfigurationException) as error:
        if debug:
            raise
        print_error(name, str(error))
        return 2
    except ValueError as error:
        if debug or not isinstance(error.__cause__, InputError):  # what jsonargparse makes of an optional argument's
            raise
        print_error(name, str(error.__cause__))
        return 2
    except SystemExit as stop:
        if not isinstance(stop.__context__, KeyboardInterrupt):  # what Lightning turns Ctrl-C into
            raise
    except KeyboardInterrupt:
        pass
    print(f"\npcrq {name}: interrupted; {resume}", file=sys.stderr)
    return 130


def print_error(name: str, message: str) -> None:
    """One line on standard error; of an error that a data worker raised, the message alone."""
    message = message.rpartition("pcrq.InputError: ")[2]
    print(f"pcrq {name}: error: {' '.join(message.split())}", file=sys.stderr)


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Of what the libraries print, show only warnings that concern the user, and what this package logs."""
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # Lightning's own use of torch
    warnings.filterwarnings("ignore", message="Found .* in eval mode at the start of training")  # frozen encoders
    warnings.filterwarnings("ignore", message=".*dataloader is not resumable")  # ours are, by their samplers
    warnings.filterwarnings("ignore", message="The number of training batches.*smaller than the logging interval")
    warnings.filterwarnings("ignore", message="A worker stopped while some jobs")  # large runs get a new process each
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
    for library in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(library).setLevel(logging.WARNING)
    handler = logging.StreamHandler()
    ours = [logging.getLogger(name) for name in ("projects", "__main__")]  # the second is a trainer run by python -m
    before = [(logger.handlers, logger.level) for logger in ours]
    for logger in ours:
        logger.handlers = [handler]
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        for logger, (handlers, level) in zip(ours, before, strict=True):
            logger.handlers = handlers
            logger.setLevel(level)


# --- configs ---

_KINDS = {
    "sweep": {"protocols", "variants"},
    "training": {"model", "data", "trainer"},
    "evaluation": {"schedule", "repeats", "statistics"},
}
"""Keys by which the kinds of configs are told apart."""
_WITH_ARTICLE = {"sweep": "a sweep", "training": "a training", "evaluation": "an evaluation"}


def find_config(name: str | Path, folder: Path, kind: str | None = None) -> Path:
    """The file of a config.

    Args:
        name: a path, or the name of a config in ``folder`` or below it, such as "tiny" or "variants/rrc_rq".
        folder: the configs of a project.
        kind: "sweep", "training" or "evaluation": prefer these, and suggest only these.

    Raises:
        InputError: there is no such file and no such name.
    """
    path = Path(name)
    if path.is_file():
        return path
    known = {str(file.relative_to(folder).with_suffix("")): file for file in sorted(folder.rglob("*.yaml"))}
    matches = [str(name)] if str(name) in known else [key for key in known if Path(key).name == str(name)]
    if len(matches) == 1:
        return known[matches[0]]
    if kind is not None:
        known = {key: file for key, file in known.items() if _kind_of(read_config(file)) == kind}
        matches = [key for key in matches if key in known]
        if len(matches) == 1:
            return known[matches[0]]
    if matches:
        raise InputError(f"config {name}: ambiguous; choose {' or '.join(matches)}")
    depths = {Path(key).name: len(Path(key).parts) for key in known}
    names = difflib.get_close_matches(path.stem, depths, n=3)
    names += [stem for stem in sorted(depths) if depths[stem] == min(depths.values()) and stem not in names]
    wanted = "config name" if kind is None else f"config of {_WITH_ARTICLE[kind]}"
    raise InputError(f"config {name}: no such file or {wanted}; available: {', '.join(names)}")


def _kind_of(values: Mapping[str, Any]) -> str | None:
    """The kind of a config by its keys; None where they are those of any kind."""
    return next((kind for kind, keys in _KINDS.items() if keys & set(values)), None)


def read_config(path: Path, kind: str | None = None) -> dict[str, Any]:
    """The values of a config file.

    Args:
        path: a YAML file.
        kind: "sweep", "training" or "evaluation", if that matters.

    Raises:
        InputError: the file cannot be read, is not YAML, or is of another kind.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"config {path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"config {path}: not a text file") from error
    except yaml.YAMLError as error:
        raise InputError(f"config {path}: not YAML ({error})") from error
    if not isinstance(values, dict):
        raise InputError(f"config {path}: not a mapping of options; see the folders projects/*/configs for examples")
    found = _kind_of(values)
    if kind is not None and found not in (kind, None):
        raise InputError(f"config {path}: a config of {_WITH_ARTICLE[found]}, not of {_WITH_ARTICLE[kind]}")
    return values


def resolve_configs(args: Sequence[str], folder: Path, kind: str) -> list[str]:
    """The words of a command line with the path of every ``--config`` in place of its name.

    Raises:
        InputError: a config cannot be found or read, or is of another kind.
    """
    words, position = [], 0
    while position < len(args):
        flag, equals, value = args[position].partition("=")
        if flag in ("--config", "-c"):
            if not equals:
                position += 1
                if position == len(args):
                    raise InputError("--config: name a config or its path")
                value = args[position]
            path = find_config(value, folder, kind)
            read_config(path, kind)
            words.append(f"--config={path}")
        else:
            words.append(args[position])
        position += 1
    return words

"""Sweeps: the runs of a table by one command, on this machine or on a cluster.

A run, here called a cell, is a command line with a folder. Cells whose results are recorded are skipped, so that the
same command continues an interrupted sweep.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import multiprocessing
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

import yaml

from pcrq import InputError
from pcrq.files import write_text
from projects.training.records import read_records
from projects.training.run import read_config

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cell:
    """One run of a sweep.

    Args:
        folder: its run folder.
        module: what follows ``python -m``; its ``main(words)`` runs the same command.
        words: the other words of the command line; they must make it continue an interrupted run.
        ratios: label ratios that its results.json contains when it is done.
        cost: expected duration in any unit; the longest runs are started first.
        trains: whether it has the options of Lightning's trainer.
    """

    folder: Path
    module: str
    words: tuple[str, ...]
    ratios: tuple[float, ...]
    cost: float
    trains: bool = True

    @property
    def command(self) -> str:
        """The command line for a shell."""
        return shlex.join(["python", "-m", self.module, *self.words])

    @property
    def is_recorded(self) -> bool:
        """Whether results.json contains everything."""
        results = self.folder / "results.json"
        return results.exists() and set(self.ratios) <= {record.ratio for record in read_records(results)}


@dataclass(frozen=True)
class Encoder:
    """A pretraining of a sweep and its evaluations.

    Args:
        pretraining: None for an encoder with random weights.
        evaluations: cells that read the checkpoints of ``pretraining``.
    """

    pretraining: Cell | None
    evaluations: tuple[Cell, ...]

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All cells in the order in which they have to run."""
        return self.evaluations if self.pretraining is None else (self.pretraining, *self.evaluations)

    @property
    def is_measured(self) -> bool:
        """Whether all evaluations are recorded."""
        return all(cell.is_recorded for cell in self.evaluations)


# --- checks before anything runs ---


def check_sweep_config(folder: Path, config: dict[str, Any]) -> None:
    """Write FOLDER/sweep.json with what all runs share, or compare with the file of an earlier start.

    Args:
        folder: folder of the sweep; created if it does not exist.
        config: values that JSON can store. New entries are added to those of earlier starts.

    Raises:
        InputError: the folder contains runs with another value, or cannot be used.
    """
    path = folder / "sweep.json"
    config = json.loads(json.dumps(config))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        before = dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path}: cannot be used ({error}); choose another --out") from error
    changed = [name for name in config if name in before and before[name] != config[name]]
    if changed:
        raise InputError(
            f"{folder}: contains runs with another {', '.join(changed)}; choose another --out, or remove the folder"
        )
    write_text(path, json.dumps({**before, **config}, indent=1) + "\n")


def check_file_names(**options: Sequence[Path]) -> None:
    """Check options that name files, whose stems become names of folders.

    Raises:
        InputError: an option names no file, or two with the same stem.
    """
    for option, paths in options.items():
        stems = [path.stem for path in paths]
        if not stems:
            raise InputError(f"{option}: name at least one file")
        if len(set(stems)) < len(stems):
            raise InputError(f"{option} {stems}: two files have the same name, which names a folder; rename one")


def check_values(**options: Sequence[Any]) -> None:
    """Check options with several values, each of which makes runs.

    Raises:
        InputError: an option has no value, or one of them twice.
    """
    for option, values in options.items():
        if not values:
            raise InputError(f"{option}: name at least one")
        if len(set(values)) < len(values):
            raise InputError(f"{option} {list(values)}: a value appears twice, but its runs share a folder")


def check_devices(cells: Sequence[Cell], *, jobs: int) -> None:
    """Check the devices that the runs ask for.

    Args:
        cells: runs that are not recorded.
        jobs: number of runs at the same time on this machine.

    Raises:
        InputError: a run asks for several nodes, or for more GPUs than each of ``jobs`` runs gets.
    """
    read = cache(read_config)  # a table has hundreds of runs of a few configs
    for cell in cells:
        trainer = _trainer_options(cell, read)
        nodes, devices = trainer.get("num_nodes", 1), trainer.get("devices", "auto")
        if nodes != 1:
            raise InputError(
                f"trainer.num_nodes {nodes}: a sweep runs on one node at a time; print the commands for a job array "
                "by --list_only true (docs/clusters.md), or add --trainer.num_nodes=1 to the options of the runs"
            )
        if jobs > 1 and devices not in (1, -1, "auto") and trainer.get("accelerator") != "cpu" and _gpus() > 1:
            raise InputError(
                f"trainer.devices {devices}: with --jobs {jobs} every run gets one GPU; choose --jobs 1, or add "
                "--trainer.devices=1 to the options of the runs"
            )


# --- runs ---


def print_commands(groups: Sequence[Sequence[Cell]]) -> None:
    """Print the commands of the runs that are not recorded, for a shell.

    Args:
        groups: runs of every line, in the order in which they depend on each other.
    """
    for cells in groups:
        missing = [cell.command for cell in cells if not cell.is_recorded]
        if missing:
            print(" && ".join(missing))


def run_cells(
    cells: Sequence[Cell],
    *,
    jobs: int = 1,
    scheduler: str | None = None,
    shared: Sequence[Path] = (),
    keep_checkpoints: bool = False,
) -> list[str]:
    """Run the cells that are not recorded; one that fails does not stop the others.

    The output of a cell goes to ``log.txt`` in its folder. Its checkpoints are removed once it is recorded.

    Args:
        cells: the runs.
        jobs: number of runs at the same time.
        scheduler: cluster to run them on, dask://HOST:PORT or ray://HOST:PORT; ``jobs`` is ignored then.
        shared: files and folders that the workers of a cluster need.
        keep_checkpoints: keep the trained networks.

    Returns:
        A line for every cell that failed.

    Raises:
        InputError: the cluster cannot be used, a run needs more devices than it would get, or a worker process was
            killed.
    """
    import joblib
    from joblib.externals.loky.process_executor import TerminatedWorkerError
    from tqdm import tqdm

    if jobs < 1:
        raise InputError(f"jobs {jobs}: must be at least 1")
    missing = sorted((cell for cell in cells if not cell.is_recorded), key=lambda cell: -cell.cost)
    if len(missing) < len(cells):
        _log.info("%d of %d runs are recorded already", len(cells) - len(missing), len(cells))
    check_devices(missing, jobs=1 if scheduler else jobs)
    failures = []
    with _cluster(scheduler, shared), _sigterm_as_interrupt():
        pool = joblib.Parallel(None if scheduler else jobs, return_as="generator_unordered", batch_size=1)
        start = run_in_own_process if scheduler else run_here
        calls = (joblib.delayed(run_cell)(cell, start, keep_checkpoints) for cell in missing)
        try:
            for failure in tqdm(pool(calls), total=len(cells), initial=len(cells) - len(missing), unit="run"):
                failures += [failure] if failure else []
        except TerminatedWorkerError as error:
            raise InputError(
                "a worker process was killed, perhaps because memory ran out; run the same command again with fewer "
                f"--jobs than {jobs}: recorded runs are kept"
            ) from error
    if scheduler is not None:
        known = "".join(failures)
        lost = [cell.folder for cell in missing if not cell.is_recorded and f"{cell.folder}:" not in known]
        failures += [f"{folder}: its worker on the cluster died" for folder in lost]
    return failures


def run_encoders(
    encoders: Sequence[Encoder],
    *,
    jobs: int,
    scheduler: str | None,
    shared: Sequence[Path],
    keep_checkpoints: bool,
    list_only: bool,
) -> list[str]:
    """Pretrain the encoders that are not measured yet, then evaluate them.

    Args:
        encoders: the encoders of the table.
        jobs, scheduler, shared: as for :func:`run_cells`.
        keep_checkpoints: keep the networks that are trained and measured by this call; others are not touched.
        list_only: print the commands of the missing runs, one line per encoder, and run nothing.

    Returns:
        A line for every run that failed.

    Raises:
        InputError: as for :func:`run_cells`.
    """
    missing = [encoder for encoder in encoders if not encoder.is_measured]
    if list_only:
        print_commands([encoder.cells for encoder in missing])
        return []
    unfinished = [cell for encoder in missing for cell in encoder.cells if not cell.is_recorded]
    check_devices(unfinished, jobs=1 if scheduler else jobs)  # of evaluations, too, before hours of pretraining
    pretrainings = [encoder.pretraining for encoder in missing if encoder.pretraining is not None]
    options = {"jobs": jobs, "scheduler": scheduler, "shared": shared}
    failures = []
    if pretrainings:
        _log.info("pretraining")
        failures += run_cells(pretrainings, **options, keep_checkpoints=True)
        _log.info("evaluation")
    ready = [encoder for encoder in missing if encoder.pretraining is None or encoder.pretraining.is_recorded]
    cells = [cell for encoder in ready for cell in encoder.evaluations]
    failures += run_cells(cells, **options, keep_checkpoints=keep_checkpoints)
    for encoder in ready:
        if encoder.pretraining is not None and encoder.is_measured and not keep_checkpoints:
            shutil.rmtree(encoder.pretraining.folder / "checkpoints", ignore_errors=True)
    return failures


def run_cell(cell: Cell, start: Callable[[Cell, IO[str]], int], keep_checkpoints: bool) -> str | None:
    """Run a cell, in a worker.

    Args:
        cell: the run.
        start: :func:`run_here` or :func:`run_in_own_process`.
        keep_checkpoints: keep the trained network.

    Returns:
        A line that describes the failure, or None.
    """
    cell.folder.mkdir(parents=True, exist_ok=True)
    log = cell.folder / "log.txt"
    with log.open("a", encoding="utf-8") as file:
        print(cell.command, file=file, flush=True)
        status = start(cell, file)
    if status == 130:
        raise KeyboardInterrupt
    if status == 0 and cell.is_recorded:
        if not keep_checkpoints:
            shutil.rmtree(cell.folder / "checkpoints", ignore_errors=True)
        return None
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return f"{cell.folder}: {lines[-1]} (see {log.name} there for details)"


def run_here(cell: Cell, file: IO[str]) -> int:
    """Run a cell in this process, which saves the time of the imports; write its output to ``file``.

    A run on several devices gets its own process, as Lightning starts the others by the command line of this one.

    Returns:
        The exit status.
    """
    _choose_gpu()
    if not _has_one_process(_trainer_options(cell, read_config)):
        return run_in_own_process(cell, file)
    with _output_to(file):
        try:
            return importlib.import_module(cell.module).main(list(cell.words))
        except SystemExit as stop:
            return stop.code
        except Exception:  # one cell that fails must not stop the sweep
            traceback.print_exc()
            return 1


def run_in_own_process(cell: Cell, file: IO[str]) -> int:
    """Run a cell in a new process, as workers of clusters need it; write its output to ``file``.

    Workers of a cluster can have several threads, and may not be allowed to start data workers.

    Returns:
        The exit status.
    """
    from joblib.externals.loky.backend.utils import kill_process_tree

    words = [sys.executable, "-m", cell.module, *cell.words]
    process = subprocess.Popen(words, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    try:
        return process.wait()
    except BaseException:
        process.join = process.wait  # the name that loky calls
        kill_process_tree(process)  # with the processes of its devices
        raise


@contextlib.contextmanager
def _output_to(file: IO[str]) -> Iterator[None]:
    """Write what this process prints and logs to a file."""
    ours = logging.getLogger("projects")
    handlers, ours.handlers = ours.handlers, []
    try:
        with contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
            yield
    finally:
        ours.handlers = handlers


def _cluster(scheduler: str | None, shared: Sequence[Path]) -> contextlib.AbstractContextManager[None]:
    if scheduler is None:
        return contextlib.nullcontext()
    from data_prep.scheduler import connected

    return connected(scheduler, shared)


@contextlib.contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Treat SIGTERM, which ends a job whose time is up, as Ctrl-C; otherwise the runs would continue."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


# --- devices ---


@cache  # once per process, before it computes anything
def _choose_gpu() -> None:
    """Distribute the worker processes of a sweep over the GPUs of this machine."""
    number = re.fullmatch(r"LokyProcess-(\d+)", multiprocessing.current_process().name)
    if number is None:
        return
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = visible.split(",") if visible else [str(gpu) for gpu in range(_gpus())]
    if len(gpus) > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[int(number[1]) % len(gpus)]


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()


def _has_one_process(trainer: dict[str, Any]) -> bool:
    devices = trainer.get("devices", "auto")
    return devices == 1 or (devices == "auto" and (trainer.get("accelerator") == "cpu" or _gpus() < 2))


def _trainer_options(cell: Cell, read: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """Options of Lightning's trainer in a command line and its configs; later words override earlier ones."""
    if not cell.trains:
        return {"devices": 1}
    trainer: dict[str, Any] = {}
    for word, following in zip(cell.words, [*cell.words[1:], ""], strict=True):
        name, _, attached = word.partition("=")
        value = attached or following
        options = None
        if name in ("--config", "-c"):
            options = read(Path(value)).get("trainer")
        elif name == "--trainer":
            options = _parse_yaml(value)
        elif name.startswith("--trainer."):
            options = {name.removeprefix("--trainer."): _parse_yaml(value)}
        trainer |= options if isinstance(options, dict) else {}
    return trainer


def _parse_yaml(value: str) -> Any:
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError:
        return value  # the run itself reports the error

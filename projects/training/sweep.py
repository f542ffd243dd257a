"""Sweeps: many runs by one command, those not recorded yet, in parallel on this machine or on a cluster."""

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

from pcrq.errors import InputError
from pcrq.files import write_text
from projects.training.records import read_records
from projects.training.run import read_config


@dataclass(frozen=True)
class Cell:
    """One run of a sweep.

    Args:
        folder: its run folder.
        module: what follows ``python -m``; its ``main`` runs the same command.
        words: the rest of its command line; they make it continue where it stopped.
        ratios: label ratios that its results.json contains when it is done.
        cost: duration in any unit; the longest runs are started first.
        trains: whether it takes the options of Lightning's trainer.
    """

    folder: Path
    module: str
    words: tuple[str, ...]
    ratios: tuple[float, ...]
    cost: float
    trains: bool = True

    @property
    def command(self) -> str:
        """The same run by hand, as a line for a shell."""
        return shlex.join(["python", "-m", self.module, *self.words])

    @property
    def is_recorded(self) -> bool:
        """Whether nothing is left to do."""
        results = self.folder / "results.json"
        return results.exists() and set(self.ratios) <= {record.ratio for record in read_records(results)}


def refuse_what_cannot_start(cells: Sequence[Cell], *, jobs: int) -> None:
    """Look at the devices of all runs before the first of them starts.

    Raises:
        InputError: a run asks for several nodes, or for more GPUs than ``jobs`` runs at once leave to each.
    """
    read = cache(read_config)  # a table has hundreds of runs of a few configurations
    for cell in cells:
        trainer = _trainer(cell, read)
        nodes, devices = trainer.get("num_nodes", 1), trainer.get("devices", "auto")
        if nodes != 1:
            raise InputError(
                f"trainer.num_nodes {nodes}: a sweep starts no run on several nodes; print the commands for a job "
                f"array by --list_only true (docs/clusters.md), or add --trainer.num_nodes=1 to the options of the runs"
            )
        if jobs > 1 and devices not in (1, -1, "auto") and trainer.get("accelerator") != "cpu" and _gpus() > 1:
            raise InputError(
                f"trainer.devices {devices}: with --jobs {jobs} every run gets one GPU; choose --jobs 1, or add "
                f"--trainer.devices=1 to the options of the runs"
            )


def run_cell(cell: Cell, work: Callable[[Cell, IO[str]], int], keep_checkpoints: bool) -> str | None:
    """In a worker: run a cell; returns a line if it fails."""
    cell.folder.mkdir(parents=True, exist_ok=True)
    log = cell.folder / "log.txt"
    with log.open("a", encoding="utf-8") as file:
        print(cell.command, file=file, flush=True)
        status = work(cell, file)
    if status == 130:
        raise KeyboardInterrupt
    if status == 0 and cell.is_recorded:
        if not keep_checkpoints:
            shutil.rmtree(cell.folder / "checkpoints", ignore_errors=True)
        return None
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return f"{cell.folder}: {lines[-1]} (all of it in {log.name})"


def run_here(cell: Cell, file: IO[str]) -> int:
    """In this process: importing everything anew would take longer than a small run. Returns the exit status.

    Not so a run on several devices: Lightning starts their processes by the command of this one, which is the sweep's.
    """
    _take_a_gpu()
    if not _is_one_process(_trainer(cell, read_config)):
        return run_in_own_process(cell, file)
    with _printing_to(file):
        try:
            return importlib.import_module(cell.module).main(list(cell.words))
        except SystemExit as stop:
            return stop.code
        except Exception:  # one bad cell must not end the sweep
            traceback.print_exc()
            return 1


def run_in_own_process(cell: Cell, file: IO[str]) -> int:
    """So for a cluster, too: its workers may have several threads, and no right to start data workers."""
    from joblib.externals.loky.backend.utils import kill_process_tree

    words = [sys.executable, "-m", cell.module, *cell.words]
    process = subprocess.Popen(words, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    try:
        return process.wait()
    except BaseException:
        process.join = process.wait  # loky's processes have that name for it
        kill_process_tree(process)  # with those of its devices
        raise


@cache  # once for a process, before it computes anything
def _take_a_gpu() -> None:
    """Spread the processes of a sweep over the GPUs of this machine."""
    number = re.fullmatch(r"LokyProcess-(\d+)", multiprocessing.current_process().name)
    if number is None:
        return
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = named.split(",") if named else [str(gpu) for gpu in range(_gpus())]
    if len(gpus) > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[int(number[1]) % len(gpus)]


def _trainer(cell: Cell, read: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """What a command line says about Lightning's trainer; later words overrule earlier ones."""
    if not cell.trains:
        return {"devices": 1}
    trainer: dict[str, Any] = {}
    for word, following in zip(cell.words, [*cell.words[1:], ""], strict=True):
        name, _, attached = word.partition("=")
        value = attached or following
        said = None
        if name in ("--config", "-c"):
            said = read(Path(value)).get("trainer")
        elif name == "--trainer":
            said = _parsed(value)
        elif name.startswith("--trainer."):
            said = {name.removeprefix("--trainer."): _parsed(value)}
        trainer |= said if isinstance(said, dict) else {}
    return trainer


def _parsed(value: str) -> Any:
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError:
        return value  # the run itself says best what is wrong with it


def _is_one_process(trainer: dict[str, Any]) -> bool:
    devices = trainer.get("devices", "auto")
    return devices == 1 or (devices == "auto" and (trainer.get("accelerator") == "cpu" or _gpus() < 2))


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()


@contextlib.contextmanager
def _printing_to(file: IO[str]) -> Iterator[None]:
    """What this process prints and logs goes to a file."""
    ours = logging.getLogger("projects")
    handlers, ours.handlers = ours.handlers, []
    try:
        with contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
            yield
    finally:
        ours.handlers = handlers


_log = logging.getLogger(__name__)

SETTINGS = "sweep.json"


def claim(folder: Path, settings: dict[str, Any]) -> None:
    """Note in a sweep's folder what its runs have in common, or make sure that it is still the same.

    Args:
        folder: of the sweep; created where there is none.
        settings: plain values.

    Raises:
        InputError: the folder holds runs made with other settings.
    """
    path = folder / SETTINGS
    settings = json.loads(json.dumps(settings))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        before = dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path}: cannot be used ({error}); choose another folder") from error
    changed = [name for name in settings if name in before and before[name] != settings[name]]
    if changed:
        raise InputError(
            f"{folder}: holds runs made with another {', '.join(changed)}; choose another --out, or remove it"
        )
    write_text(path, json.dumps({**before, **settings}, indent=1) + "\n")


def run_cells(
    cells: Sequence[Cell],
    *,
    jobs: int = 1,
    scheduler: str | None = None,
    shared: Sequence[Path] = (),
    keep_checkpoints: bool = False,
) -> list[str]:
    """Run the cells that are not recorded; a cell that fails does not stop the others.

    What a cell prints goes to ``log.txt`` in its folder. Checkpoints are removed once a cell is recorded.

    Args:
        cells: the runs.
        jobs: how many at once.
        scheduler: a cluster to run them on, as for 'pcrq prep'; ``jobs`` does not matter then.
        shared: files and folders that the workers of a cluster need.
        keep_checkpoints: keep the trained networks.

    Returns:
        A line for every cell that failed.

    Raises:
        InputError: the cluster cannot be used, a run needs more devices than it would get, or a process was ended from
            outside.
    """
    import joblib
    from joblib.externals.loky.process_executor import TerminatedWorkerError
    from tqdm import tqdm

    if jobs < 1:
        raise InputError(f"jobs {jobs}: choose at least 1")
    missing = sorted((cell for cell in cells if not cell.is_recorded), key=lambda cell: -cell.cost)
    if len(missing) < len(cells):
        _log.info("%d of %d runs are recorded already", len(cells) - len(missing), len(cells))
    refuse_what_cannot_start(missing, jobs=1 if scheduler else jobs)
    failures = []
    with _workers(scheduler, shared), _interrupted_by_sigterm():
        pool = joblib.Parallel(None if scheduler else jobs, return_as="generator_unordered", batch_size=1)
        work = run_in_own_process if scheduler else run_here
        calls = (joblib.delayed(run_cell)(cell, work, keep_checkpoints) for cell in missing)
        try:
            for failure in tqdm(pool(calls), total=len(cells), initial=len(cells) - len(missing), unit="run"):
                failures += [failure] if failure else []
        except TerminatedWorkerError as error:
            raise InputError(
                f"a process of the sweep was ended from outside, perhaps for want of memory; run the same command "
                f"again, with fewer --jobs than {jobs}: what is recorded is kept"
            ) from error
    if scheduler is not None:
        named = "".join(failures)
        lost = [cell.folder for cell in missing if not cell.is_recorded and f"{cell.folder}:" not in named]
        failures += [f"{folder}: its worker on the cluster died" for folder in lost]
    return failures


@dataclass(frozen=True)
class Encoder:
    """An encoder of a sweep and what is measured with it.

    Args:
        pretraining: what makes it; None for one with random weights.
        evaluations: what is measured; they read the checkpoints of ``pretraining``.
    """

    pretraining: Cell | None
    evaluations: tuple[Cell, ...]

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Everything in the order in which it has to run."""
        return self.evaluations if self.pretraining is None else (self.pretraining, *self.evaluations)

    @property
    def is_measured(self) -> bool:
        """Whether nothing is left to do."""
        return all(cell.is_recorded for cell in self.evaluations)


def run_encoders(
    encoders: Sequence[Encoder],
    *,
    jobs: int,
    scheduler: str | None,
    shared: Sequence[Path],
    keep_checkpoints: bool,
    list_only: bool,
) -> list[str]:
    """Pretrain what is not measured yet, then measure it.

    Args:
        encoders: what the table is made of.
        jobs, scheduler, shared: as for :func:`run_cells`.
        keep_checkpoints: keep the encoders that are measured here; those measured before stay as they are.
        list_only: print the commands of the missing runs, a line for every encoder, and run nothing.

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
    refuse_what_cannot_start(unfinished, jobs=1 if scheduler else jobs)  # not only after hours of pretraining
    pretrainings = [encoder.pretraining for encoder in missing if encoder.pretraining is not None]
    places = {"jobs": jobs, "scheduler": scheduler, "shared": shared}
    _log.info("pretraining")
    failures = run_cells(pretrainings, **places, keep_checkpoints=True)
    _log.info("linear evaluation")
    ready = [encoder for encoder in missing if encoder.pretraining is None or encoder.pretraining.is_recorded]
    failures += run_cells([cell for encoder in ready for cell in encoder.evaluations], **places)
    for encoder in ready:
        if encoder.pretraining is not None and encoder.is_measured and not keep_checkpoints:
            shutil.rmtree(encoder.pretraining.folder / "checkpoints", ignore_errors=True)
    return failures


def print_commands(groups: Sequence[Sequence[Cell]]) -> None:
    """The runs that are not recorded, as lines for a shell.

    Args:
        groups: the runs of every line, in the order in which they need each other.
    """
    for cells in groups:
        missing = [cell.command for cell in cells if not cell.is_recorded]
        if missing:
            print(" && ".join(missing))


def refuse_equal_names(**chosen: Sequence[Path]) -> None:
    """Look at the files of each option, whose names become those of folders.

    Raises:
        InputError: an option names no file, or two of one name.
    """
    for option, paths in chosen.items():
        stems = [path.stem for path in paths]
        if not stems:
            raise InputError(f"{option}: name at least one file")
        if len(set(stems)) < len(stems):
            raise InputError(f"{option} {stems}: two files have one name, which becomes that of a folder; rename one")


def refuse_repetitions(**chosen: Sequence[Any]) -> None:
    """Look at the values of each option, for each of which runs are made.

    Raises:
        InputError: an option names no value, or one of them twice.
    """
    for option, values in chosen.items():
        if not values:
            raise InputError(f"{option}: name at least one")
        if len(set(values)) < len(values):
            raise InputError(f"{option} {list(values)}: a value is named twice; its runs would share a folder")


def _workers(scheduler: str | None, shared: Sequence[Path]) -> contextlib.AbstractContextManager[None]:
    if scheduler is None:
        return contextlib.nullcontext()
    from data_prep.scheduler import connected

    return connected(scheduler, shared)


@contextlib.contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """SIGTERM, as of a job whose time is up, ends a sweep as Ctrl-C does; by itself it would let the runs go on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

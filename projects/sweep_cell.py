"""One run of a sweep: its command, whether it is done, on which devices it computes, and how it is started."""

from __future__ import annotations

import contextlib
import importlib
import logging
import multiprocessing
import os
import re
import shlex
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

import yaml

from pcrq.errors import InputError
from projects.run_record import read_records
from projects.training_cli import read_configuration


@dataclass(frozen=True)
class Cell:
    """One run of a sweep.

    Args:
        folder: its run folder.
        module: what follows ``python -m``.
        words: the rest of its command line; they make it go on where it stopped.
        ratios: label ratios that its results.json has when it is done.
        cost: how long it takes, in any unit; the longest are started first.
    """

    folder: Path
    module: str
    words: tuple[str, ...]
    ratios: tuple[float, ...]
    cost: float

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
    read = cache(read_configuration)  # a table has hundreds of runs of a few configurations
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
    if not _is_one_process(_trainer(cell, read_configuration)):
        return run_in_own_process(cell, file)
    with _printing_to(file):
        try:
            return importlib.import_module(f"{cell.module}.cli").main(list(cell.words))
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
    if cell.words[0] != "fit":  # the other commands have none
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

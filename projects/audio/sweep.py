"""Table 9 by one command: pretrainings × tasks × seeds, and random encoders beside them."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from data_prep.sound_store import SoundStore
from pcrq.errors import InputError
from projects.audio.encoder_checkpoint import UNTRAINED
from projects.sweep import Cell, claim, run_cells
from projects.training_cli import read_configuration

_log = logging.getLogger(__name__)


def audio_sweep(
    pretrain: Path,
    variants: list[Path],
    evaluation: Path,
    tasks: list[Path],
    seeds: list[int] = [0, 1, 2],  # noqa: B006 (never changed)
    scratch: bool = True,
    out: Path = Path("runs/audio_sweep"),
    options: list[str] = [],  # noqa: B006
    evaluation_options: list[str] = [],  # noqa: B006
    jobs: int = 1,
    scheduler: str | None = None,
    keep_checkpoints: bool = False,
    list_only: bool = False,
) -> list[str]:
    """Pretrain and evaluate what table 9 is made of and is not recorded yet; 'pcrq report OUT' shows it.

    Args:
        pretrain: configuration of fit.
        variants: configurations that are laid over it: arms.
        evaluation: configuration of evaluate; every encoder is evaluated once on every task.
        tasks: sound stores to evaluate on; their files have different names.
        seeds: draws of weights, orders, views and linear layers.
        scratch: evaluate random encoders, too; the configuration of evaluate tells their dimension.
        out: folder of the sweep.
        options: further options of every pretraining, such as --trainer.accelerator=cpu.
        evaluation_options: further options of every evaluation.
        jobs: runs at once.
        scheduler: run on a cluster instead, dask://HOST:PORT or ray://HOST:PORT (docs/clusters.md).
        keep_checkpoints: keep the encoders, not just their results.
        list_only: print the commands of the missing runs, a line each, and run nothing.

    Returns:
        A line for every run that failed.

    Raises:
        InputError: the options contradict each other, or a file cannot be used.
    """
    claim(out, _settings(pretrain, variants, evaluation, tasks, seeds, options, evaluation_options))
    runs = [_Run(variant, seed, out.absolute()) for variant, seed in product(variants, seeds)]
    runs += [_Run(None, seed, out.absolute()) for seed in seeds if scratch]
    evaluations = {run: [run.evaluation(evaluation, task, evaluation_options) for task in tasks] for run in runs}
    missing = [run for run in runs if not all(cell.is_recorded for cell in evaluations[run])]
    pretrainings = {run: run.pretraining(pretrain, options) for run in missing if run.variant is not None}
    if list_only:
        for cell in [*pretrainings.values(), *(cell for run in missing for cell in evaluations[run])]:
            if not cell.is_recorded:
                print(cell.command)
        return []
    shared = [out, pretrain, *variants, evaluation, *tasks]
    _log.info("pretraining")
    failures = run_cells(
        list(pretrainings.values()), jobs=jobs, scheduler=scheduler, shared=shared, keep_checkpoints=True
    )
    _log.info("linear evaluation")
    ready = [run for run in missing if run not in pretrainings or pretrainings[run].is_recorded]
    failures += run_cells(
        [cell for run in ready for cell in evaluations[run]], jobs=jobs, scheduler=scheduler, shared=shared
    )
    done = [cell for cells in evaluations.values() for cell in cells if cell.is_recorded]
    for run in pretrainings:
        if all(cell.is_recorded for cell in evaluations[run]) and not keep_checkpoints:
            shutil.rmtree(run.folder / "checkpoints", ignore_errors=True)
    _log.info("%d of %d evaluations are recorded; pcrq report %s", len(done), len(runs) * len(tasks), out)
    return failures


@dataclass(frozen=True)
class _Run:
    """An encoder: what is laid over the configuration, None for a random one, and a seed."""

    variant: Path | None
    seed: int
    out: Path

    @property
    def folder(self) -> Path:
        return self.out / (UNTRAINED if self.variant is None else self.variant.stem) / f"seed{self.seed}"

    def pretraining(self, configuration: Path, options: list[str]) -> Cell:
        """Done when it has a results file, be there something in it or not."""
        words = [f"--config={configuration.absolute()}", f"--config={self.variant.absolute()}", *options]
        words += [f"--run_dir={self.folder}", f"--seed_everything={self.seed}", "--ckpt_path=last"]
        words += ["--trainer.enable_progress_bar=false"]
        return Cell(self.folder, "projects.audio.pretrain", ("fit", *words), (), 1)

    def evaluation(self, configuration: Path, task: Path, options: list[str]) -> Cell:
        folder = self.folder / task.stem
        words = [f"--config={configuration.absolute()}", f"--store={task.absolute()}", *options]
        words += [f"--run_dir={folder}", f"--seed={self.seed}", "--repeats=1"]
        if self.variant is not None:
            words.append(f"--checkpoint={self.folder / 'checkpoints' / 'last.ckpt'}")
        return Cell(folder, "projects.audio.pretrain", ("evaluate", *words), (1.0,), len(SoundStore(task)))


def _settings(
    pretrain: Path,
    variants: list[Path],
    evaluation: Path,
    tasks: list[Path],
    seeds: list[int],
    options: list[str],
    evaluation_options: list[str],
) -> dict:
    """What all runs of a sweep have in common; looks into every file before anything is run."""
    if not (variants and tasks and seeds):
        raise InputError("variants, tasks and seeds: name at least one of each")
    for name, chosen in {"variants": variants, "tasks": tasks}.items():
        stems = [path.stem for path in chosen]
        if len(set(stems)) < len(stems):
            raise InputError(f"{name} {stems}: two files have one name, which becomes that of a folder; rename one")
    if UNTRAINED in [path.stem for path in variants]:
        raise InputError(f"variants: {UNTRAINED} is what the folder of random encoders is called; rename the file")
    settings = {"options": list(options), "evaluation_options": list(evaluation_options)}
    for path in (pretrain, *variants):
        settings[f"configuration {path.stem}"] = read_configuration(path, "fit")
    settings["configuration of the evaluation"] = read_configuration(evaluation, "evaluate")
    settings["tasks"] = {path.stem: SoundStore(path).digest for path in tasks}
    return settings

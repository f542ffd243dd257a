"""Table 9 by one command: pretrainings × tasks × seeds, and random encoders beside them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from jsonargparse import ArgumentError, ArgumentParser

from pcrq.errors import InputError
from pcrq.stores.sound_store import SoundStore
from projects.audio.encoder_checkpoint import UNTRAINED
from projects.audio.linear_evaluation.evaluate import evaluate
from projects.training.cli import read_configuration
from projects.training.sweep import Cell, Encoder, check_file_names, check_sweep_config, check_values, run_encoders

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
        variants: configurations that are laid over it: methods.
        evaluation: configuration of evaluate, by which every encoder is evaluated on every task.
        tasks: sound stores to evaluate on; their files have different names. Others can follow later.
        seeds: draws of weights, orders, views and linear layers.
        scratch: evaluate random encoders, too; the configuration of evaluate tells their dimension.
        out: folder of the sweep.
        options: further options of every pretraining, such as --trainer.accelerator=cpu.
        evaluation_options: further options of every evaluation.
        jobs: runs at once.
        scheduler: run on a cluster instead, dask://HOST:PORT or ray://HOST:PORT (docs/clusters.md).
        keep_checkpoints: keep the encoders, not just their results; without, a later task trains them again.
        list_only: print the commands of the missing runs, a line for every encoder, and run nothing.

    Returns:
        A line for every run that failed.

    Raises:
        InputError: the options contradict each other, or a file cannot be used.
    """
    settings = _settings(pretrain, variants, evaluation, tasks, seeds, options, evaluation_options)
    repeats = _repeats(evaluation, evaluation_options)
    check_sweep_config(out, settings)
    runs = [_Run(variant, seed, out.absolute()) for variant, seed in product(variants, seeds)]
    runs += [_Run(None, seed, out.absolute()) for seed in seeds if scratch]
    encoders = [
        Encoder(
            None if run.variant is None else run.pretraining(pretrain, options),
            tuple(run.evaluation(evaluation, task, evaluation_options, repeats) for task in tasks),
        )
        for run in runs
    ]
    failures = run_encoders(
        encoders,
        jobs=jobs,
        scheduler=scheduler,
        shared=[out, pretrain, *variants, evaluation, *tasks],
        keep_checkpoints=keep_checkpoints,
        list_only=list_only,
    )
    if not list_only:
        done = sum(cell.is_recorded for encoder in encoders for cell in encoder.evaluations)
        _log.info("%d of %d evaluations are recorded; pcrq report %s", done, len(runs) * len(tasks), out)
    return failures


class _Pretraining(Cell):
    @property
    def is_recorded(self) -> bool:
        """Made again for tasks that follow after its checkpoints went."""
        return super().is_recorded and (self.folder / "checkpoints" / "last.ckpt").exists()


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
        """Done when it has a results file, be there something in it or not, and the encoder is there."""
        words = [f"--config={configuration.absolute()}", f"--config={self.variant.absolute()}", *options]
        words += [f"--run_dir={self.folder}", f"--seed_everything={self.seed}", "--ckpt_path=last"]
        words += ["--trainer.enable_progress_bar=false"]
        return _Pretraining(self.folder, "projects.audio.pretrain", ("fit", *words), (), 1)

    def evaluation(self, configuration: Path, task: Path, options: list[str], repeats: int) -> Cell:
        """Done when it has a record, as all its repeats are recorded at once; no other encoder's have their seeds."""
        folder = self.folder / task.stem
        words = [f"--config={configuration.absolute()}", f"--store={task.absolute()}", *options]
        words += [f"--run_dir={folder}", f"--seed={self.seed * repeats}"]
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
    check_file_names(variants=variants, tasks=tasks)
    check_values(seeds=seeds)
    if UNTRAINED in [path.stem for path in variants]:
        raise InputError(f"variants: {UNTRAINED} is what the folder of random encoders is called; rename the file")
    settings = {"options": list(options), "evaluation_options": list(evaluation_options)}
    for path in (pretrain, *variants):
        settings[f"configuration {path.stem}"] = read_configuration(path, "fit")
    settings["configuration of the evaluation"] = read_configuration(evaluation, "evaluate")
    settings.update({f"task {path.stem}": SoundStore(path).digest for path in tasks})
    return settings


def _repeats(configuration: Path, options: list[str]) -> int:
    """How often an evaluation trains its layer, as its command line will understand the words."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_function_arguments(evaluate)
    try:
        return parser.parse_args([f"--config={configuration}", "--store=any", *options]).repeats
    except ArgumentError as error:
        raise InputError(f"evaluation {configuration}, evaluation_options {options}: {error}") from error

"""Run table 9: every pretraining, and its linear evaluation on every task, that is not recorded yet."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from jsonargparse import ArgumentError, ArgumentParser

from pcrq import InputError
from pcrq.stores import SoundStore
from projects.audio.encoder import UNTRAINED
from projects.audio.evaluate import evaluate
from projects.training.run import FunctionProgram, find_config, read_config
from projects.training.sweep import Cell, Encoder, check_file_names, check_sweep_config, check_values, run_encoders

CONFIGS = Path(__file__).parent / "configs"

_log = logging.getLogger(__name__)


def audio_sweep(
    pretrain: str,
    variants: list[str],
    evaluation: str,
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
    """Pretrain and evaluate all encoders of table 9 that are not recorded yet.

    'pcrq report OUT' shows the table.

    Args:
        pretrain: config of 'pcrq pretrain sounds', by name or path.
        variants: configs of augmentations, by name or path; each overrides values of the pretraining config.
        evaluation: config of 'pcrq evaluate sounds', by name or path.
        tasks: sound stores to evaluate on; the names of the files differ. More tasks can be added later.
        seeds: random seeds; each has its own pretraining of every variant.
        scratch: also evaluate encoders with random weights, of the sizes in the evaluation config.
        out: folder of the sweep.
        options: further options of every pretraining, such as --trainer.accelerator=cpu.
        evaluation_options: further options of every evaluation.
        jobs: number of parallel runs.
        scheduler: cluster to run on instead, dask://HOST:PORT or ray://HOST:PORT (docs/clusters.md).
        keep_checkpoints: keep the checkpoints after the evaluation; otherwise a task that is added later pretrains
            again.
        list_only: print the commands of the missing runs, one line per encoder, and run nothing.

    Returns:
        A line for every run that failed.

    Raises:
        InputError: the options contradict each other, or a file cannot be used.
    """
    base, evaluation_config = find_config(pretrain, CONFIGS), find_config(evaluation, CONFIGS)
    overrides = [find_config(variant, CONFIGS) for variant in variants]
    settings = _settings(base, overrides, evaluation_config, tasks, seeds, options, evaluation_options)
    repeats = _repeats(evaluation_config, evaluation_options)
    check_sweep_config(out, settings)
    runs = [_Run(variant, seed, out.absolute()) for variant, seed in product(overrides, seeds)]
    runs += [_Run(None, seed, out.absolute()) for seed in seeds if scratch]
    encoders = [
        Encoder(
            None if run.variant is None else run.pretraining(base, options),
            tuple(run.evaluation(evaluation_config, task, evaluation_options, repeats) for task in tasks),
        )
        for run in runs
    ]
    failures = run_encoders(
        encoders,
        jobs=jobs,
        scheduler=scheduler,
        shared=[out, base, *overrides, evaluation_config, *tasks],
        keep_checkpoints=keep_checkpoints,
        list_only=list_only,
    )
    if not list_only:
        done = sum(cell.is_recorded for encoder in encoders for cell in encoder.evaluations)
        _log.info("%d of %d evaluations are recorded; next: pcrq report %s", done, len(runs) * len(tasks), out)
    return failures


class _Pretraining(Cell):
    @property
    def is_recorded(self) -> bool:
        """Whether results and checkpoint exist; a task that is added later needs the checkpoint again."""
        return super().is_recorded and (self.folder / "checkpoints" / "last.ckpt").exists()


@dataclass(frozen=True)
class _Run:
    """An encoder: a variant and a seed.

    Args:
        variant: config of the variant; None for random weights.
        seed: random seed.
        out: folder of the sweep.
    """

    variant: Path | None
    seed: int
    out: Path

    @property
    def folder(self) -> Path:
        return self.out / (UNTRAINED if self.variant is None else self.variant.stem) / f"seed{self.seed}"

    def pretraining(self, config: Path, options: list[str]) -> Cell:
        """The pretraining. It is done when a results file, even without records, and the checkpoint exist."""
        words = [f"--config={config.absolute()}", f"--config={self.variant.absolute()}", *options]
        words += [f"--out={self.folder}", f"--seed={self.seed}", "--resume=last", "--trainer.enable_progress_bar=false"]
        return _Pretraining(self.folder, "projects.audio.pretrain", tuple(words), (), 1)

    def evaluation(self, config: Path, task: Path, options: list[str], repeats: int) -> Cell:
        """The evaluation on a task. Its repeats are recorded together, with seeds that no other encoder has."""
        folder = self.folder / task.stem
        words = [f"--config={config.absolute()}", f"--store={task.absolute()}", *options]
        words += [f"--out={folder}", f"--seed={self.seed * repeats}"]
        if self.variant is not None:
            words.append(f"--checkpoint={self.folder / 'checkpoints' / 'last.ckpt'}")
        cost = len(SoundStore(task))
        return Cell(folder, "projects.audio.evaluate", tuple(words), (1.0,), cost, trains=False)


def _settings(
    pretrain: Path,
    variants: list[Path],
    evaluation: Path,
    tasks: list[Path],
    seeds: list[int],
    options: list[str],
    evaluation_options: list[str],
) -> dict:
    """What all runs of a sweep have in common. Reads every file before anything runs."""
    check_file_names(variants=variants, tasks=tasks)
    check_values(seeds=seeds)
    if UNTRAINED in [path.stem for path in variants]:
        raise InputError(f"variants: {UNTRAINED} is the folder of random encoders; rename the config")
    settings = {"options": list(options), "evaluation_options": list(evaluation_options)}
    for path in (pretrain, *variants):
        settings[f"configuration {path.stem}"] = read_config(path, "training")
    settings["configuration of the evaluation"] = read_config(evaluation, "evaluation")
    settings.update({f"task {path.stem}": SoundStore(path).digest for path in tasks})
    return settings


def _repeats(config: Path, options: list[str]) -> int:
    """The option ``repeats`` of the evaluations."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_function_arguments(evaluate)
    try:
        return parser.parse_args([f"--config={config}", "--store=any", *options]).repeats
    except ArgumentError as error:
        raise InputError(f"evaluation {config}, evaluation_options {options}: {error}") from error


PROGRAM = FunctionProgram(name="sweep sounds", configs=CONFIGS, function=audio_sweep, kind="sweep")
main = PROGRAM.main

if __name__ == "__main__":
    sys.exit(main())

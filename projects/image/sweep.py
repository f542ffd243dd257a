"""The runs of a whole table: configurations × variants of them × seeds, each a pretraining and its linear probe."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from pcrq.errors import InputError
from projects.training.cli import read_configuration
from projects.training.sweep import Cell, Encoder, check_file_names, check_sweep_config, check_values, run_encoders

_log = logging.getLogger(__name__)


def image_sweep(
    pretrain: list[Path],
    variants: list[Path],
    probe: Path,
    seeds: list[int] = [0, 1, 2],  # noqa: B006 (never changed)
    out: Path = Path("runs/image_sweep"),
    options: list[str] = [],  # noqa: B006
    probe_options: list[str] = [],  # noqa: B006
    jobs: int = 1,
    scheduler: str | None = None,
    keep_checkpoints: bool = False,
    list_only: bool = False,
) -> list[str]:
    """Pretrain and probe what a table is made of and is not recorded yet; 'pcrq report OUT' shows it.

    Args:
        pretrain: configurations of fit, such as one for every framework; they must measure kNN accuracy.
        variants: configurations that are laid over each of them: methods, or other lengths.
        probe: configuration of the linear probe.
        seeds: draws of weights, orders and views.
        out: folder of the sweep.
        options: further options of every pretraining, such as --trainer.accelerator=cpu.
        probe_options: further options of every probe.
        jobs: runs at once.
        scheduler: run on a cluster instead, dask://HOST:PORT or ray://HOST:PORT (docs/clusters.md).
        keep_checkpoints: keep the encoders, not just their results.
        list_only: print the commands of the missing runs, a line for every encoder, and run nothing.

    Returns:
        A line for every run that failed.

    Raises:
        InputError: the options contradict each other, or a file cannot be used.
    """
    check_sweep_config(out, _settings(pretrain, variants, probe, seeds, options, probe_options))
    runs = [_Run(*chosen, out.absolute()) for chosen in product(pretrain, variants, seeds)]
    encoders = [Encoder(run.pretraining(options), (run.probe(probe, probe_options),)) for run in runs]
    failures = run_encoders(
        encoders,
        jobs=jobs,
        scheduler=scheduler,
        shared=[out, *pretrain, *variants, probe],
        keep_checkpoints=keep_checkpoints,
        list_only=list_only,
    )
    if not list_only:
        done = sum(encoder.is_measured for encoder in encoders)
        _log.info("%d of %d runs are recorded; pcrq report %s", done, len(runs), out)
    return failures


@dataclass(frozen=True)
class _Run:
    """A configuration, what is laid over it, and a seed."""

    base: Path
    variant: Path
    seed: int
    out: Path

    @property
    def folder(self) -> Path:
        return self.out / self.base.stem / self.variant.stem / f"seed{self.seed}"

    def pretraining(self, options: list[str]) -> Cell:
        configurations = (f"--config={self.base.absolute()}", f"--config={self.variant.absolute()}")
        return self._cell("projects.image.pretrain", self.folder, (*configurations, *options))

    def probe(self, configuration: Path, options: list[str]) -> Cell:
        checkpoint = self.folder / "checkpoints" / "last.ckpt"
        words = (f"--config={configuration.absolute()}", f"--model.checkpoint={checkpoint}", *options)
        return self._cell("projects.image.linear_probe", self.folder / "linear", words)

    def _cell(self, module: str, folder: Path, words: tuple[str, ...]) -> Cell:
        own = (f"--run_dir={folder}", f"--seed_everything={self.seed}", "--ckpt_path=last")
        return Cell(folder, module, ("fit", *words, *own, "--trainer.enable_progress_bar=false"), (1.0,), 1)


def _settings(
    pretrain: list[Path],
    variants: list[Path],
    probe: Path,
    seeds: list[int],
    options: list[str],
    probe_options: list[str],
) -> dict:
    """What all runs of a sweep have in common; looks into every file before anything is run."""
    check_file_names(pretrain=pretrain, variants=variants)
    check_values(seeds=seeds)
    settings = {"options": list(options), "probe_options": list(probe_options)}
    for path in (*pretrain, *variants, probe):
        settings[f"configuration {path.stem}"] = read_configuration(path, "fit")
    for path in pretrain:
        if settings[f"configuration {path.stem}"].get("knn", {}).get("every_n_epochs") == 0:
            raise InputError(f"{path}: knn.every_n_epochs is 0, but a sweep records the kNN accuracy of every run")
    return settings

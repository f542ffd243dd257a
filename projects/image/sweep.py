"""The runs of a table: configs × variants × seeds, each a pretraining and its linear evaluation."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from pcrq import InputError
from projects.training.run import FunctionProgram, find_config, read_config
from projects.training.sweep import Cell, Encoder, check_file_names, check_sweep_config, check_values, run_encoders

CONFIGS = Path(__file__).parent / "configs"

_log = logging.getLogger(__name__)


def image_sweep(
    pretrain: list[str],
    variants: list[str],
    probe: str,
    seeds: list[int] = [0, 1, 2],  # noqa: B006 (never changed)
    out: Path = Path("runs/image_sweep"),
    options: list[str] = [],  # noqa: B006
    probe_options: list[str] = [],  # noqa: B006
    jobs: int = 1,
    scheduler: str | None = None,
    keep_checkpoints: bool = False,
    list_only: bool = False,
) -> list[str]:
    """Pretrain and evaluate image encoders for all combinations of configs, variants and seeds.

    Combinations that are already recorded are skipped; 'pcrq report OUT' shows the results.

    Args:
        pretrain: configs of 'pcrq pretrain images', for example one per framework; they must measure kNN accuracy.
        variants: configs that override values of each of them, such as augmentation variants or other lengths.
        probe: config of 'pcrq evaluate images'.
        seeds: random seeds.
        out: folder of the sweep.
        options: further options of every pretraining, such as --trainer.accelerator=cpu.
        probe_options: further options of every evaluation.
        jobs: number of parallel runs.
        scheduler: run on a cluster, dask://HOST:PORT or ray://HOST:PORT (docs/clusters.md).
        keep_checkpoints: keep the checkpoints of the encoders.
        list_only: print the commands of the missing runs, one line per encoder, and run nothing.

    Returns:
        A line for every run that failed.

    Raises:
        InputError: the options contradict each other, or a config cannot be used.
    """
    bases, laid_over = ([find_config(name, CONFIGS) for name in names] for names in (pretrain, variants))
    probe_config = find_config(probe, CONFIGS)
    check_sweep_config(out, _settings(bases, laid_over, probe_config, seeds, options, probe_options))
    runs = [_Run(*chosen, out.absolute()) for chosen in product(bases, laid_over, seeds)]
    encoders = [Encoder(run.pretraining(options), (run.evaluation(probe_config, probe_options),)) for run in runs]
    failures = run_encoders(
        encoders,
        jobs=jobs,
        scheduler=scheduler,
        shared=[out, *bases, *laid_over, probe_config],
        keep_checkpoints=keep_checkpoints,
        list_only=list_only,
    )
    if not list_only:
        done = sum(encoder.is_measured for encoder in encoders)
        _log.info("%d of %d runs are recorded; next: pcrq report %s", done, len(runs), out)
    return failures


@dataclass(frozen=True)
class _Run:
    """A config, a variant of it and a seed."""

    base: Path
    variant: Path
    seed: int
    out: Path

    @property
    def folder(self) -> Path:
        return self.out / self.base.stem / self.variant.stem / f"seed{self.seed}"

    def pretraining(self, options: list[str]) -> Cell:
        configs = (f"--config={self.base.absolute()}", f"--config={self.variant.absolute()}")
        return self._cell("projects.image.pretrain", self.folder, (*configs, *options))

    def evaluation(self, config: Path, options: list[str]) -> Cell:
        checkpoint = self.folder / "checkpoints" / "last.ckpt"
        words = (f"--config={config.absolute()}", f"--model.checkpoint={checkpoint}", *options)
        return self._cell("projects.image.linear_probe", self.folder / "linear", words)

    def _cell(self, module: str, folder: Path, words: tuple[str, ...]) -> Cell:
        common = (f"--out={folder}", f"--seed={self.seed}", "--resume=last", "--trainer.enable_progress_bar=false")
        return Cell(folder, module, (*words, *common), (1.0,), 1)


def _settings(
    bases: list[Path],
    variants: list[Path],
    probe: Path,
    seeds: list[int],
    options: list[str],
    probe_options: list[str],
) -> dict[str, Any]:
    """What all runs of a sweep share; reads every config before anything runs."""
    check_file_names(pretrain=bases, variants=variants)
    check_values(seeds=seeds)
    settings = {"options": list(options), "probe_options": list(probe_options)}
    for path in (*bases, *variants, probe):
        settings[f"config {path.stem}"] = read_config(path, "training")
    for path in bases:
        if settings[f"config {path.stem}"].get("knn", {}).get("every_n_epochs") == 0:
            raise InputError(
                f"{path}: knn.every_n_epochs is 0, but a sweep records the kNN accuracy; set it to 1 or more"
            )
    return settings


PROGRAM = FunctionProgram("sweep images", CONFIGS, image_sweep, kind="sweep")
main = PROGRAM.main

if __name__ == "__main__":
    sys.exit(main())

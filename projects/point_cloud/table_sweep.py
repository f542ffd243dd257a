"""The runs of a whole table: protocols × pretrained networks × label ratios × seeds (× categories)."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from octree.pretrained import load_pretrained
from pcrq.checkpoint import weights_digest
from pcrq.errors import InputError
from pcrq.stores.shape_store import ShapeStore
from projects.point_cloud.labelled_data import category_parts
from projects.training.cli import read_configuration
from projects.training.sweep import Cell, claim, print_commands, refuse_repetitions, run_cells

RATIOS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0]
PROTOCOLS = ("scratch", "lin", "ft")

_log = logging.getLogger(__name__)


def classify_sweep(
    store: Path,
    protocols: dict[str, Path],
    pretrained: dict[str, str] = {},  # noqa: B006 (never changed)
    ratios: list[float] = RATIOS,
    seeds: list[int] = [0, 1, 2],  # noqa: B006
    out: Path = Path("runs/table6"),
    options: list[str] = [],  # noqa: B006
    jobs: int = 1,
    scheduler: str | None = None,
    keep_checkpoints: bool = False,
    list_only: bool = False,
) -> list[str]:
    """Run what table 6 is made of and is not recorded yet; 'pcrq report OUT' shows it.

    Args:
        store: shape store with categories and the splits "train" and "test".
        protocols: the configuration of every protocol to run: scratch, lin, ft.
        pretrained: networks for lin and ft: name in the report, and checkpoint or exported folder; {seed} in it is
            replaced, so that every seed can have a pretraining of its own.
        ratios: parts of the labels, in (0, 1].
        seeds: draws of weights, orders and distortions.
        out: folder of the sweep.
        options: further options of every run of fit, such as --trainer.accelerator=cpu.
        jobs: runs at once.
        scheduler: run on a cluster instead, dask://HOST:PORT or ray://HOST:PORT (docs/clusters.md).
        keep_checkpoints: keep the trained networks, not just their results.
        list_only: print the commands of the missing runs, a line each, and run nothing.

    Returns:
        A line for every run that failed.

    Raises:
        InputError: the options contradict each other, or a file cannot be used.
    """
    _check(protocols, pretrained, ratios, seeds, lin_apart=True)
    settings = _settings(store, protocols, pretrained, seeds, options)
    rows = list(_rows(protocols, pretrained, seeds))
    module, cells = "projects.point_cloud.classify", []
    for row in rows:
        if row.protocol == "lin":  # one run for all ratios, as they share the features
            run = row.folder(out) / f"seed{row.seed}"
            words = [
                f"--config={row.config}",
                f"--run_dir={run}",
                f"--store={store.absolute()}",
                f"--method={row.method}",
            ]
            words += [f"--pretrained={row.checkpoint}", f"--ratios={list(ratios)}", f"--seed={row.seed}"]
            cells.append(Cell(run, module, ("lin", *words), tuple(ratios), sum(ratios)))
            continue
        for ratio in ratios:
            run = row.folder(out) / f"ratio{ratio}" / f"seed{row.seed}"
            cells.append(Cell(run, module, (*row.fit(run, store, ratio), *options), (ratio,), ratio))
    return _run(cells, out, _files(store, rows), settings, jobs, scheduler, keep_checkpoints, list_only)


def segment_sweep(
    store: Path,
    protocols: dict[str, Path],
    pretrained: dict[str, str] = {},  # noqa: B006 (never changed)
    ratios: list[float] = RATIOS,
    seeds: list[int] = [0, 1, 2],  # noqa: B006
    categories: list[str] | None = None,
    out: Path = Path("runs/table7"),
    options: list[str] = [],  # noqa: B006
    jobs: int = 1,
    scheduler: str | None = None,
    keep_checkpoints: bool = False,
    list_only: bool = False,
) -> list[str]:
    """Run what table 7 is made of and is not recorded yet, a network per category; 'pcrq report OUT' shows it.

    Args:
        store: shape store with parts named "category/part" and the splits "train" and "test".
        protocols: the configuration of every protocol to run: scratch, lin, ft.
        pretrained: networks for lin and ft: name in the report, and checkpoint or exported folder; {seed} in it is
            replaced, so that every seed can have a pretraining of its own.
        ratios: parts of the labels, in (0, 1].
        seeds: draws of weights, orders and distortions.
        categories: names of the categories; all for None. The report's means need all.
        out: folder of the sweep.
        options: further options of every run of fit, such as --trainer.accelerator=cpu.
        jobs: runs at once.
        scheduler: run on a cluster instead, dask://HOST:PORT or ray://HOST:PORT (docs/clusters.md).
        keep_checkpoints: keep the trained networks, not just their results.
        list_only: print the commands of the missing runs, a line each, and run nothing.

    Returns:
        A line for every run that failed.

    Raises:
        InputError: the options contradict each other, or a file cannot be used.
    """
    _check(protocols, pretrained, ratios, seeds)
    opened = ShapeStore(store)
    known = list(category_parts(opened))
    unknown = [name for name in categories or [] if name not in known]
    if unknown:
        raise InputError(f"{store}: no parts of a category {unknown[0]!r}; choose among {', '.join(known)}")
    refuse_repetitions(categories=categories or known)
    settings = _settings(store, protocols, pretrained, seeds, options)
    rows = list(_rows(protocols, pretrained, seeds))
    module, cells = "projects.point_cloud.segment", []
    for row, ratio, name in product(rows, ratios, categories or known):
        run = row.folder(out) / f"ratio{ratio}" / f"seed{row.seed}" / name
        words = (*row.fit(run, store, ratio), f"--data.category={name}", *options)
        shapes = int((opened.category == opened.classes.index(name)).sum())
        cells.append(Cell(run, module, words, (ratio,), ratio * shapes))
    return _run(cells, out, _files(store, rows), settings, jobs, scheduler, keep_checkpoints, list_only)


def _check(
    protocols: dict[str, Path],
    pretrained: dict[str, str],
    ratios: list[float],
    seeds: list[int],
    *,
    lin_apart: bool = False,
) -> None:
    """Refuse what cannot become a sweep; ``lin_apart`` where linear classification is a command of its own."""
    unknown = [name for name in protocols if name not in PROTOCOLS]
    if unknown or not protocols:
        raise InputError(f"protocols {list(protocols)}: name configurations for some of {', '.join(PROTOCOLS)}")
    if not pretrained and set(protocols) != {"scratch"}:
        raise InputError("protocols lin and ft need pretrained networks; name them under pretrained")
    for ratio in ratios:
        if not 0 < ratio <= 1:
            raise InputError(f"ratio {ratio}: choose a number above 0 and up to 1")
    refuse_repetitions(ratios=ratios, seeds=seeds)
    folders = [_folder_name(method) for method in pretrained]
    if "" in folders or len(set(folders)) < len(folders):
        raise InputError(
            f"pretrained {list(pretrained)}: the names become those of folders; tell them apart by letters"
        )
    for protocol, path in protocols.items():
        read_configuration(Path(path), "lin" if protocol == "lin" and lin_apart else "fit")


def _settings(
    store: Path, protocols: dict[str, Path], pretrained: dict[str, str], seeds: list[int], options: list[str]
) -> dict:
    """What all runs of a sweep have in common; looks into every file before anything is run."""
    settings = {"store": ShapeStore(store).digest, "options": list(options)}
    for name, path in protocols.items():
        settings[f"configuration of {name}"] = read_configuration(Path(path))
    if set(protocols) != {"scratch"}:
        for (method, path), seed in product(pretrained.items(), seeds):
            digest = weights_digest(load_pretrained(path.replace("{seed}", str(seed))))
            settings[f"network {method} of seed {seed}"] = digest
    return settings


@dataclass(frozen=True)
class _Row:
    """What a line of the table is made of."""

    protocol: str
    config: Path
    method: str
    checkpoint: Path | None
    seed: int

    def folder(self, out: Path) -> Path:
        """For all its runs."""
        return out.absolute() / self.protocol / _folder_name(self.method)

    def fit(self, run: Path, store: Path, ratio: float) -> list[str]:
        """The words of the command that trains on a part of the labels."""
        words = ["fit", f"--config={self.config}", f"--run_dir={run}", f"--data.store={store.absolute()}"]
        words += [f"--data.ratio={ratio}", f"--model.protocol={self.protocol}", f"--seed_everything={self.seed}"]
        words += ["--ckpt_path=last", "--trainer.enable_progress_bar=false"]
        return words + (
            [f"--model.pretrained={self.checkpoint}", f"--model.method={self.method}"] if self.checkpoint else []
        )


def _rows(protocols: dict[str, Path], pretrained: dict[str, str], seeds: list[int]) -> Iterator[_Row]:
    for protocol in (name for name in PROTOCOLS if name in protocols):
        methods = {"scratch": None} if protocol == "scratch" else pretrained
        for (method, path), seed in product(methods.items(), seeds):
            checkpoint = None if path is None else Path(path.replace("{seed}", str(seed))).absolute()
            yield _Row(protocol, Path(protocols[protocol]).absolute(), method, checkpoint, seed)


def _files(store: Path, rows: list[_Row]) -> list[Path]:
    """What the runs read."""
    return [store, *(row.config for row in rows), *(row.checkpoint for row in rows if row.checkpoint)]


def _folder_name(method: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", method.lower()).strip("_")


def _run(
    cells: list[Cell],
    out: Path,
    files: list[Path],
    settings: dict,
    jobs: int,
    scheduler: str | None,
    keep_checkpoints: bool,
    list_only: bool,
) -> list[str]:
    claim(out, settings)
    if list_only:
        print_commands([[cell] for cell in cells])
        return []
    shared = [out, *files]
    failures = run_cells(cells, jobs=jobs, scheduler=scheduler, shared=shared, keep_checkpoints=keep_checkpoints)
    _log.info("%d of %d runs are recorded; pcrq report %s", sum(cell.is_recorded for cell in cells), len(cells), out)
    return failures

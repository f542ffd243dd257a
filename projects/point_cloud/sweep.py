"""All runs of table 6 or 7 of the paper: protocols × pretrained networks × label ratios × seeds (× categories)."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from octree import load_pretrained
from pcrq import InputError
from pcrq.checkpoint import load_checkpoint, weights_digest
from pcrq.stores import ShapeStore
from projects.point_cloud.segment import category_parts
from projects.training.run import FunctionProgram, find_config, read_config
from projects.training.sweep import Cell, Encoder, check_sweep_config, check_values, run_encoders

CONFIGS = Path(__file__).parent / "configs"
RATIOS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0]
PROTOCOLS = ("scratch", "lin", "ft")
CHECKPOINT = "checkpoints/last.ckpt"

_log = logging.getLogger(__name__)


def classify_sweep(
    store: Path,
    protocols: dict[str, str],
    pretrained: dict[str, str] = {},  # noqa: B006 (never changed)
    pretrain: dict[str, str] = {},  # noqa: B006
    ratios: list[float] = RATIOS,
    seeds: list[int] = [0, 1, 2],  # noqa: B006
    out: Path = Path("runs/table6"),
    options: list[str] = [],  # noqa: B006
    jobs: int = 1,
    scheduler: str | None = None,
    keep_checkpoints: bool = False,
    list_only: bool = False,
) -> list[str]:
    """Run everything of table 6 that is not recorded yet; 'pcrq report OUT' shows it.

    Args:
        store: shape store with categories and the splits "train" and "test".
        protocols: the config of every protocol, by name or path: scratch and ft of 'pcrq classify', lin of 'pcrq
            evaluate shapes'.
        pretrained: networks for lin and ft: name in the report, and checkpoint or exported folder. {seed} in the path
            is replaced, so that every seed can have its own pretraining.
        pretrain: further networks, which are pretrained on the training shapes of ``store`` first, one for every seed:
            name in the report, and config of 'pcrq pretrain shapes', by name or path.
        ratios: fractions of the labels, in (0, 1].
        seeds: random seeds of weights, order and augmentation.
        out: folder of the sweep.
        options: further options of every 'pcrq classify', such as --trainer.accelerator=cpu.
        jobs: number of runs at the same time.
        scheduler: cluster to run on, dask://HOST:PORT or ray://HOST:PORT (docs/clusters.md).
        keep_checkpoints: keep the trained networks, not only their results.
        list_only: print the commands of the missing runs, one per line, and run nothing.

    Returns:
        A line for every run that failed.

    Raises:
        InputError: the options contradict each other, or a file cannot be used.
    """
    kinds = {"scratch": "training", "lin": "evaluation", "ft": "training"}
    new = {method: str(_pretraining_folder(out, method, "{seed}") / CHECKPOINT) for method in pretrain}
    if twice := set(new) & set(pretrained):
        raise InputError(f"pretrain and pretrained: both have the name {min(twice)!r}; rename one")
    configs = _find_configs(protocols, kinds, {**pretrained, **new}, ratios, seeds)
    config = _sweep_config(store, configs, pretrained, seeds, options)
    pretrainings = {}
    for method, name in pretrain.items():
        path = find_config(name, CONFIGS).absolute()
        config[f"config of pretraining {method}"] = values = read_config(path, "training")
        epochs = values.get("trainer", {}).get("max_epochs")
        if not isinstance(epochs, int):
            raise InputError(f"{path}: trainer.max_epochs is missing; set it to the number of epochs")
        for seed in seeds:
            folder = _pretraining_folder(out, method, str(seed))
            words = (f"--config={path}", f"--out={folder}", f"--data.store={store.absolute()}", f"--seed={seed}")
            words += ("--resume=last", "--trainer.enable_progress_bar=false")
            pretraining = _Pretraining(folder, "projects.point_cloud.pretrain", words, (), epochs, epochs=epochs)
            pretrainings[method, seed] = pretraining

    rows = list(_rows(configs, {**pretrained, **new}, seeds))
    encoders, evaluations = [], {key: [] for key in pretrainings}
    for row in rows:
        if row.protocol == "lin":  # one run for all ratios, which share the features
            cells = [row.evaluation(row.folder(out) / f"seed{row.seed}", store, ratios)]
        else:
            cells = []
            for ratio in ratios:
                folder = row.folder(out) / f"ratio{ratio}" / f"seed{row.seed}"
                words = (*row.training(folder, store, ratio), *options)
                cells.append(Cell(folder, "projects.point_cloud.classify", words, (ratio,), ratio))
        if (row.method, row.seed) in evaluations:
            evaluations[row.method, row.seed] += cells
        else:
            encoders += [Encoder(None, (cell,)) for cell in cells]
    encoders += [Encoder(pretrainings[key], tuple(cells)) for key, cells in evaluations.items()]
    files = _files(store, [row for row in rows if (row.method, row.seed) not in pretrainings])
    return _run(encoders, out, files, config, jobs, scheduler, keep_checkpoints, list_only)


def segment_sweep(
    store: Path,
    protocols: dict[str, str],
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
    """Run everything of table 7 that is not recorded yet, one network per category; 'pcrq report OUT' shows it.

    Args:
        store: shape store with parts named "category/part" and the splits "train" and "test".
        protocols: the config of every protocol (scratch, lin, ft) of 'pcrq segment', by name or path.
        pretrained: networks for lin and ft: name in the report, and checkpoint or exported folder. {seed} in the path
            is replaced, so that every seed can have its own pretraining.
        ratios: fractions of the labels, in (0, 1].
        seeds: random seeds of weights, order and augmentation.
        categories: names of the categories; null for all, which the means in the report need.
        out: folder of the sweep.
        options: further options of every 'pcrq segment', such as --trainer.accelerator=cpu.
        jobs: number of runs at the same time.
        scheduler: cluster to run on, dask://HOST:PORT or ray://HOST:PORT (docs/clusters.md).
        keep_checkpoints: keep the trained networks, not only their results.
        list_only: print the commands of the missing runs, one per line, and run nothing.

    Returns:
        A line for every run that failed.

    Raises:
        InputError: the options contradict each other, or a file cannot be used.
    """
    configs = _find_configs(protocols, dict.fromkeys(PROTOCOLS, "training"), pretrained, ratios, seeds)
    shapes = ShapeStore(store)
    known = list(category_parts(shapes))
    unknown = [name for name in categories or [] if name not in known]
    if unknown:
        raise InputError(f"{store}: no parts of a category {unknown[0]!r}; available: {', '.join(known)}")
    check_values(categories=categories or known)
    config = _sweep_config(store, configs, pretrained, seeds, options)
    rows, encoders = list(_rows(configs, pretrained, seeds)), []
    for row, ratio, name in product(rows, ratios, categories or known):
        folder = row.folder(out) / f"ratio{ratio}" / f"seed{row.seed}" / name
        words = (*row.training(folder, store, ratio), f"--data.category={name}", *options)
        count = int((shapes.category == shapes.classes.index(name)).sum())
        encoders.append(Encoder(None, (Cell(folder, "projects.point_cloud.segment", words, (ratio,), ratio * count),)))
    return _run(encoders, out, _files(store, rows), config, jobs, scheduler, keep_checkpoints, list_only)


def _find_configs(
    protocols: dict[str, str],
    kinds: dict[str, str],
    pretrained: dict[str, str],
    ratios: list[float],
    seeds: list[int],
) -> dict[str, Path]:
    """The absolute path of the config of every protocol; checks the other options, too."""
    unknown = [name for name in protocols if name not in PROTOCOLS]
    if unknown or not protocols:
        raise InputError(f"protocols {list(protocols)}: name configs for some of {', '.join(PROTOCOLS)}")
    if not pretrained and set(protocols) != {"scratch"}:
        raise InputError("pretrained: protocols lin and ft need pretrained networks; name them, or use scratch only")
    for ratio in ratios:
        if not 0 < ratio <= 1:
            raise InputError(f"ratio {ratio}: must be above 0 and at most 1")
    check_values(ratios=ratios, seeds=seeds)
    folders = [_folder_name(method) for method in pretrained]
    if "" in folders or len(set(folders)) < len(folders):
        raise InputError(
            f"pretrained {list(pretrained)}: the names become names of folders; choose names with different letters"
        )
    configs = {}
    for protocol, name in protocols.items():
        configs[protocol] = find_config(name, CONFIGS).absolute()
        read_config(configs[protocol], kinds[protocol])
    return configs


def _sweep_config(
    store: Path, configs: dict[str, Path], pretrained: dict[str, str], seeds: list[int], options: list[str]
) -> dict[str, Any]:
    """What all runs of a sweep share; reads every file before anything is run."""
    config = {"store": ShapeStore(store).digest, "options": list(options)}
    for protocol, path in configs.items():
        config[f"config of {protocol}"] = read_config(path)
    if set(configs) != {"scratch"}:
        for (method, path), seed in product(pretrained.items(), seeds):
            digest = weights_digest(load_pretrained(path.replace("{seed}", str(seed))))
            config[f"network {method} of seed {seed}"] = digest
    return config


@dataclass(frozen=True)
class _Row:
    """A protocol with its config, a pretrained network unless the protocol is "scratch", and a seed."""

    protocol: str
    config: Path
    method: str
    checkpoint: Path | None
    seed: int

    def folder(self, out: Path) -> Path:
        """Folder of all runs of the protocol and network."""
        return out.absolute() / self.protocol / _folder_name(self.method)

    def training(self, folder: Path, store: Path, ratio: float) -> list[str]:
        """Options of 'pcrq classify' or 'pcrq segment' for a label ratio."""
        words = [f"--config={self.config}", f"--out={folder}", f"--data.store={store.absolute()}"]
        words += [f"--data.ratio={ratio}", f"--model.protocol={self.protocol}", f"--seed={self.seed}"]
        words += ["--resume=last", "--trainer.enable_progress_bar=false"]
        if self.checkpoint is not None:
            words += [f"--model.pretrained={self.checkpoint}", f"--model.method={self.method}"]
        return words

    def evaluation(self, folder: Path, store: Path, ratios: list[float]) -> Cell:
        """The run of 'pcrq evaluate shapes' for all label ratios."""
        words = [f"--config={self.config}", f"--out={folder}", f"--store={store.absolute()}"]
        words += [f"--checkpoint={self.checkpoint}", f"--method={self.method}"]
        words += [f"--ratios={list(ratios)}", f"--seed={self.seed}"]
        return Cell(
            folder, "projects.point_cloud.evaluate", tuple(words), tuple(ratios), cost=sum(ratios), trains=False
        )


def _rows(configs: dict[str, Path], pretrained: dict[str, str], seeds: list[int]) -> Iterator[_Row]:
    for protocol in (name for name in PROTOCOLS if name in configs):
        methods = {"scratch": None} if protocol == "scratch" else pretrained
        for (method, path), seed in product(methods.items(), seeds):
            checkpoint = None if path is None else Path(path.replace("{seed}", str(seed))).absolute()
            yield _Row(protocol, configs[protocol], method, checkpoint, seed)


def _files(store: Path, rows: list[_Row]) -> list[Path]:
    """Files that the runs read."""
    return [store, *(row.config for row in rows), *(row.checkpoint for row in rows if row.checkpoint)]


@dataclass(frozen=True)
class _Pretraining(Cell):
    """A run of 'pcrq pretrain shapes', which is done when its last epoch is in the checkpoint."""

    epochs: int = 0

    @property
    def is_recorded(self) -> bool:
        checkpoint = self.folder / CHECKPOINT
        return checkpoint.exists() and load_checkpoint(checkpoint)["epoch"] + 1 >= self.epochs


def _pretraining_folder(out: Path, method: str, seed: str) -> Path:
    return out.absolute() / "pretrain" / _folder_name(method) / f"seed{seed}"


def _folder_name(method: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", method.lower()).strip("_")


def _run(
    encoders: list[Encoder],
    out: Path,
    files: list[Path],
    config: dict[str, Any],
    jobs: int,
    scheduler: str | None,
    keep_checkpoints: bool,
    list_only: bool,
) -> list[str]:
    check_sweep_config(out, config)
    failures = run_encoders(
        encoders,
        jobs=jobs,
        scheduler=scheduler,
        shared=[out, *files],
        keep_checkpoints=keep_checkpoints,
        list_only=list_only,
    )
    if not list_only:
        cells = [cell for encoder in encoders for cell in encoder.evaluations]
        _log.info("%d of %d runs are recorded", sum(cell.is_recorded for cell in cells), len(cells))
        _log.info("next: pcrq report %s", out)
    return failures


CLASSIFY = FunctionProgram("sweep classify", CONFIGS, classify_sweep, kind="sweep")
SEGMENT = FunctionProgram("sweep segment", CONFIGS, segment_sweep, kind="sweep")

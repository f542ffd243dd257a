"""Pretrain the methods of the quick start, from where they stopped."""

from __future__ import annotations

import csv
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from tqdm import tqdm

from octree.midnet import MIDNetConfig
from pcrq.checkpoint import load_checkpoint
from projects.point_cloud.pretrain.data import PretrainData
from projects.point_cloud.pretrain.knn_callback import KNNAccuracy
from projects.point_cloud.pretrain.module import MIDPretraining, Optimization, Quantization
from projects.point_cloud.quickstart.settings import Method, Settings
from projects.training.callbacks import Throughput
from projects.training.cli import CHECKPOINT_DEFAULTS, TRAINER_DEFAULTS


def pretrain_methods(methods: Sequence[Method], store: Path, runs: Path, settings: Settings) -> dict[str, Path]:
    """Train every method to the end of its budget unless it is there already.

    The methods run at once, each in a process with its share of the cores: networks this small gain nothing from more.

    Args:
        methods: what to train.
        store: built-in shapes.
        runs: parent of the run folders.
        settings: the budget.

    Returns:
        The checkpoint of the last epoch, by the name of the method.
    """
    checkpoints = {method.name: runs / method.folder / "checkpoints" / "last.ckpt" for method in methods}
    missing = [method for method in methods if not _is_finished(checkpoints[method.name], settings)]
    if missing:
        threads = max(
            1, min(4, _usable_cores() // len(methods))
        )  # sums of floats depend on it, so for all methods alike
        with ProcessPoolExecutor(len(missing), mp_context=get_context("spawn")) as pool:
            futures = [
                pool.submit(_pretrain, method, store, runs / method.folder, settings, threads, row)
                for row, method in enumerate(missing)
            ]
            for future in futures:
                future.result()
    return checkpoints


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _is_finished(checkpoint: Path, settings: Settings) -> bool:
    return checkpoint.exists() and load_checkpoint(checkpoint)["epoch"] + 1 >= settings.epochs


def _pretrain(method: Method, store: Path, run: Path, settings: Settings, threads: int, row: int) -> None:
    """Train one method in this process; ``row`` is the line of its progress bar."""
    torch.set_num_threads(threads)
    checkpoint = run / "checkpoints" / "last.ckpt"
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")
    warnings.filterwarnings("ignore", message=".*does not have many workers")
    pl.seed_everything(settings.seed, verbose=False)
    model = MIDPretraining(
        MIDNetConfig(**settings.network),
        Quantization(method.bins),
        Optimization(milestones=settings.milestones),
        seed=settings.seed,
    )
    trainer = pl.Trainer(
        max_epochs=settings.epochs,
        devices=1,
        default_root_dir=run,
        logger=CSVLogger(run, name="logs"),
        callbacks=[
            ModelCheckpoint(checkpoint.parent, **CHECKPOINT_DEFAULTS),
            EndWithParent(),
            KNNAccuracy(every_n_epochs=max(1, settings.epochs // 6)),
            Throughput(),
            EpochBar(method.name, row),
        ],
        enable_progress_bar=False,
        **{**TRAINER_DEFAULTS, "log_every_n_steps": 1},
    )
    data = PretrainData(store, batch_size=settings.batch_size, workers=0, seed=settings.seed)  # reading takes no time
    trainer.fit(model, datamodule=data, ckpt_path=checkpoint if checkpoint.exists() else None)


class EndWithParent(pl.Callback):
    """End this process when the one that started it was killed: nobody would wait for it, and a new start goes on."""

    def on_train_batch_start(self, *args: Any) -> None:
        """Look before every step."""
        parent = parent_process()
        if parent is not None and not parent.is_alive():
            os._exit(1)


class EpochBar(pl.Callback):
    """One bar over the epochs of a run, with the loss and the speed of the last epoch."""

    def __init__(self, name: str, row: int):
        self.name, self.row = name, row

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Open the bar where the run begins or resumes."""
        self.bar = tqdm(
            total=trainer.max_epochs,
            initial=trainer.current_epoch,
            desc=f"{self.name:<18}",
            unit="epoch",
            position=self.row,
            mininterval=0.2 if sys.stderr.isatty() else 15,
        )

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Advance."""
        metrics = trainer.callback_metrics
        self.bar.set_postfix({"loss": f"{metrics['loss']:.2f}", "shapes/s": f"{metrics['samples_per_second']:.0f}"})
        self.bar.update()

    def on_fit_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Close the bar."""
        self.bar.close()

    def on_exception(self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException) -> None:
        """Close the bar before a message is printed."""
        self.bar.close()


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """All rows that the starts of a run logged, in order; empty cells are left out.

    Where a run was interrupted, steps after its last checkpoint were logged twice; the later row of a step counts.
    """
    rows: dict[tuple, dict[str, float]] = {}
    versions = sorted((run / "logs").glob("version_*"), key=lambda folder: int(folder.name.split("_")[1]))
    for file in (version / "metrics.csv" for version in versions):
        if file.exists():
            with file.open(newline="") as opened:
                for row in csv.DictReader(opened):
                    values = {name: float(value) for name, value in row.items() if value}
                    rows[values["step"], "knn_accuracy" in values] = values
    return [rows[key] for key in sorted(rows)]

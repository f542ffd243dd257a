"""The quick start: prepare built-in shapes, pretrain with and without quantization, probe, and write a report.

Every step is skipped if its result exists, so that the same command continues after an interruption.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from joblib.externals.loky import get_reusable_executor
from tqdm import tqdm

from data_prep.builtin_shapes import builtin_items, class_names, part_names
from data_prep.run import prepare
from octree import MIDNet, MIDNetConfig, load_pretrained
from pcrq import InputError
from pcrq.checkpoint import load_checkpoint
from pcrq.files import write_text
from pcrq.stores import ShapeStore
from projects.point_cloud import pretrain, quickstart_report
from projects.point_cloud.evaluate import probe


@dataclass(frozen=True)
class Method:
    """One network to compare.

    Args:
        name: its name in the report.
        folder: name of its run folder; "" without pretraining.
        bins: bins of the quantizer; None without quantization.
    """

    name: str
    folder: str = ""
    bins: int | None = None


METHODS = (Method("scratch"), Method("MID", "mid"), Method("MID + quantization", "mid_rq", 30))


@dataclass(frozen=True)
class Settings:
    """Sizes and budgets; the defaults take a few minutes on two CPU cores.

    Args:
        count: training shapes of each built-in category.
        test_count: test shapes of each built-in category; they cost little, and their number limits the noise.
        epochs: pretraining epochs of every method.
        batch_size: half of the paper's, for more steps per epoch.
        seed: random seed of shapes, weights, augmentation and order.
        ratios: label ratios of the probes.
        probe_seeds: random subsets of the labels per ratio.
        network: options of :class:`octree.MIDNetConfig`.

    Raises:
        InputError: a value is out of range.
    """

    count: int = 16
    test_count: int = 24
    epochs: int = 80
    batch_size: int = 16
    seed: int = 0
    ratios: tuple[float, ...] = (0.05, 0.1, 0.2, 0.5, 1.0)
    probe_seeds: int = 5
    network: dict[str, Any] = field(
        default_factory=lambda: {"depth": 5, "full_depth": 2, "width": 32, "blocks": 1, "nempty": True}
    )

    def __post_init__(self) -> None:
        for name in ("count", "test_count", "epochs"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name} {getattr(self, name)}: must be at least 1")
        if self.seed < 0:
            raise InputError(f"--seed {self.seed}: must be at least 0")


def quickstart(folder: Path, settings: Settings) -> Path:
    """Prepare, pretrain, probe and report.

    Args:
        folder: where everything goes; an interrupted quick start in it is continued.
        settings: sizes and budgets.

    Returns:
        The report, ``folder/report.md``; beside it results.json, figures/, viewer.html, shapes.h5 and runs/.

    Raises:
        InputError: the folder contains something else.
    """
    started = time.perf_counter()
    _check_folder(folder, settings)
    print("1/4 Preparing built-in shapes", flush=True)
    per_category = settings.count + settings.test_count
    items = [
        replace(item, split="train" if number % per_category < settings.count else "test")
        for number, item in enumerate(builtin_items(per_category, seed=settings.seed))
    ]
    path = folder / "shapes.h5"
    prepare(items, path, classes=class_names(), parts=part_names(), source="built-in shapes")
    get_reusable_executor().shutdown()  # frees the memory of the preparation's processes
    store = ShapeStore(path)

    print("2/4 Pretraining", flush=True)
    pretrained = [method for method in METHODS if method.folder]
    checkpoints = _pretrain_all(pretrained, path, folder / "runs", settings)

    print("3/4 Probing", flush=True)
    records = []
    for method in METHODS:
        network = load_pretrained(checkpoints[method.name]) if method.folder else _untrained(settings)
        epochs = settings.epochs if method.folder else 0
        records += probe(
            network,
            store,
            method=method.name,
            results=folder / "results.json",
            ratios=settings.ratios,
            seeds=settings.probe_seeds,
            config={"network": network.hyper_parameters(), "epochs": epochs, "bins": method.bins},
            progress=lambda steps, name=method.name: tqdm(steps, desc=f"{name:<18}", leave=False),
        )

    print("4/4 Drawing", flush=True)
    runs = {method.name: folder / "runs" / method.folder for method in pretrained}
    report = quickstart_report.write(folder, store, records, runs)
    print(f"done in {time.perf_counter() - started:.0f} s: {report}, {folder / 'viewer.html'}")
    return report


def _check_folder(folder: Path, settings: Settings) -> None:
    """Create the folder of a quick start, or check that it contains one with the same settings."""
    path = folder / "quickstart.json"
    ours = json.loads(json.dumps(asdict(settings)))
    if path.exists():
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{path}: damaged ({error}); choose another --out") from error
        if before != ours:
            raise InputError(f"{folder}: contains a quick start with other settings; choose another --out or remove it")
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: exists and is no quick start; choose another --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be created ({error.strerror}); choose another --out") from error
    write_text(path, json.dumps(ours, indent=1) + "\n")


def _untrained(settings: Settings) -> MIDNet:
    """The network with the initial weights of the pretrained ones."""
    torch.manual_seed(settings.seed)
    return MIDNet(MIDNetConfig(**settings.network))


# --- pretraining, one process per method ---


def _pretrain_all(methods: Sequence[Method], store: Path, runs: Path, settings: Settings) -> dict[str, Path]:
    """Pretrain all methods at the same time, each on its share of the cores; such small networks cannot use more.

    Returns:
        The checkpoint of every method, by its name.
    """
    checkpoints = {method.name: runs / method.folder / "checkpoints" / "last.ckpt" for method in methods}
    missing = [method for method in methods if not _is_finished(checkpoints[method.name], settings.epochs)]
    if missing:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        threads = max(1, min(4, cores // len(methods)))  # the same for all methods: sums of floats depend on it
        with ProcessPoolExecutor(len(missing), mp_context=get_context("spawn")) as pool:
            futures = [
                pool.submit(_pretrain, method.name, _options(method, store, runs, settings), threads, row)
                for row, method in enumerate(missing)
            ]
            for future in futures:
                future.result()
    return checkpoints


def _is_finished(checkpoint: Path, epochs: int) -> bool:
    return checkpoint.exists() and load_checkpoint(checkpoint)["epoch"] + 1 >= epochs


def _options(method: Method, store: Path, runs: Path, settings: Settings) -> list[str]:
    """Options of 'pcrq pretrain shapes'. The learning rate falls later than the paper's, as the budget is so short."""
    epochs = settings.epochs
    return [
        f"--data.store={store}",
        f"--data.batch_size={settings.batch_size}",
        "--data.workers=0",  # reading is fast
        f"--model.network={json.dumps(settings.network)}",
        f"--model.quantization.bins={json.dumps(method.bins)}",
        f"--model.optimization.milestones={[epochs * 7 // 10, epochs * 9 // 10]}",
        f"--knn.every_n_epochs={max(1, epochs // 6)}",
        f"--trainer.max_epochs={epochs}",
        "--trainer.devices=1",
        "--trainer.log_every_n_steps=1",
        "--trainer.enable_progress_bar=false",  # EpochBar instead
        f"--seed={settings.seed}",
        f"--out={runs / method.folder}",
        "--resume=last",
    ]


def _pretrain(name: str, options: list[str], threads: int, row: int) -> None:
    """Pretrain in this process; ``row`` is the line of the progress bar."""
    torch.set_num_threads(threads)
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")
    warnings.filterwarnings("ignore", message=".*does not have many workers")
    pretrain.pretrain(pretrain.PROGRAM.start(options), callbacks=[EndWithParent(), EpochBar(name, row)])


class EndWithParent(pl.Callback):
    """End this process if the one that started it was killed; the next start resumes the run."""

    def on_train_batch_start(self, *args: Any) -> None:
        """Check before every step."""
        parent = parent_process()
        if parent is not None and not parent.is_alive():
            os._exit(1)


class EpochBar(pl.Callback):
    """A progress bar over the epochs of a run, with the loss and the speed of the last one."""

    def __init__(self, name: str, row: int):
        self.name, self.row = name, row

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Open the bar at the first or the resumed epoch."""
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

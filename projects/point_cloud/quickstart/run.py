"""Run the quick start from where it stopped: every step leaves what it made, and is not made again."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from joblib.externals.loky import get_reusable_executor
from tqdm import tqdm

from data_prep.builtin_shapes import builtin_items, class_names, part_names
from data_prep.run import prepare
from octree.midnet import MIDNet, MIDNetConfig
from octree.pretrained import load_pretrained
from pcrq.files import write_text
from pcrq.stores.shape_store import ShapeStore
from projects.point_cloud.probe import probe
from projects.point_cloud.quickstart import figures
from projects.point_cloud.quickstart.pretrain import pretrain_methods, read_metrics
from projects.point_cloud.quickstart.report import write_report
from projects.point_cloud.quickstart.settings import METHODS, Settings, claim_folder


def quickstart(folder: Path, settings: Settings) -> Path:
    """Prepare, pretrain, probe, report and draw.

    Args:
        folder: where everything goes; one that an interrupted call left is completed.
        settings: sizes and budgets.

    Returns:
        The report, ``folder/report.md``; beside it results.json, figures/, viewer.html, shapes.h5 and runs/.

    Raises:
        InputError: the folder holds something else.
    """
    started = time.perf_counter()
    claim_folder(folder, settings)
    print("1/4 Preparing built-in shapes", flush=True)
    store_path = folder / "shapes.h5"
    items = builtin_items(settings.count, seed=settings.seed)
    prepare(items, store_path, classes=class_names(), parts=part_names(), source="built-in shapes")
    get_reusable_executor().shutdown()  # the memory of the workers of the preparation is wanted for what follows
    store = ShapeStore(store_path)

    print("2/4 Pretraining", flush=True)
    checkpoints = pretrain_methods(
        [method for method in METHODS if method.folder], store_path, folder / "runs", settings
    )

    print("3/4 Probing", flush=True)
    records = []
    for method in METHODS:
        records += probe(
            load_pretrained(checkpoints[method.name]) if method.folder else _untrained(settings),
            store,
            method=method.name,
            results=folder / "results.json",
            ratios=settings.ratios,
            seeds=settings.probe_seeds,
            config={
                "network": settings.network,
                "epochs": settings.epochs if method.folder else 0,
                "bins": method.bins,
            },
            progress=lambda steps, name=method.name: tqdm(steps, desc=f"{name:<18}", leave=False),
        )

    print("4/4 Drawing", flush=True)
    metrics = {method.name: read_metrics(folder / "runs" / method.folder) for method in METHODS if method.folder}
    pictures = folder / "figures"
    pictures.mkdir(exist_ok=True)
    figures.save_quantized_shapes(store, pictures / "quantized.png")
    figures.save_accuracy(records, pictures / "accuracy.png")
    figures.save_curves(metrics, pictures / "knn.png")
    figures.save_viewer(store, folder / "viewer.html")
    report = folder / "report.md"
    write_text(report, write_report(settings, store, records, metrics))
    print(f"done in {time.perf_counter() - started:.0f} s: {report}, {folder / 'viewer.html'}")
    return report


def _untrained(settings: Settings) -> MIDNet:
    """The network with the weights that the pretrained methods start from."""
    torch.manual_seed(settings.seed)
    return MIDNet(MIDNetConfig(**settings.network))

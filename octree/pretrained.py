"""Load, export and use a pretrained MID-Net.

An exported network is a folder with ``model.safetensors`` (see https://huggingface.co/docs/safetensors) and
``config.json``. Neither can run code; ``config.json`` has a digest of the weights, which is checked on loading.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from octree.augmentation import quantize
from octree.midnet import MIDNet, MIDNetConfig
from octree.point_batch import PointBatch, Shape, ShapeStore, collate
from pcrq import InputError
from pcrq.checkpoint import CONFIG, WEIGHTS, check_weights, load_checkpoint, load_exported, save_exported

FORMAT = "pcrq-midnet"
VERSION = 1
KEY = "midnet"
"""The entry of a training checkpoint that describes the network."""
PREFIX = "network."


def describe(network: MIDNet, pretraining: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the entry ``KEY`` of a training checkpoint, from which the network can be rebuilt.

    Args:
        network: the network whose weights are in the checkpoint's ``state_dict``, with the prefix ``PREFIX``.
        pretraining: plain values that describe the pretraining: bins, epochs, store, …

    Returns:
        Plain values, which :func:`octree.load_pretrained` reads.
    """
    return {"version": 1, "config": network.hyper_parameters(), "pretraining": dict(pretraining or {})}


def load_pretrained(path: str | Path) -> MIDNet:
    """Load a pretrained network from an exported folder or a training checkpoint; no code in them is executed.

    Args:
        path: a folder written by :func:`save_pretrained`, the ``model.safetensors`` in it, or a training checkpoint
            (``.ckpt``).

    Returns:
        The network in evaluation mode on the CPU. Its attribute ``pretraining`` is a dictionary that describes the
        pretraining (bins, epochs, store, …), empty where that is unknown.

    Raises:
        InputError: the file or folder is missing, damaged, of another kind or a newer version, or its weights do not
            fit its architecture.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such checkpoint or folder; name a .ckpt of a training run or an exported folder")
    if path.is_dir() or path.suffix.lower() == ".safetensors":
        return _load_exported(path)
    return _load_from_checkpoint(path)


def save_pretrained(network: MIDNet, folder: str | Path, *, force: bool = False) -> Path:
    """Export a network as a folder for :func:`load_pretrained`; an error leaves no partial folder.

    Args:
        network: the network; its attribute ``pretraining`` is saved in ``config.json``.
        folder: folder to write; its parent must exist.
        force: replace an exported network. Other files are never replaced.

    Returns:
        The folder.

    Raises:
        InputError: the folder is not empty, or cannot be written.
    """
    about = {
        "format": FORMAT,
        "version": VERSION,
        "architecture": network.hyper_parameters(),
        "feature": {"name": "fc1", "dimension": 8 * network.config.width},
        "pretraining": network.pretraining,
    }
    return save_exported(folder, network, about, force)


@torch.no_grad()
def embed(
    network: MIDNet,
    shapes: Sequence[Shape] | ShapeStore,
    indices: Sequence[int] | np.ndarray | None = None,
    *,
    views: int = 0,
    seed: int = 0,
    batch_size: int = 32,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> torch.Tensor:
    """Embed shapes on the network's device, in evaluation mode.

    Args:
        network: the network; its mode is restored afterwards.
        shapes: a list of shapes or a store.
        indices: (S,) positions in ``shapes`` of the ones to embed; None for all.
        views: number of quantized views per shape whose features are averaged; 0 for the features of the shape itself.
            Views are quantized as in the pretraining of the network.
        seed: random seed of the views.
        batch_size: shapes per forward pass.
        progress: wraps the iteration over batches, for example ``tqdm``.

    Returns:
        (S, 8·width) float32 features "fc1" on the CPU, in the order of ``indices``.

    Raises:
        InputError: ``views`` is negative, or positive for a network that was pretrained without quantization.
    """
    if views < 0:
        raise InputError(f"views {views}: must be at least 0")
    augment = _quantizer(network.pretraining, seed) if views else None
    indices = range(len(shapes)) if indices is None else indices
    device = next(network.parameters()).device
    training = network.training
    features = [torch.zeros(0, 8 * network.config.width)]
    try:
        network.eval()
        for start in progress(range(0, len(indices), batch_size)):
            batch = collate([shapes[int(index)] for index in indices[start : start + batch_size]]).to(device)
            inputs = (batch,) if augment is None else (augment(batch) for _ in range(views))
            features.append(torch.stack([network.embed(view).float() for view in inputs]).mean(dim=0).cpu())
    finally:
        network.train(training)
    return torch.cat(features)


def _quantizer(pretraining: Mapping[str, Any], seed: int) -> Callable[[PointBatch], PointBatch]:
    """Return the quantization of a pretraining, with its own random numbers."""
    if not pretraining.get("bins"):
        raise InputError("quantized views need a network that was pretrained with quantization; leave out views")
    generator = torch.Generator().manual_seed(seed)
    switches = {name: pretraining.get(name, True) for name in ("random_edges", "random_values")}
    return lambda batch: quantize(batch, pretraining["bins"], generator, **switches)


def pretraining_method(pretraining: Mapping[str, Any]) -> str:
    """Return the name for reports: "MID", "MID + quantization", or "pretrained" where the bins are unknown."""
    if "bins" not in pretraining:
        return "pretrained"
    return "MID + quantization" if pretraining["bins"] else "MID"


def _load_exported(path: Path) -> MIDNet:
    about, weights = load_exported(path, FORMAT, VERSION, "MID-Net")
    folder = path if path.is_dir() else path.parent
    network = _build(about["architecture"], weights, folder / CONFIG, folder / WEIGHTS)
    network.pretraining = about["pretraining"]
    return network


def _load_from_checkpoint(path: Path) -> MIDNet:
    checkpoint = load_checkpoint(path)
    about = checkpoint.get(KEY)
    if not isinstance(about, dict) or "state_dict" not in checkpoint:
        raise InputError(f"{path}: a checkpoint, but not of a MID-Net; pretrain one with 'pcrq pretrain shapes'")
    weights = {
        name.removeprefix(PREFIX): tensor
        for name, tensor in checkpoint["state_dict"].items()
        if name.startswith(PREFIX)
    }
    network = _build(about.get("config"), weights, path, path)
    network.pretraining = about.get("pretraining", {})
    return network


def _build(architecture: object, weights: dict[str, torch.Tensor], config_path: Path, weights_path: Path) -> MIDNet:
    """Make a network of an architecture, read from ``config_path``, with the weights of ``weights_path``."""
    try:
        network = MIDNet(_checked_config(architecture))
    except (TypeError, RuntimeError, InputError) as error:  # RuntimeError: a network larger than the memory
        raise InputError(
            f"{config_path}: the architecture does not fit this MID-Net ({error}); update pcrq or pretrain again"
        ) from error
    check_weights(
        weights_path, "the MID-Net that is described there", network.state_dict(), weights, "export or pretrain again"
    )
    network.load_state_dict(weights)
    return network.eval()


def _checked_config(architecture: object) -> MIDNetConfig:
    defaults = asdict(MIDNetConfig())
    if not isinstance(architecture, dict):
        raise TypeError("none is given")
    for name, value in architecture.items():
        if name not in defaults:
            raise TypeError(f"unknown entry {name!r}")
        if type(value) is not type(defaults[name]):
            raise TypeError(f"{name} is {value!r}")
    return MIDNetConfig(**architecture)

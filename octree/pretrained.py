"""A pretrained MID-Net to take away: a folder with ``model.safetensors`` and ``config.json``.

The weights are plain numbers in the format of https://huggingface.co/docs/safetensors, the description is JSON; neither
can run code, and what is loaded is compared with the fingerprint of what was saved.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from octree.midnet import MIDNet, MIDNetConfig
from octree.point_batch import collate
from pcrq import __version__
from pcrq.checkpoint import load_checkpoint, weights_digest
from pcrq.errors import InputError
from pcrq.stores.shape_store import Shape, ShapeStore

FORMAT = "pcrq-midnet"
VERSION = 1
WEIGHTS, CONFIG = "model.safetensors", "config.json"
KEY = "midnet"
"""The entry of a training checkpoint that describes the network."""
PREFIX = "network."


def describe(network: MIDNet, pretraining: dict | None = None) -> dict:
    """What a training run adds to its checkpoints, under ``KEY``, so that the network can be rebuilt.

    Args:
        network: the network whose weights are in the checkpoint, their names preceded by ``PREFIX``.
        pretraining: plain values that tell how it was pretrained: bins, epochs, store, …

    Returns:
        What :func:`octree.load_pretrained` reads; plain values.
    """
    return {"version": 1, "config": network.hyper_parameters(), "pretraining": dict(pretraining or {})}


def load_pretrained(path: str | Path) -> MIDNet:
    """Load a pretrained network from any of the forms it is kept in; nothing in them is executed.

    Args:
        path: a folder that :func:`save_pretrained` wrote, the ``model.safetensors`` in it, or a training checkpoint
            (``.ckpt``).

    Returns:
        The network in evaluation mode on the CPU. Its attribute ``pretraining`` is a dictionary of plain values that
        tells how it was pretrained (bins, epochs, store, …), empty where that is unknown.

    Raises:
        InputError: the file or folder is missing, damaged, of another kind or a newer version, or its weights do not
            fit the architecture it names.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such checkpoint or folder; name a .ckpt of a training run or an exported folder")
    if path.is_dir():
        return _load_exported(path / WEIGHTS)
    if path.suffix.lower() == ".safetensors":
        return _load_exported(path)
    return _load_from_checkpoint(path)


def save_pretrained(network: MIDNet, folder: str | Path, *, force: bool = False) -> Path:
    """Write a network as a folder that :func:`load_pretrained` takes, whole or not at all.

    Args:
        network: the network; its attribute ``pretraining``, where it has one, goes into ``config.json``.
        folder: where to; the folder it is in must exist.
        force: replace a network that was exported there before. Other files are never replaced.

    Returns:
        The folder.

    Raises:
        InputError: the folder holds something already, or cannot be written.
    """
    folder = Path(folder)
    _check_replaceable(folder, force)
    about = {
        "format": FORMAT,
        "version": VERSION,
        "architecture": network.hyper_parameters(),
        "feature": {"name": "fc1", "dimension": 8 * network.config.width},
        "pretraining": getattr(network, "pretraining", {}),
        "digest": weights_digest(network),
        "software": f"pcrq {__version__}",
    }
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    with _whole_folder(folder) as temporary:
        save_file(weights, temporary / WEIGHTS)
        (temporary / CONFIG).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return folder


def pretraining_method(pretraining: Mapping) -> str:
    """What a report calls a network: "MID", "MID + quantization", or "pretrained" where its bins are unknown."""
    if "bins" not in pretraining:
        return "pretrained"
    return "MID + quantization" if pretraining["bins"] else "MID"


def _load_exported(weights_path: Path) -> MIDNet:
    config_path = weights_path.with_name(CONFIG)
    for file in (weights_path, config_path):
        if not file.is_file():
            raise InputError(
                f"{file.parent}: no {file.name} in it; name a folder that 'pcrq export' wrote, or the .ckpt of a run"
            )
    about = _read_config(config_path)
    try:
        weights = load_file(weights_path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise InputError(f"{weights_path}: {_why_unreadable(weights_path)}") from error
    network = _build(about["architecture"], weights, config_path, weights_path)
    if weights_digest(network) != about["digest"]:
        raise InputError(f"{weights_path}: not the weights that {CONFIG} describes; export the network again")
    network.pretraining = about["pretraining"]
    return network


def _read_config(path: Path) -> dict:
    """The description of an exported network, checked.

    Raises:
        InputError: it cannot be read, is not ours, or is newer than this software.
    """
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({error}); export the network again") from error
    if not isinstance(about, dict) or about.get("format") != FORMAT or not isinstance(about.get("version"), int):
        raise InputError(f"{path}: does not describe a MID-Net of pcrq; name a folder that 'pcrq export' wrote")
    if about["version"] > VERSION:
        raise InputError(f"{path}: version {about['version']}, but this pcrq reads up to {VERSION}; update pcrq")
    kinds = {"architecture": dict, "pretraining": dict, "digest": str}
    for name, kind in kinds.items():
        if not isinstance(about.get(name), kind):
            raise InputError(f"{path}: {name!r} is missing or damaged; export the network again")
    return about


def _why_unreadable(path: Path) -> str:
    """What is wrong with a file of weights: its header is JSON after eight bytes that hold the header's length."""
    with path.open("rb") as file:
        start = file.read(9)
    if len(start) < 9 or start.endswith(b"{"):
        return "the file is cut short or damaged; copy it again"
    return "not a safetensors file, whatever its name says; it is not loaded; export the network again"


def _load_from_checkpoint(path: Path) -> MIDNet:
    checkpoint = load_checkpoint(path)
    about = checkpoint.get(KEY)
    if not isinstance(about, dict) or "state_dict" not in checkpoint:
        raise InputError(f"{path}: a checkpoint, but not of a MID-Net; pretrain one with projects.point_cloud.pretrain")
    weights = {
        name.removeprefix(PREFIX): tensor
        for name, tensor in checkpoint["state_dict"].items()
        if name.startswith(PREFIX)
    }
    network = _build(about.get("config"), weights, path, path)
    network.pretraining = about.get("pretraining", {})
    return network


def _build(architecture: object, weights: dict[str, torch.Tensor], named_by: Path, weights_path: Path) -> MIDNet:
    """A network of an architecture, which ``named_by`` gives, with the weights of ``weights_path``."""
    try:
        network = MIDNet(_checked_config(architecture))
    except (TypeError, RuntimeError, InputError) as error:  # RuntimeError: a network larger than the memory
        raise InputError(
            f"{named_by}: its architecture does not fit this version's MID-Net ({error}); update pcrq or pretrain again"
        ) from error
    _check_weights(network.state_dict(), weights, weights_path)
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


def _check_weights(expected: dict[str, torch.Tensor], weights: dict[str, torch.Tensor], path: Path) -> None:
    missing = [name for name in expected if name not in weights]
    unexpected = [name for name in weights if name not in expected]
    reshaped = [name for name in expected if name in weights and weights[name].shape != expected[name].shape]
    different = [*missing, *unexpected, *reshaped]
    if not different:
        return
    first = different[0]
    if reshaped:
        first = reshaped[0]
        first += f" is {tuple(weights[first].shape)} instead of {tuple(expected[first].shape)}"
    raise InputError(
        f"{path}: the weights do not fit the architecture that is named with them: {len(missing)} missing, "
        f"{len(unexpected)} unexpected, {len(reshaped)} of another shape, as {first}; export or pretrain again"
    )


def _check_replaceable(folder: Path, force: bool) -> None:
    if not folder.parent.is_dir():
        raise InputError(f"{folder}: the folder {folder.parent} does not exist; create it first")
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"{folder}: a file; name a folder to write")
    found = {entry.name for entry in folder.iterdir()}
    if found - {WEIGHTS, CONFIG}:
        raise InputError(f"{folder}: holds other files, such as {min(found - {WEIGHTS, CONFIG})}; name a new folder")
    if found and not force:
        raise InputError(f"{folder}: holds an exported network; name another folder, or replace it with --force")


@contextlib.contextmanager
def _whole_folder(folder: Path) -> Iterator[Path]:
    """A hidden neighbour to fill, which takes the place of ``folder`` when the block ends well."""
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.writing")
    replaced = folder.with_name(f".{folder.name}.{os.getpid()}.replaced")
    try:
        temporary.mkdir()
        yield temporary
        if folder.exists():
            folder.rename(replaced)
        try:
            temporary.rename(folder)
        except OSError:
            if replaced.exists():
                replaced.rename(folder)
            raise
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror}); choose another place") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)


@torch.no_grad()
def embed(
    network: MIDNet,
    shapes: Sequence[Shape] | ShapeStore,
    indices: Sequence[int] | np.ndarray | None = None,
    *,
    batch_size: int = 32,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> torch.Tensor:
    """Embed shapes without augmentation, on the network's device, in evaluation mode.

    Args:
        network: the network; its mode is restored afterwards.
        shapes: a list of shapes or a store.
        indices: (S,) positions in ``shapes`` of the ones to embed; None for all.
        batch_size: shapes per forward pass.
        progress: wraps the iteration over batches, for example ``tqdm``.

    Returns:
        (S, 8·width) float32 features "fc1" on the CPU, in the order of ``indices``.
    """
    indices = range(len(shapes)) if indices is None else indices
    device = next(network.parameters()).device
    training = network.training
    features = [torch.zeros(0, 8 * network.config.width)]
    try:
        network.eval()
        for start in progress(range(0, len(indices), batch_size)):
            batch = collate([shapes[int(index)] for index in indices[start : start + batch_size]])
            features.append(network.embed(batch.to(device)).float().cpu())
    finally:
        network.train(training)
    return torch.cat(features)

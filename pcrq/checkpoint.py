"""Checkpoints: load without executing code, compare weights with an architecture, and export networks to a folder.

An exported network is a folder with ``model.safetensors`` (https://huggingface.co/docs/safetensors) and
``config.json``. Neither file can contain code.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pcrq import InputError, __version__
from pcrq.files import atomic_folder

WEIGHTS, CONFIG = "model.safetensors", "config.json"
"""The two files of an exported network."""


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Load a checkpoint that contains only tensors and plain values; other objects are refused, never executed.

    Args:
        path: a file written by ``torch.save``.

    Returns:
        The content, with tensors on the CPU.

    Raises:
        InputError: the file is missing, not a checkpoint, damaged, or contains other objects.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint file; name a .ckpt that a training run wrote")
    try:
        mapped = zipfile.is_zipfile(path)  # files of torch before 1.6, as many published weights are, cannot be mapped
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise InputError(f"{path}: {_why_unreadable_checkpoint(path, error)}") from error
    if not isinstance(checkpoint, dict):
        raise InputError(f"{path}: not a training checkpoint; name a .ckpt that a training run wrote")
    return checkpoint


def weights_digest(weights: torch.nn.Module | Mapping[str, Tensor]) -> str:
    """Return the first 16 hex digits of the SHA-256 of a network's parameters and buffers.

    Args:
        weights: a network or its state dict.
    """
    state = weights.state_dict() if isinstance(weights, torch.nn.Module) else weights
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def check_weights(
    path: str | Path, network: str, expected: Mapping[str, Tensor], weights: Mapping[str, Tensor], fix: str
) -> None:
    """Compare the names and shapes of weights with those that a network expects.

    Args:
        path: the file of the weights, for the error message.
        network: the network and its options in words, for the error message.
        expected: state dict of the network.
        weights: state dict that was read.
        fix: what the user can do, the last part of the error message.

    Raises:
        InputError: a weight is missing, unexpected or of another shape; the message counts them and names one.
    """
    missing = [name for name in expected if name not in weights]
    unexpected = [name for name in weights if name not in expected]
    reshaped = [name for name in expected if name in weights and weights[name].shape != expected[name].shape]
    if not (missing or unexpected or reshaped):
        return
    if reshaped:
        first = reshaped[0]
        example = f"{first} is {tuple(weights[first].shape)} instead of {tuple(expected[first].shape)}"
    else:
        example = f"{missing[0]} is missing" if missing else f"{unexpected[0]} is unexpected"
    raise InputError(
        f"{path}: not the weights of {network}: {len(missing)} missing, {len(unexpected)} unexpected, {len(reshaped)} "
        f"of another shape; for example, {example}; {fix}"
    )


def save_exported(folder: str | Path, network: torch.nn.Module, about: Mapping[str, Any], force: bool = False) -> Path:
    """Export a network to a folder, atomically.

    Args:
        folder: the folder to write; its parent must exist.
        network: the network whose parameters and buffers are written.
        about: entries of ``config.json``: "format" (str), "version" (int), "architecture" (dict), "pretraining" (dict)
            and any other plain values. The digest of the weights and the software version are added.
        force: replace a network that was exported to this folder before; other files are never replaced.

    Returns:
        The folder.

    Raises:
        InputError: the folder is not empty, or cannot be written.
    """
    from safetensors.torch import save_file

    folder = Path(folder)
    _check_replaceable(folder, force)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    config = {**about, "digest": weights_digest(weights), "software": f"pcrq {__version__}"}
    with atomic_folder(folder) as temporary:
        save_file(weights, temporary / WEIGHTS)
        (temporary / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    return folder


def load_exported(
    path: str | Path, format: str, version: int, network: str
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read a folder that :func:`save_exported` wrote.

    Args:
        path: the folder, or the ``model.safetensors`` in it.
        format: value of the entry "format" in ``config.json``.
        version: newest version of that format that can be read.
        network: what the folder should contain, for error messages: "MID-Net".

    Returns:
        The content of ``config.json``, and the state dict on the CPU.

    Raises:
        InputError: a file is missing, damaged, of another format or a newer version, or the two do not belong together.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(path)
    weights_path = path / WEIGHTS if path.is_dir() else path
    config_path = weights_path.with_name(CONFIG)
    for file in (weights_path, config_path):
        if not file.is_file():
            raise InputError(
                f"{file.parent}: no {file.name} in it; name a folder that 'pcrq export' wrote, or the .ckpt of a run"
            )
    about = _read_config(config_path, format, version, network)
    try:
        weights = load_file(weights_path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise InputError(f"{weights_path}: {_why_unreadable_export(weights_path)}") from error
    if weights_digest(weights) != about["digest"]:
        raise InputError(f"{weights_path}: not the weights that {CONFIG} describes; export the network again")
    return about, weights


def _why_unreadable_checkpoint(path: Path, error: Exception) -> str:
    if zipfile.is_zipfile(path) and isinstance(error, pickle.UnpicklingError):
        return (
            "the checkpoint contains objects other than tensors and plain values, which could run code; it is not "
            "loaded; use a checkpoint written by pcrq"
        )
    with path.open("rb") as file:
        if file.read(2) == b"PK":  # a zip archive, as torch.save writes, without its end
            return "the checkpoint is cut short or damaged; copy it again"
    return "not a checkpoint; name a .ckpt that a training run wrote"


def _why_unreadable_export(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(9)
    if len(start) < 9 or start.endswith(b"{"):  # eight bytes with the length of the header, and the header in JSON
        return "the file is cut short or damaged; copy it again"
    return "not a safetensors file, despite its name; it is not loaded; export the network again"


def _read_config(path: Path, format: str, version: int, network: str) -> dict[str, Any]:
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({error}); export the network again") from error
    if not isinstance(about, dict) or about.get("format") != format or not isinstance(about.get("version"), int):
        raise InputError(f"{path}: does not describe a {network} of pcrq; name a folder that 'pcrq export' wrote")
    if about["version"] > version:
        raise InputError(f"{path}: version {about['version']}, but this pcrq reads up to {version}; update pcrq")
    for name, kind in {"architecture": dict, "pretraining": dict, "digest": str}.items():
        if not isinstance(about.get(name), kind):
            raise InputError(f"{path}: {name!r} is missing or damaged; export the network again")
    return about


def _check_replaceable(folder: Path, force: bool) -> None:
    if not folder.parent.is_dir():
        raise InputError(f"{folder}: the folder {folder.parent} does not exist; create it first")
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"{folder}: a file; name a folder to write")
    found = {entry.name for entry in folder.iterdir()}
    if found - {WEIGHTS, CONFIG}:
        raise InputError(f"{folder}: contains other files, such as {min(found - {WEIGHTS, CONFIG})}; name a new folder")
    if found and not force:
        raise InputError(f"{folder}: contains an exported network; name another folder, or replace it with --force")

"""Checkpoints: load without executing code, and a digest of the weights."""

from __future__ import annotations

import hashlib
import pickle
import zipfile
from pathlib import Path

import torch

from pcrq.errors import InputError


def weights_digest(network: torch.nn.Module) -> str:
    """A fingerprint of a network's weights and statistics, equal for equal ones."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def load_checkpoint(path: str | Path) -> dict:
    """Load a checkpoint of tensors and plain values; anything else in it is refused, never executed.

    Raises:
        InputError: the file is missing, no checkpoint, damaged, or holds more than tensors and plain values.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint file; name a .ckpt that a training run wrote")
    try:
        mapped = zipfile.is_zipfile(path)  # the format before torch 1.6, of many published weights, cannot be
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise InputError(f"{path}: {_why_unreadable(path, error)}") from error
    if not isinstance(checkpoint, dict):
        raise InputError(f"{path}: not a training checkpoint; name a .ckpt that a training run wrote")
    return checkpoint


def _why_unreadable(path: Path, error: Exception) -> str:
    if zipfile.is_zipfile(path) and isinstance(error, pickle.UnpicklingError):
        return (
            "the checkpoint holds objects other than tensors and plain values, which could run code; it is not "
            "loaded; use a checkpoint written by pcrq"
        )
    with path.open("rb") as file:
        if file.read(2) == b"PK":  # a zip archive, as torch.save writes, without its end
            return "the checkpoint is cut short or damaged; copy it again"
    return "not a checkpoint; name a .ckpt that a training run wrote"

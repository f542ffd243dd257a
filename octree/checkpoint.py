"""Read a pretrained network back from a training checkpoint, without Lightning and without running its code."""

from __future__ import annotations

import hashlib
import pickle
import zipfile
from pathlib import Path

import torch

from octree.midnet import MIDNet, MIDNetConfig
from pcrq.errors import InputError

KEY = "midnet"
PREFIX = "network."


def describe(network: MIDNet) -> dict:
    """What a training run adds to its checkpoints so that :func:`load_network` can rebuild the network."""
    return {"version": 1, "config": network.hyper_parameters()}


def weights_digest(network: MIDNet) -> str:
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
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
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


def load_network(path: str | Path) -> MIDNet:
    """The network of a pretraining checkpoint, in evaluation mode on the CPU.

    Raises:
        InputError: as :func:`load_checkpoint`, and where the file holds no MID-Net or one of another architecture.
    """
    checkpoint = load_checkpoint(path)
    about = checkpoint.get(KEY)
    if not isinstance(about, dict) or "state_dict" not in checkpoint:
        raise InputError(f"{path}: a checkpoint, but not of a MID-Net; pretrain one with projects.point_cloud.pretrain")
    try:
        network = MIDNet(MIDNetConfig(**about["config"]))
        weights = {
            name.removeprefix(PREFIX): tensor
            for name, tensor in checkpoint["state_dict"].items()
            if name.startswith(PREFIX)
        }
        network.load_state_dict(weights)
    except (KeyError, TypeError, RuntimeError, InputError) as error:
        raise InputError(f"{path}: the weights do not fit this version's MID-Net ({error}); pretrain again") from error
    return network.eval()

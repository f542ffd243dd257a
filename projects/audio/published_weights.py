"""The encoders that nttcslab publishes: ``AudioNTT2020-BYOLA-64x96d{512,1024,2048}.pth`` of nttcslab/byol-a.

Their licence is for evaluation, so they are no part of pcrq: download them there. They were trained on librosa's
log-mel spectrograms, which :class:`projects.audio.log_mel.LogMel` computes, normalised by the statistics of the data
at hand (:func:`projects.audio.normalization.log_mel_statistics`).
"""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from pcrq.errors import InputError
from projects.audio.ntt import HALVINGS, AudioNTT2020

_WANTED = "name an AudioNTT2020-BYOLA-64x96d….pth of nttcslab/byol-a"


def load_published(path: str | Path) -> AudioNTT2020:
    """Load a published encoder, or any state dict of :class:`AudioNTT2020`; nothing in the file is executed.

    Args:
        path: the file.

    Returns:
        The encoder in evaluation mode on the CPU; the sizes of its weights tell its own.

    Raises:
        InputError: the file is missing, damaged, or of another network.
    """
    path = Path(path)
    weights = _read(path)
    encoder = _encoder_of(weights)
    if encoder is None:
        raise InputError(f"{path}: not the weights of an AudioNTT2020; {_WANTED}")
    expected = encoder.state_dict()
    for name in [*expected, *weights]:
        if name not in weights or name not in expected or weights[name].shape != expected[name].shape:
            kind = "missing" if name not in weights else "unexpected" if name not in expected else "of another shape"
            raise InputError(f"{path}: not the weights of an AudioNTT2020, {name} is {kind}; {_WANTED}")
    encoder.load_state_dict(weights)
    return encoder.eval()


def _read(path: Path) -> dict[str, Tensor]:
    """A file of tensors by name."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; {_WANTED}")
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise InputError(f"{path}: {_why_unreadable(path, error)}; {_WANTED}") from error
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise InputError(f"{path}: not a file of weights alone; {_WANTED}")
    return weights


def _why_unreadable(path: Path, error: Exception) -> str:
    if zipfile.is_zipfile(path):
        if isinstance(error, pickle.UnpicklingError):
            return "holds objects other than tensors, which could run code; it is not loaded"
        return "damaged"
    with path.open("rb") as file:
        return "cut short or damaged" if file.read(2) == b"PK" else "not a file of weights"


def _encoder_of(weights: dict[str, Tensor]) -> AudioNTT2020 | None:
    """An encoder of the sizes that the first convolution and the first layer on frames have, None without these."""
    convolution, layer = weights.get("features.0.weight"), weights.get("fc.0.weight")
    if convolution is None or layer is None or layer.ndim != 2 or convolution.ndim != 4:
        return None
    dimension, channels = len(layer), len(convolution)
    if dimension == 0 or channels == 0 or layer.shape[1] < channels:
        return None
    return AudioNTT2020(dimension, (layer.shape[1] // channels) << HALVINGS, channels)

"""The encoders that nttcslab publishes: ``AudioNTT2020-BYOLA-64x96d{512,1024,2048}.pth`` of nttcslab/byol-a.

Their licence is for evaluation, so they are no part of pcrq: download them there. They were trained on librosa's
log-mel spectrograms, which :class:`projects.audio.log_mel.LogMel` computes, normalised by the statistics of the data
at hand (:func:`projects.audio.normalization.log_mel_statistics`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from pcrq.errors import InputError
from projects.audio.ntt import HALVINGS, AudioNTT2020

_WANTED = "name an AudioNTT2020-BYOLA-64x96d….pth of nttcslab/byol-a"


def published_encoder(weights: Mapping[str, Any], path: str | Path) -> AudioNTT2020:
    """A published encoder, or one of any state dict of :class:`AudioNTT2020`.

    Args:
        weights: tensors by their names, as :func:`pcrq.checkpoint.load_checkpoint` reads them.
        path: the file they are from, for messages.

    Returns:
        The encoder in evaluation mode on the CPU; the sizes of its weights tell its own.

    Raises:
        InputError: the weights are of another network.
    """
    if not all(isinstance(value, Tensor) for value in weights.values()):
        raise InputError(f"{path}: not a file of weights alone; {_WANTED}")
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


def _encoder_of(weights: Mapping[str, Tensor]) -> AudioNTT2020 | None:
    """An encoder of the sizes that the first convolution and the first layer on frames have, None without these."""
    convolution, layer = weights.get("features.0.weight"), weights.get("fc.0.weight")
    if convolution is None or layer is None or layer.ndim != 2 or convolution.ndim != 4:
        return None
    dimension, channels = len(layer), len(convolution)
    if dimension == 0 or channels == 0 or layer.shape[1] < channels:
        return None
    return AudioNTT2020(dimension, (layer.shape[1] // channels) << HALVINGS, channels)

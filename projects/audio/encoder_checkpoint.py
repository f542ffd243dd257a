"""An encoder from a checkpoint of ours, or from the weights that nttcslab publishes; either is read as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from pcrq.checkpoint import load_checkpoint, weights_digest
from pcrq.errors import InputError
from projects.audio.augmentation import Augmentation
from projects.audio.normalization import LogMelStatistics
from projects.audio.ntt import AudioNTT2020
from projects.audio.published_weights import published_encoder

KEY = "audio_encoder"
"""The entry of a checkpoint that tells its encoder."""
UNTRAINED = "scratch"
"""What the results call an encoder with random weights."""

_PREFIX = "framework.encoder."
_PUBLISHED = "AudioNTT2020-BYOLA"  # what the names of nttcslab's files begin with


@dataclass
class LoadedEncoder:
    """A network with what is known of it.

    Args:
        network: in evaluation mode.
        statistics: of the log-mel spectrograms that it was trained on; None where nobody tells, as for the published
            weights: measure the sounds at hand.
        pretraining: how it was pretrained, plain values; empty where nobody tells.
        method: what the results call it, "" where nobody tells.
    """

    network: AudioNTT2020
    statistics: LogMelStatistics | None = None
    pretraining: dict[str, Any] = field(default_factory=dict)
    method: str = ""

    @property
    def digest(self) -> str:
        """A fingerprint of the weights."""
        return weights_digest(self.network)


def describe(network: AudioNTT2020, statistics: LogMelStatistics, pretraining: Mapping[str, Any]) -> dict[str, Any]:
    """What a pretraining adds to its checkpoints under ``KEY``; plain values."""
    return {
        "version": 1,
        "encoder": network.sizes,
        "statistics": asdict(statistics),
        "pretraining": dict(pretraining),
    }


def holds_encoder(checkpoint: Mapping[str, Any]) -> bool:
    """Whether a loaded checkpoint is one that :func:`load_encoder` reads."""
    return KEY in checkpoint or "fc.0.weight" in checkpoint


def load_encoder(path: str | Path) -> LoadedEncoder:
    """The encoder of a checkpoint.

    Args:
        path: a checkpoint of ``projects.audio.pretrain``, or a file of AudioNTT2020's weights alone, such as
            ``AudioNTT2020-BYOLA-64x96d2048.pth`` of nttcslab/byol-a.

    Raises:
        InputError: the file is no checkpoint, or has another network.
    """
    return encoder_of(load_checkpoint(path), path)


def encoder_of(checkpoint: Mapping[str, Any], path: str | Path) -> LoadedEncoder:
    """The encoder of a checkpoint that is loaded already.

    Args:
        checkpoint: what :func:`pcrq.checkpoint.load_checkpoint` gives.
        path: the file it is from, whose name tells published weights.

    Raises:
        InputError: as :func:`load_encoder`.
    """
    if KEY not in checkpoint:
        if "state_dict" in checkpoint:
            raise InputError(f"{path}: a checkpoint, but not of sounds; name one of projects.audio.pretrain")
        method = "BYOL-A" if Path(path).name.startswith(_PUBLISHED) else ""
        pretraining = {"weights of": Path(path).name} if method else {}
        return LoadedEncoder(published_encoder(checkpoint, path), pretraining=pretraining, method=method)
    try:
        told, state = checkpoint[KEY], checkpoint["state_dict"]
        statistics, pretraining = LogMelStatistics(**told["statistics"]), dict(told["pretraining"])
        method = Augmentation(**pretraining["augmentation"]).name
        with torch.random.fork_rng(devices=[]):  # the initial weights are thrown away
            network = AudioNTT2020(**told["encoder"])
        network.load_state_dict({n.removeprefix(_PREFIX): v for n, v in state.items() if n.startswith(_PREFIX)})
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        raise InputError(f"{path}: does not tell its encoder as expected ({error}); it is damaged or newer") from error
    return LoadedEncoder(network.eval(), statistics, pretraining, method)

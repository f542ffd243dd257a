"""AudioNTT2020, the encoder of BYOL-A, and its weights: from our checkpoints or as published by nttcslab.

The published encoders are ``AudioNTT2020-BYOLA-64x96d{512,1024,2048}.pth`` of nttcslab/byol-a. Their license allows
evaluation only, so they are not part of pcrq. They expect the spectrograms of :class:`~projects.audio.log_mel.LogMel`,
normalized by the statistics of the sounds at hand.

Source: BYOL-A (Niizumi et al., IJCNN 2021), table I; Koizumi et al., The NTT DCASE2020 challenge task 6 system, 2020.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pcrq import InputError
from pcrq.checkpoint import load_checkpoint, weights_digest
from projects.audio.augmentation import Augmentation
from projects.audio.log_mel import LogMelStatistics
from projects.training.records import upgraded_pretraining

HALVINGS = 3
"""Number of times that frequencies and frames are halved."""
KEY = "audio_encoder"
"""Entry of a checkpoint that describes its encoder."""
UNTRAINED = "scratch"
"""Method of an encoder with random weights in the results."""

_PREFIX = "framework.encoder."
_PUBLISHED = "AudioNTT2020-BYOLA"  # prefix of the names of nttcslab's files
_EXPECTED = "name an AudioNTT2020-BYOLA-64x96d….pth of nttcslab/byol-a"


class AudioNTT2020(nn.Module):
    """Embed log-mel spectrograms: three convolutions, two layers on every remaining frame, pooling over time.

    Parameters have the names of the published weights.

    Args:
        dimension: of the embedding, 2048 in the paper.
        mels: frequencies of the spectrograms, at least 8.
        channels: of every convolution, 64 in the paper.

    Shape:
        (B, 1, mels, T) float, normalized, any T >= 8 frames -> (B, dimension).

    Raises:
        InputError: a size is too small, or (when called) the spectrograms have another shape.
    """

    def __init__(self, dimension: int = 2048, mels: int = 64, channels: int = 64):
        super().__init__()
        if dimension < 1 or channels < 1 or mels < 2**HALVINGS:
            raise InputError(
                f"AudioNTT2020: dimension {dimension}, channels {channels}, mels {mels}: must be at least 1, 1 and "
                f"{2**HALVINGS}"
            )
        self.dimension, self.mels, self.channels = dimension, mels, channels
        self.features = nn.Sequential(*_block(1, channels), *_block(channels, channels), *_block(channels, channels))
        self.fc = nn.Sequential(
            nn.Linear(channels * (mels >> HALVINGS), dimension),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Linear(dimension, dimension),
            nn.ReLU(),
        )

    @property
    def sizes(self) -> dict[str, int]:
        """Arguments of the network, by name."""
        return {"dimension": self.dimension, "mels": self.mels, "channels": self.channels}

    def forward(self, log_mel: Tensor) -> Tensor:
        """Embeddings: maximum over time plus mean over time."""
        return self.pool(self.frames(log_mel))

    def frames(self, log_mel: Tensor) -> Tensor:
        """(B, T // 8, dimension) features before pooling, one per 80 ms."""
        if log_mel.ndim != 4 or tuple(log_mel.shape[1:3]) != (1, self.mels) or log_mel.shape[3] < 2**HALVINGS:
            raise InputError(
                f"log-mel spectrograms of shape {tuple(log_mel.shape)}: expected (B, 1, {self.mels}, T) of T >= "
                f"{2**HALVINGS} frames"
            )
        maps = self.features(log_mel)
        return self.fc(maps.permute(0, 3, 2, 1).flatten(2))  # channels last, as in the published weights

    @staticmethod
    def pool(frames: Tensor) -> Tensor:
        """(B, T // 8, dimension) features of frames -> (B, dimension) embeddings."""
        return frames.amax(dim=1) + frames.mean(dim=1)


def _block(before: int, after: int) -> list[nn.Module]:
    return [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]


# --- checkpoints ---


@dataclass
class LoadedEncoder:
    """A pretrained network with its description.

    Args:
        network: in evaluation mode.
        statistics: of the log-mel spectrograms that it was trained on; None where the file does not contain them, as
            for published weights: use those of the sounds at hand.
        pretraining: how it was pretrained, plain values; empty where unknown.
        method: its name in the results; "" where unknown.
    """

    network: AudioNTT2020
    statistics: LogMelStatistics | None = None
    pretraining: dict[str, Any] = field(default_factory=dict)
    method: str = ""

    @property
    def digest(self) -> str:
        """Digest of the weights."""
        return weights_digest(self.network)


def describe(network: AudioNTT2020, statistics: LogMelStatistics, pretraining: Mapping[str, Any]) -> dict[str, Any]:
    """Describe an encoder for the entry ``KEY`` of its checkpoint, in plain values."""
    return {
        "version": 1,
        "encoder": network.sizes,
        "statistics": asdict(statistics),
        "pretraining": dict(pretraining),
    }


def holds_encoder(checkpoint: Mapping[str, Any]) -> bool:
    """Whether :func:`load_encoder` can read a loaded checkpoint."""
    return KEY in checkpoint or "fc.0.weight" in checkpoint


def load_encoder(path: str | Path) -> LoadedEncoder:
    """Load the encoder of a checkpoint, without executing code from it.

    Args:
        path: a checkpoint of 'pcrq pretrain sounds', or a file of AudioNTT2020's weights, such as
            ``AudioNTT2020-BYOLA-64x96d2048.pth`` of nttcslab/byol-a.

    Raises:
        InputError: the file is not a checkpoint, or contains another network.
    """
    checkpoint = load_checkpoint(path)
    if KEY not in checkpoint:
        if "state_dict" in checkpoint:
            raise InputError(f"{path}: a checkpoint, but not of sounds; name one of 'pcrq pretrain sounds'")
        method = "BYOL-A" if Path(path).name.startswith(_PUBLISHED) else ""
        pretraining = {"weights of": Path(path).name} if method else {}
        return LoadedEncoder(_network_of_weights(checkpoint, path), pretraining=pretraining, method=method)
    try:
        description, state = checkpoint[KEY], checkpoint["state_dict"]
        statistics = LogMelStatistics(**description["statistics"])
        pretraining = upgraded_pretraining(description["pretraining"])
        method = Augmentation(**pretraining["augmentation"]).name
        with torch.random.fork_rng(devices=[]):  # the initial weights are replaced
            network = AudioNTT2020(**description["encoder"])
        network.load_state_dict({n.removeprefix(_PREFIX): v for n, v in state.items() if n.startswith(_PREFIX)})
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{path}: its description of the encoder cannot be read ({error}); the file is damaged, or from a newer "
            "version"
        ) from error
    return LoadedEncoder(network.eval(), statistics, pretraining, method)


def _network_of_weights(weights: Mapping[str, Any], path: str | Path) -> AudioNTT2020:
    """The network of a state dict of :class:`AudioNTT2020`, in evaluation mode; the weights determine its sizes."""
    if not all(isinstance(value, Tensor) for value in weights.values()):
        raise InputError(f"{path}: not a file of weights alone; {_EXPECTED}")
    convolution, layer = weights.get("features.0.weight"), weights.get("fc.0.weight")
    if (
        convolution is None
        or layer is None
        or (convolution.ndim, layer.ndim) != (4, 2)
        or not 0 < len(convolution) <= layer.shape[1]
        or len(layer) == 0
    ):
        raise InputError(f"{path}: not the weights of an AudioNTT2020; {_EXPECTED}")
    dimension, channels = len(layer), len(convolution)
    network = AudioNTT2020(dimension, (layer.shape[1] // channels) << HALVINGS, channels)
    expected = network.state_dict()
    for name in [*expected, *weights]:
        if name not in weights or name not in expected or weights[name].shape != expected[name].shape:
            kind = "missing" if name not in weights else "unexpected" if name not in expected else "of another shape"
            raise InputError(f"{path}: not the weights of an AudioNTT2020, {name} is {kind}; {_EXPECTED}")
    network.load_state_dict(weights)
    return network.eval()

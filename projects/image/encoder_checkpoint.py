"""An encoder from a checkpoint: one of ours, or a published one of moco-v3 or random_quantize.

What a checkpoint says is data. An encoder of the user's own code is imported only where the user names it again.

Source: facebookresearch/moco-v3, main_moco.py and main_lincls.py (keys ``module.base_encoder.``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from pcrq.checkpoint import load_checkpoint, weights_digest
from pcrq.errors import InputError
from projects.image.encoder import CLASSIFIERS, Encoder
from projects.image.resnet import BLOCKS
from projects.image.sources.source import IMAGENET_MEAN, IMAGENET_STD
from projects.training.records import upgraded_pretraining

KEY = "image_encoder"
"""The entry of a checkpoint that tells its encoder."""

_OURS = "framework.encoder."
_PUBLISHED = "base_encoder."  # moco-v3; torchvision's own files have no prefix
_HEADS = tuple(f"{name}." for name in CLASSIFIERS)


@dataclass
class LoadedEncoder:
    """A network with what is needed to use it.

    Args:
        network: maps (B, 3, H, W) normalised images to (B, features); in evaluation mode.
        encoder: its architecture.
        mean, std: per colour channel, of pixels in [0, 1], that its images were normalised by.
        pretraining: how it was pretrained, plain values; empty where the checkpoint does not tell.
    """

    network: nn.Module
    encoder: Encoder
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    pretraining: dict[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """A fingerprint of the weights."""
        return weights_digest(self.network)


def describe(encoder: Encoder, mean: tuple, std: tuple, pretraining: Mapping[str, Any]) -> dict[str, Any]:
    """What a pretraining adds to its checkpoints under ``KEY``; plain values."""
    return {
        "version": 1,
        "encoder": asdict(encoder),
        "mean": list(mean),
        "std": list(std),
        "pretraining": dict(pretraining),
    }


def holds_encoder(checkpoint: Mapping[str, Any]) -> bool:
    """Whether a loaded checkpoint is one that :func:`load_encoder` reads without being told an architecture."""
    return KEY in checkpoint or "conv1.weight" in _published_weights(checkpoint)


def load_encoder(path: str | Path, encoder: Encoder | None = None) -> LoadedEncoder:
    """The encoder of a checkpoint.

    Args:
        path: a checkpoint of ``projects.image.pretrain``, of moco-v3 or of random_quantize, or a state dict in
            torchvision's names.
        encoder: its architecture; needed for other networks than ResNets where the checkpoint does not tell, and where
            it names code that would be imported.

    Raises:
        InputError: the file is no checkpoint, has no encoder, or not one of this architecture.
    """
    checkpoint = load_checkpoint(path)
    if KEY in checkpoint:
        return _ours(path, checkpoint, encoder)
    weights = _published_weights(checkpoint)
    if not weights or (encoder is None and "conv1.weight" not in weights):
        raise InputError(
            f"{path}: no ResNet in it (it has {', '.join(list(weights)[:3]) or 'no tensors'}); name a checkpoint of "
            "projects.image.pretrain, of moco-v3 or of random_quantize, and the architecture of any other network"
        )
    encoder = Encoder(_resnet_of(weights)) if encoder is None else encoder
    return LoadedEncoder(_filled(path, encoder, weights), encoder)


def _ours(path: str | Path, checkpoint: dict, encoder: Encoder | None) -> LoadedEncoder:
    try:
        told = checkpoint[KEY]
        described = Encoder(**told["encoder"])
        mean, std, pretraining = tuple(told["mean"]), tuple(told["std"]), upgraded_pretraining(told["pretraining"])
        state = checkpoint["state_dict"]
        weights = {name.removeprefix(_OURS): state[name] for name in _tensors(state) if name.startswith(_OURS)}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(f"{path}: does not tell its encoder as expected ({error}); it is damaged or newer") from error
    if encoder is not None and encoder != described:
        raise InputError(f"{path}: holds {described}, not {encoder}; leave the encoder out to take the checkpoint's")
    if described.is_imported and encoder is None:
        raise InputError(
            f"{path}: its encoder is made by calling {described.name}({described.arguments}), which is only done where "
            "you say so; name the same encoder in the options"
        )
    return LoadedEncoder(_filled(path, described, weights), described, mean, std, pretraining)


def _published_weights(checkpoint: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The tensors of the encoder by the names that it gives them; a head may be among them."""
    state = checkpoint.get("state_dict", checkpoint)
    state = {str(name).removeprefix("module."): value for name, value in _tensors(state).items()}
    inside = {name.removeprefix(_PUBLISHED): state[name] for name in state if name.startswith(_PUBLISHED)}
    return inside or state


def _resnet_of(weights: Mapping[str, torch.Tensor]) -> str:
    """The ResNet that has these blocks; resnet50 where none has, whose weights will then be missed by their names."""
    block = Bottleneck if "layer1.0.conv3.weight" in weights else BasicBlock
    first = [name for name in weights if name.endswith(".conv1.weight")]
    counts = tuple(sum(name.startswith(f"layer{stage}.") for name in first) for stage in (1, 2, 3, 4))
    return next((name for name, structure in BLOCKS.items() if structure == (block, counts)), "resnet50")


def _tensors(state: object) -> dict[Any, torch.Tensor]:
    """The tensors of what should be a state dict."""
    items = state.items() if isinstance(state, Mapping) else ()
    return {name: value for name, value in items if isinstance(value, torch.Tensor)}


def _filled(path: str | Path, encoder: Encoder, weights: dict[str, torch.Tensor]) -> nn.Module:
    """The network of an architecture with these weights: every one of them, but those of a head that it does not have.

    Raises:
        InputError: they do not fit.
    """
    with torch.random.fork_rng(devices=[]):  # the initial weights are thrown away
        network = encoder.build()
    wanted = network.state_dict()
    missing = [name for name in wanted if name not in weights]
    surplus = [name for name in weights if name not in wanted and not name.startswith(_HEADS)]
    other = [name for name in wanted if name in weights and wanted[name].shape != weights[name].shape]
    options = encoder.arguments if encoder.is_imported else f"width {encoder.width}, stem {encoder.stem}"
    for what, names in {"lacks": missing, "has besides": surplus, "has in another shape": other}.items():
        if names:
            raise InputError(
                f"{path}: not the weights of a {encoder.name} ({options}): "
                f"{what} {names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}; name its architecture"
            )
    network.load_state_dict({name: weights[name] for name in wanted})
    return network.eval()

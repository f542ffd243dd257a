"""Which network is trained: a ResNet by its name, or any other one by its import path."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from pcrq.errors import InputError
from pcrq.evaluation.features import eval_mode
from projects.image.resnet import BLOCKS, ResNet, Stem

CLASSIFIERS = ("fc", "head", "heads", "classifier")
"""What torchvision, timm and moco-v3 call the layers after the features."""


@dataclass(frozen=True)
class Encoder:
    """The architecture of an encoder.

    Args:
        name: resnet10, resnet18, resnet34, resnet50 or resnet101; or what to import and call for any other network,
            such as "timm.create_model" or "my_package.networks.Encoder".
        width: channels of a ResNet's first stage; 64 in torchvision.
        stem: of a ResNet: "imagenet", or "small" for images of about 32 pixels.
        arguments: of the call, such as {model_name: convnext_tiny}. What still classifies loses its last layer where
            that is known: networks of torchvision, those with timm's ``reset_classifier``, and a linear layer ``fc``.
            What is left must map (B, 3, H, W) to (B, features).

    Raises:
        InputError: the name is not known, or an option does not belong to it.
    """

    name: str = "resnet50"
    width: int = 64
    stem: Stem = "imagenet"
    arguments: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name not in BLOCKS and not self.is_imported:
            raise InputError(
                f"encoder {self.name!r}: not known; choose among {', '.join(BLOCKS)}, or name what to import and "
                "call, such as timm.create_model"
            )
        if self.width < 1:
            raise InputError(f"encoder width {self.width}: choose at least 1")
        if self.stem not in ("imagenet", "small"):
            raise InputError(f"encoder stem {self.stem!r}: choose imagenet or small")
        if self.arguments and not self.is_imported:
            raise InputError(f"encoder {self.name}: takes width and stem, no arguments {list(self.arguments)}")
        if self.is_imported and (self.width, self.stem) != (64, "imagenet"):
            raise InputError(f"encoder {self.name}: width and stem are of ResNets; put what it takes into arguments")

    @property
    def is_imported(self) -> bool:
        """Whether building it runs code that the user names."""
        return "." in self.name

    def build(self) -> nn.Module:
        """The network with new weights, drawn from torch's global generator.

        Raises:
            InputError: it cannot be imported, or the call fails.
        """
        if not self.is_imported:
            return ResNet(self.name, self.width, self.stem)
        function = _imported(self.name)
        try:
            network = function(**self.arguments)
        except Exception as error:  # whatever the user's function raises
            raise InputError(f"encoder {self.name}: the call with {self.arguments} fails: {error}") from error
        if not isinstance(network, nn.Module):
            raise InputError(f"encoder {self.name}: gives a {type(network).__name__}, not a torch.nn.Module")
        return _without_classifier(network)


def feature_size(network: nn.Module, size: int) -> int:
    """Features of an encoder, by a trial; its mode and statistics stay as they were.

    Args:
        network: maps (B, 3, size, size) to (B, features).
        size: pixels along each side of its images.

    Raises:
        InputError: it does not.
    """
    try:
        with eval_mode(network):
            features = network(torch.zeros(2, 3, size, size, device=device_of(network)))
    except Exception as error:
        message = f"encoder {type(network).__name__}: fails on images of {size}×{size} pixels: {error}"
        raise InputError(f"{message}; choose another data.size, or another encoder") from error
    shape = tuple(getattr(features, "shape", ()))
    if len(shape) != 2 or shape[0] != 2:
        raise InputError(
            f"encoder {type(network).__name__}: makes {shape or type(features).__name__} of two images, expected "
            "(2, features); pool it, for example by timm's num_classes=0"
        )
    return shape[1]


def device_of(network: nn.Module) -> torch.device:
    """Where the parameters of a network are; the CPU where it has none."""
    return next((parameter.device for parameter in network.parameters()), torch.device("cpu"))


def _imported(path: str) -> Callable[..., Any]:
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except Exception as error:  # whatever the user's module raises
        raise InputError(f"encoder {path}: cannot be imported ({error}); is it installed, and spelled so?") from error


def _without_classifier(network: nn.Module) -> nn.Module:
    if hasattr(network, "reset_classifier"):
        network.reset_classifier(0)
        return network
    is_known = type(network).__module__.startswith("torchvision.")
    for name in CLASSIFIERS if is_known else ("fc",):
        layer = getattr(network, name, None)
        if isinstance(layer, nn.Linear):
            setattr(network, name, nn.Identity())
        elif is_known and isinstance(layer, nn.Sequential) and isinstance(layer[-1], nn.Linear):
            layer[-1] = nn.Identity()
    return network

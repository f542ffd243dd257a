"""Image encoders: ResNets by name, any other network by its import path, and encoders from checkpoints.

Sources: He et al., Deep Residual Learning, CVPR 2016; Chen et al., SimCLR, ICML 2020, appendix B.9 (stem for small
images); facebookresearch/moco-v3, main_moco.py and main_lincls.py (checkpoints).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from pcrq import InputError
from pcrq.checkpoint import load_checkpoint, weights_digest
from pcrq.evaluation.features import eval_mode
from projects.image.image_source import IMAGENET_MEAN, IMAGENET_STD
from projects.training.records import upgraded_pretraining

# --- ResNets ---

Stem = Literal["imagenet", "small"]

BLOCKS: dict[str, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, int, int, int]]] = {
    "resnet10": (BasicBlock, (1, 1, 1, 1)),
    "resnet18": (BasicBlock, (2, 2, 2, 2)),
    "resnet34": (BasicBlock, (3, 4, 6, 3)),
    "resnet50": (Bottleneck, (3, 4, 6, 3)),
    "resnet101": (Bottleneck, (3, 4, 23, 3)),
}
"""Block and number of blocks per stage."""


class ResNet(nn.Module):
    """A ResNet without classifier: its output is the pooled feature.

    The last batch norm of each residual branch starts at zero, as in MoCo v3. With ``width`` 64 and the stem
    "imagenet", parameters have torchvision's names and shapes.

    Args:
        name: a key of :data:`BLOCKS`.
        width: channels of the first stage.
        stem: "imagenet" halves the resolution twice before the first stage; "small" keeps it, for images of 32 pixels.

    Shape:
        (B, 3, H, W) float -> (B, features).
    """

    def __init__(self, name: str = "resnet50", width: int = 64, stem: Stem = "imagenet"):
        super().__init__()
        block, counts = BLOCKS[name]
        if stem == "small":
            self.conv1, self.maxpool = nn.Conv2d(3, width, 3, padding=1, bias=False), nn.Identity()
        else:
            self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
            self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.bn1, self.relu = nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        channels, stages = width, []
        for stage, count in enumerate(counts):
            planes, blocks = width * 2**stage, []
            for index in range(count):
                blocks.append(_block(block, channels, planes, stride=2 if stage and index == 0 else 1))
                channels = planes * block.expansion
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.apply(_initialize)

    def forward(self, images: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.avgpool(x).flatten(1)


def _block(block: type[BasicBlock] | type[Bottleneck], channels: int, planes: int, stride: int) -> nn.Module:
    out, downsample = planes * block.expansion, None
    if stride != 1 or channels != out:
        convolution = nn.Conv2d(channels, out, 1, stride=stride, bias=False)
        downsample = nn.Sequential(convolution, nn.BatchNorm2d(out))
    return block(channels, planes, stride, downsample)


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, (BasicBlock, Bottleneck)):
        last = module.bn3 if isinstance(module, Bottleneck) else module.bn2
        nn.init.zeros_(last.weight)


# --- the architecture as options ---

CLASSIFIERS = ("fc", "head", "heads", "classifier")
"""Names of the classification layers in torchvision, timm and moco-v3."""


@dataclass(frozen=True)
class Encoder:
    """The architecture of an encoder.

    Args:
        name: resnet10, resnet18, resnet34, resnet50 or resnet101; or an import path that is called to make any other
            network, such as "timm.create_model" or "my_package.networks.Encoder".
        width: channels of a ResNet's first stage, 64 in torchvision; other networks ignore it.
        stem: stem of a ResNet, "imagenet" or "small" (for images of about 32 pixels); other networks ignore it.
        arguments: arguments of the call, such as {model_name: convnext_tiny}. The classifier is removed from networks
            of torchvision and timm, and wherever it is a linear layer ``fc``. The result must map (B, 3, H, W) to
            (B, features).

    Raises:
        InputError: the name is unknown, or an option is out of range.
    """

    name: str = "resnet50"
    width: int = 64
    stem: Stem = "imagenet"
    arguments: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name not in BLOCKS and not self.is_imported:
            raise InputError(
                f"unknown encoder {self.name!r}; available: {', '.join(BLOCKS)}, or an import path such as "
                "timm.create_model"
            )
        if self.width < 1:
            raise InputError(f"encoder.width {self.width}: must be at least 1")
        if self.stem not in ("imagenet", "small"):
            raise InputError(f"encoder.stem {self.stem!r}: must be imagenet or small")
        if self.arguments and not self.is_imported:
            raise InputError(
                f"encoder.arguments {self.arguments}: {self.name} has the options width and stem only; leave "
                "arguments out"
            )
        if self.is_imported:  # equal networks must be equal options, also below a config that sets a ResNet's width
            object.__setattr__(self, "width", 64)
            object.__setattr__(self, "stem", "imagenet")

    @property
    def is_imported(self) -> bool:
        """Whether making the network runs code that the user names."""
        return "." in self.name

    def build(self) -> nn.Module:
        """Make the network; its weights come from torch's global generator.

        Raises:
            InputError: it cannot be imported, or the call fails.
        """
        if not self.is_imported:
            return ResNet(self.name, self.width, self.stem)
        function = _imported(self.name)
        try:
            network = function(**self.arguments)
        except Exception as error:  # the user's function can raise anything
            raise InputError(f"encoder {self.name}: the call with {self.arguments} fails: {error}") from error
        if not isinstance(network, nn.Module):
            raise InputError(f"encoder {self.name}: returns a {type(network).__name__}, expected a torch.nn.Module")
        return _without_classifier(network)


def feature_size(network: nn.Module, size: int) -> int:
    """Number of features of an encoder, found by a forward pass; modes and statistics stay unchanged.

    Args:
        network: maps (B, 3, size, size) to (B, features).
        size: height and width of the images in pixels.

    Raises:
        InputError: the network fails, or its output has another shape.
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
            f"encoder {type(network).__name__}: its output for two images is {shape or type(features).__name__}, "
            "expected (2, features); pool it, for example by timm's num_classes=0"
        )
    return shape[1]


def device_of(network: nn.Module) -> torch.device:
    """The device of a network's parameters; the CPU if it has none."""
    return next((parameter.device for parameter in network.parameters()), torch.device("cpu"))


def _imported(path: str) -> Callable[..., Any]:
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except Exception as error:  # the user's module can raise anything
        raise InputError(
            f"encoder {path}: cannot be imported ({error}); check the spelling and that it is installed"
        ) from error


def _without_classifier(network: nn.Module) -> nn.Module:
    if hasattr(network, "reset_classifier"):  # timm
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


# --- checkpoints ---

KEY = "image_encoder"
"""The entry of a checkpoint that describes its encoder."""

_OURS = "framework.encoder."
_PUBLISHED = "base_encoder."  # moco-v3; torchvision's own files have no prefix
_HEADS = tuple(f"{name}." for name in CLASSIFIERS)


@dataclass
class LoadedEncoder:
    """A network and what is needed to use it.

    Args:
        network: maps (B, 3, H, W) normalized images to (B, features); in evaluation mode.
        encoder: its architecture.
        mean, std: normalization of its images, per color channel, of pixels in [0, 1].
        pretraining: how it was pretrained, plain values; empty if unknown.
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
    """The entry :data:`KEY` of a checkpoint; plain values."""
    return {
        "version": 1,
        "encoder": asdict(encoder),
        "mean": list(mean),
        "std": list(std),
        "pretraining": dict(pretraining),
    }


def holds_encoder(checkpoint: Mapping[str, Any]) -> bool:
    """Whether :func:`load_encoder` reads a loaded checkpoint without an architecture."""
    return KEY in checkpoint or "conv1.weight" in _published_weights(checkpoint)


def load_encoder(path: str | Path, encoder: Encoder | None = None) -> LoadedEncoder:
    """Load the encoder of a checkpoint; code is imported only if the caller names it by ``encoder``.

    Args:
        path: a checkpoint of ``pcrq pretrain images``, of moco-v3 or of random_quantize, or a state dict with
            torchvision's names.
        encoder: the architecture. Required for networks other than ResNets if the checkpoint does not describe it, or
            if its description is an import path.

    Raises:
        InputError: the file is not a checkpoint, contains no encoder, or one of another architecture.
    """
    checkpoint = load_checkpoint(path)
    if KEY in checkpoint:
        return _load_ours(path, checkpoint, encoder)
    weights = _published_weights(checkpoint)
    if not weights or (encoder is None and "conv1.weight" not in weights):
        raise InputError(
            f"{path}: contains no ResNet (but {', '.join(list(weights)[:3]) or 'no tensors'}); choose a checkpoint of "
            "'pcrq pretrain images', of moco-v3 or of random_quantize, and name the architecture of any other network"
        )
    encoder = Encoder(_resnet_of(weights)) if encoder is None else encoder
    return LoadedEncoder(_build(path, encoder, weights), encoder)


def _load_ours(path: str | Path, checkpoint: dict, encoder: Encoder | None) -> LoadedEncoder:
    try:
        entry = checkpoint[KEY]
        described = Encoder(**entry["encoder"])
        mean, std, pretraining = tuple(entry["mean"]), tuple(entry["std"]), upgraded_pretraining(entry["pretraining"])
        state = checkpoint["state_dict"]
        weights = {name.removeprefix(_OURS): state[name] for name in _tensors(state) if name.startswith(_OURS)}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(f"{path}: unexpected description of the encoder ({error}); damaged or newer") from error
    if encoder is not None and encoder != described:
        raise InputError(f"{path}: contains {described}, not {encoder}; leave the encoder out to use the checkpoint's")
    if described.is_imported and encoder is None:
        raise InputError(
            f"{path}: its encoder is made by calling {described.name}({described.arguments}); this code runs only if "
            "you name the same encoder in the options"
        )
    return LoadedEncoder(_build(path, described, weights), described, mean, std, pretraining)


def _published_weights(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of the encoder by their names in it; a head may be among them."""
    state = checkpoint.get("state_dict", checkpoint)
    state = {str(name).removeprefix("module."): value for name, value in _tensors(state).items()}
    inside = {name.removeprefix(_PUBLISHED): state[name] for name in state if name.startswith(_PUBLISHED)}
    return inside or state


def _resnet_of(weights: Mapping[str, Tensor]) -> str:
    """The ResNet with these blocks; resnet50 if there is none, so that the error lists its missing weights."""
    block = Bottleneck if "layer1.0.conv3.weight" in weights else BasicBlock
    first = [name for name in weights if name.endswith(".conv1.weight")]
    counts = tuple(sum(name.startswith(f"layer{stage}.") for name in first) for stage in (1, 2, 3, 4))
    return next((name for name, structure in BLOCKS.items() if structure == (block, counts)), "resnet50")


def _tensors(state: object) -> dict[Any, Tensor]:
    """The tensors of what should be a state dict."""
    items = state.items() if isinstance(state, Mapping) else ()
    return {name: value for name, value in items if isinstance(value, Tensor)}


def _build(path: str | Path, encoder: Encoder, weights: dict[str, Tensor]) -> nn.Module:
    """Make the network and load the weights, all of them except those of a classifier that it does not have.

    Raises:
        InputError: weights are missing, superfluous or of another shape.
    """
    with torch.random.fork_rng(devices=[]):  # the initial weights are discarded
        network = encoder.build()
    wanted = network.state_dict()
    problems = {
        "missing": [name for name in wanted if name not in weights],
        "superfluous": [name for name in weights if name not in wanted and not name.startswith(_HEADS)],
        "of another shape": [name for name in wanted if name in weights and wanted[name].shape != weights[name].shape],
    }
    options = encoder.arguments if encoder.is_imported else f"width {encoder.width}, stem {encoder.stem}"
    for problem, names in problems.items():
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise InputError(
                f"{path}: not the weights of a {encoder.name} ({options}): {names[0]}{more} {problem}; name the "
                "architecture of the weights"
            )
    network.load_state_dict({name: weights[name] for name in wanted})
    return network.eval()

"""SSQL: train the network together with a copy whose weights and activations are rounded to few levels.

The gradient passes rounding as if nothing were rounded, and stops where a value was clamped.

Source: Cao et al., Synergistic Self-supervised and Quantization Learning, ECCV 2022; megvii-research/SSQL-ECCV2022.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import torch
from torch import distributed, nn
from torch.func import functional_call

from pcrq import InputError
from pcrq.ssl.distributed import process_count
from pcrq.ssl.siamese import Baseline, SiameseFramework


def round_weight(weight: torch.Tensor, bits: int) -> torch.Tensor:
    """Round weights to 2^bits levels that are symmetric about 0, scaled to each output channel's largest weight.

    Args:
        weight: (channels, …) floating point.
        bits: bit width, at least 2.

    Returns:
        (channels, …) rounded weights; a channel of zeros stays zero. As in the original, the gradient passes rounding
        unchanged, is 0 where the rounded value was clamped, and also reaches the largest weight of each channel through
        the distance between the levels.
    """
    peak = weight.flatten(1).abs().max(dim=1).values.view(-1, *[1] * (weight.ndim - 1))
    step = torch.where(peak > 0, peak, 1.0) / ((2**bits - 1) / 2)
    exact = weight / step
    rounded = exact.detach().round()
    level = rounded.clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    # not by the gradient of clamp, which is 0 at the bounds since PyTorch 2.14, but was 1 in SSQL's version
    passed = torch.where(level == rounded, exact, exact.detach())
    result: torch.Tensor = (passed + (level - exact).detach()) * step
    return result


def round_activation(activation: torch.Tensor, low: torch.Tensor, high: torch.Tensor, bits: int) -> torch.Tensor:
    """Round activations to 2^bits levels from ``low`` to ``high``, one of which is 0; values outside are clamped.

    Args:
        activation: any shape, floating point.
        low, high: () float32 range of the layer; where they are equal, nothing is rounded.
        bits: bit width, at least 1.

    Returns:
        The same shape and dtype. The gradient passes unchanged, except that it is 0 where the value was clamped.
    """
    rounded: torch.Tensor = _RoundedActivation.apply(activation, low, high, bits)
    return rounded


class _RoundedActivation(torch.autograd.Function):
    """Save one byte per value for backward: whether it was clamped.

    Levels are computed in float32 also for 16-bit activations: bfloat16 has eight significant bits, so its quotients
    can be wrong by half a level when there are 256 levels. The float32 copy exists for one layer at a time.
    """

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx,
        activation: torch.Tensor,
        low: torch.Tensor,
        high: torch.Tensor,
        bits: int,
    ) -> torch.Tensor:
        flat = high <= low
        step = torch.where(flat, 1.0, (high - low) / (2**bits - 1))
        lowest = (low / step).round()
        highest = lowest + (2**bits - 1)
        level = (activation.float() / step).round_()
        ctx.save_for_backward(((level < lowest) | (level > highest)) & ~flat)
        level.clamp_(lowest, highest)
        return torch.where(flat, activation, level.mul_(step).to(activation.dtype))

    @staticmethod
    def backward(
        ctx: torch.autograd.function.FunctionCtx, gradient: torch.Tensor
    ) -> tuple[torch.Tensor, None, None, None]:
        (clamped,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return gradient.masked_fill(clamped, 0), None, None, None


WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU)
MIN_BITS = 8  # of the first layer and the projector, which SSQL quantizes less
Range = tuple[torch.Tensor, torch.Tensor]


class SSQL(Baseline):
    """SSQL: the mean of the losses of the rounded network and of the full-precision network.

    Args:
        weight_bits: smallest and largest bit width of weights, inclusive; sampled anew every step.
        activation_bits: the same for the outputs of the encoder's activation layers.

    Raises:
        InputError: a range is empty or outside [2, 24], or (from the forward pass) the encoder has no activation
            layer.
    """

    name = "SSQL"

    def __init__(self, weight_bits: tuple[int, int] = (2, 8), activation_bits: tuple[int, int] = (4, 8)):
        super().__init__()
        for name, (low, high) in {"weight_bits": weight_bits, "activation_bits": activation_bits}.items():
            if not 2 <= low <= high <= 24:
                raise InputError(f"SSQL {name} {low} to {high}: must be the smaller first, both in [2, 24]")
        self.weight_bits = (weight_bits[0], weight_bits[1])
        self.activation_bits = (activation_bits[0], activation_bits[1])

    @property
    def options(self) -> dict[str, Any]:
        """See :class:`Baseline`."""
        return {"weight_bits": list(self.weight_bits), "activation_bits": list(self.activation_bits)}

    def forward(
        self,
        framework: SiameseFramework,
        first: torch.Tensor,
        second: torch.Tensor,
        generator: torch.Generator | None = None,
        common_generator: torch.Generator | None = None,
    ) -> torch.Tensor:
        """See :class:`Baseline`. The bit widths come from ``common_generator``, so that all processes round alike."""
        views = (first, second)
        predictions, ranges = zip(*(_predict_and_observe(framework, view) for view in views), strict=True)
        weight_bits, activation_bits = (
            _sample_bits(*bits, common_generator or generator) for bits in (self.weight_bits, self.activation_bits)
        )
        network = RoundedNetwork(framework, _joint(_union(*ranges)), weight_bits, activation_bits)
        rounded = [network.predict(view) for view in views]
        targets = [framework.target(view) for view in views]
        return (framework.both_directions(predictions, targets) + framework.both_directions(rounded, targets)) / 2


class RoundedNetwork:
    """The online network of a framework with rounded weights and activations; the predictor is not rounded.

    Args:
        framework: the network whose parameters are rounded; it receives the gradient.
        ranges: minimum and maximum of every activation of the encoder, in order of execution.
        weight_bits: bit width of the encoder's weights; at least 8 for its first layer and the projector.
        activation_bits: bit width of the encoder's activations; at least 8 for the first one.
    """

    def __init__(self, framework: SiameseFramework, ranges: list[Range], weight_bits: int, activation_bits: int):
        self.framework, self.ranges, self.activation_bits = framework, ranges, activation_bits
        self.encoder_weights = _rounded_weights(framework.encoder, weight_bits)
        self.projector_weights = _rounded_weights(framework.projector, max(weight_bits, MIN_BITS))

    def predict(self, view: torch.Tensor) -> torch.Tensor:
        """Return the (B, out) predictions of the rounded network."""

        def rounded(index: int, activation: torch.Tensor) -> torch.Tensor:
            bits = max(self.activation_bits, MIN_BITS) if index == 0 else self.activation_bits
            return round_activation(activation, *self.ranges[index], bits)

        with _at_activations(self.framework.encoder, rounded):
            features = functional_call(self.framework.encoder, self.encoder_weights, (view,))
        projection = functional_call(self.framework.projector, self.projector_weights, (features,))
        prediction: torch.Tensor = self.framework.predictor(projection)
        return prediction


def _rounded_weights(network: nn.Module, bits: int) -> dict[str, torch.Tensor]:
    """Return the rounded weights of all layers by name; the first layer keeps at least 8 bits."""
    layers = [(name, module.weight) for name, module in network.named_modules() if isinstance(module, WEIGHTED)]
    return {
        f"{name}.weight".lstrip("."): round_weight(weight, max(bits, MIN_BITS) if index == 0 else bits)
        for index, (name, weight) in enumerate(layers)
    }


def _predict_and_observe(framework: SiameseFramework, view: torch.Tensor) -> tuple[torch.Tensor, list[Range]]:
    """Return the predictions of the full-precision network and the range of every activation."""
    ranges: list[Range] = []
    with _at_activations(framework.encoder, lambda _, activation: ranges.append(_range(activation))):
        prediction = framework.predict(view)
    if not ranges:
        raise InputError(
            f"SSQL rounds activations, but {type(framework.encoder).__name__} has none of the layers "
            f"{', '.join(layer.__name__ for layer in ACTIVATIONS)}; use an encoder with such layers"
        )
    return prediction, ranges


@contextmanager
def _at_activations(encoder: nn.Module, function: Callable[[int, torch.Tensor], torch.Tensor | None]) -> Iterator[None]:
    """Call ``function(index, activation)`` after every activation layer; its result replaces the activation.

    The index counts calls, not modules, because a ResNet block uses one ReLU module twice.
    """
    index = count()
    handles = [
        module.register_forward_hook(lambda _module, _input, activation: function(next(index), activation))
        for module in encoder.modules()
        if isinstance(module, ACTIVATIONS)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _union(first: list[Range], second: list[Range]) -> list[Range]:
    return [
        (torch.minimum(one[0], other[0]), torch.maximum(one[1], other[1]))
        for one, other in zip(first, second, strict=True)
    ]


def _range(activation: torch.Tensor) -> Range:
    low, high = activation.detach().aminmax()
    return low.float(), high.float()


def _joint(ranges: list[Range]) -> list[Range]:
    """Return the ranges over the joint batch of all processes."""
    if process_count() == 1:
        return ranges
    bounds = torch.stack([torch.stack((-low, high)) for low, high in ranges])
    distributed.all_reduce(bounds, distributed.ReduceOp.MAX)
    return [(-low, high) for low, high in bounds]


def _sample_bits(low: int, high: int, generator: torch.Generator | None) -> int:
    device = "cpu" if generator is None else generator.device
    return int(torch.randint(low, high + 1, (), device=device, generator=generator))

"""Rounding of weights and activations to few levels, as SSQL does it; gradients pass as if nothing were rounded.

Source: Cao et al., Synergistic Self-supervised and Quantization Learning, ECCV 2022; megvii-research/SSQL-ECCV2022.
"""

from __future__ import annotations

import torch


def round_weight(weight: torch.Tensor, bits: int) -> torch.Tensor:
    """Round to 2^bits levels that are symmetric about 0, at a distance that fits each output channel.

    Args:
        weight: (channels, …) floating point.
        bits: at least 2.

    Returns:
        The same shape; a channel of zeros stays. The gradient of the weight is that of the result.
    """
    values = weight.detach()
    peak = values.flatten(1).abs().amax(dim=1).view(-1, *[1] * (weight.ndim - 1))
    step = torch.where(peak > 0, peak, 1.0) / ((2**bits - 1) / 2)
    rounded = (values / step).round().clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) * step
    return weight + (rounded - values)


def round_activation(activation: torch.Tensor, low: torch.Tensor, high: torch.Tensor, bits: int) -> torch.Tensor:
    """Round to 2^bits levels from ``low`` to ``high``, of which one is 0; what lies outside is clamped.

    Args:
        activation: any shape, floating point.
        low, high: () float32 range of the layer; where they are equal, nothing is rounded.
        bits: at least 1.

    Returns:
        The same shape and dtype. The gradient of the activation is that of the result, and 0 where it was clamped.
    """
    return _RoundedActivation.apply(activation, low, high, bits)


class _RoundedActivation(torch.autograd.Function):
    """Keeps one byte a number for backward, which tells whether it was clamped.

    Levels are computed in float32 also for 16-bit activations: bfloat16 has eight binary digits, so that its quotients
    are off by up to half a level where there are 256 of them. These float32 numbers live for one layer only.
    """

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx,
        activation: torch.Tensor,
        low: torch.Tensor,
        high: torch.Tensor,
        bits: int,
    ) -> torch.Tensor:
        flat, values = high <= low, activation.float()
        step = torch.where(flat, 1.0, (high - low) / (2**bits - 1))
        ctx.save_for_backward((values < low - step / 2) | (values > high + step / 2))
        lowest = (low / step).round()
        level = (values / step).round_().clamp_(lowest, lowest + (2**bits - 1))
        return torch.where(flat, activation, level.mul_(step).to(activation.dtype))

    @staticmethod
    def backward(
        ctx: torch.autograd.function.FunctionCtx, gradient: torch.Tensor
    ) -> tuple[torch.Tensor, None, None, None]:
        (clamped,) = ctx.saved_tensors
        return gradient.masked_fill(clamped, 0), None, None, None

"""LARS, and the schedules of learning rate and target momentum, as in MoCo v3 with ResNets.

lightly offers the same pieces, but with other numbers, so they are not used here: its LARS scales by the norm of the
gradient without weight decay, its warm-up ends one step earlier, and its cosine is rounded differently in float64.

Source: You, Gitman, Ginsburg, Large Batch Training of Convolutional Networks, 2017; facebookresearch/moco-v3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch

from pcrq import InputError


class LARS(torch.optim.Optimizer):
    """SGD with momentum whose step is proportional to the norm of each weight tensor.

    Weights (two dimensions or more) get weight decay, then their gradient is scaled to ``trust_coefficient`` times
    the norm of the weights. Biases and the scales of normalization layers (one dimension) get neither.

    Args:
        parameters: tensors, or groups of them as dictionaries.
        lr: learning rate, as from :func:`scaled_learning_rate`.
        weight_decay: factor of the weights that is added to their gradient.
        momentum: of the update, in [0, 1).
        trust_coefficient: norm of a step of learning rate 1, relative to the norm of the weights.
    """

    def __init__(
        self,
        parameters: Iterable[torch.Tensor] | Iterable[dict[str, Any]],
        lr: float,
        weight_decay: float = 0.0,
        momentum: float = 0.9,
        trust_coefficient: float = 0.001,
    ):
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "trust_coefficient": trust_coefficient,
        }
        super().__init__(parameters, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Make one step; parameters without a gradient do not change.

        Args:
            closure: computes the gradients and returns the loss, as for every optimizer of torch.

        Returns:
            The loss that the closure returned, None without a closure.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, parameter.grad, group)
        return loss

    def _move(self, parameter: torch.Tensor, update: torch.Tensor, group: dict[str, Any]) -> None:
        if parameter.ndim > 1:
            update = update.add(parameter, alpha=group["weight_decay"])
            weights, length = parameter.norm(), update.norm()
            scale = group["trust_coefficient"] * weights / length
            update = update * torch.where((weights > 0) & (length > 0), scale, 1.0)  # the norms stay on the device
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        state["momentum_buffer"].mul_(group["momentum"]).add_(update)
        parameter.add_(state["momentum_buffer"], alpha=-group["lr"])


def scaled_learning_rate(base: float, batch: int) -> float:
    """Return ``base * batch / 256``, the linear scaling rule.

    Args:
        base: learning rate for a batch of 256.
        batch: samples per optimizer step, over all devices.
    """
    return base * batch / 256


def warmup_cosine(step: int, steps: int, warmup: int) -> float:
    """Return the factor of the learning rate at one step: linear from 0 to 1, then half a cosine down to 0.

    Args:
        step: optimizer steps already made; with a warm-up the first step has the rate 0, as in moco-v3.
        steps: optimizer steps of the whole training.
        warmup: optimizer steps of the warm-up, fewer than ``steps``.

    Raises:
        InputError: the warm-up is as long as the training.
    """
    if warmup >= steps:
        raise InputError(
            f"{warmup} warm-up steps in a training of {steps}: must be fewer; shorten the warm-up or train longer"
        )
    if step < warmup:
        return step / warmup
    return (1 + math.cos(math.pi * min((step - warmup) / (steps - warmup), 1))) / 2


def cosine_momentum(step: int, steps: int, start: float, end: float = 1.0) -> float:
    """Return the target momentum at one step: ``end - (end - start) (1 + cos(pi step / steps)) / 2``.

    Args:
        step: optimizer steps already made, in [0, steps].
        steps: optimizer steps of the whole training.
        start: momentum of the first step, in [0, 1].
        end: momentum at ``steps``, in [0, 1]; constant where it equals ``start``.
    """
    return end - (end - start) * (1 + math.cos(math.pi * min(step / steps, 1))) / 2

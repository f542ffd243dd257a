"""The optimiser of MoCo v3 on ResNets: LARS, with a learning rate that grows with the batch, warms up and decays.

Source: You, Gitman, Ginsburg, Large Batch Training of Convolutional Networks, 2017; facebookresearch/moco-v3. The
LARS of lightly scales by another norm (that of the gradient without weight decay), so it takes other steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch

from pcrq.errors import InputError


class LARS(torch.optim.Optimizer):
    """SGD with momentum whose step is proportional to the norm of each weight tensor.

    Weights (two dimensions or more) get weight decay, then their gradient is scaled to ``trust_coefficient`` times
    the norm of the weights. Biases and the scales of normalisation layers (one dimension) get neither.

    Args:
        parameters: tensors, or groups of them as dictionaries.
        lr: learning rate, as from :func:`scaled_learning_rate`.
        weight_decay: added to the gradient of weights, times the weights.
        momentum: of the steps.
        trust_coefficient: ratio of the norms of a step of learning rate 1 and of the weights.
    """

    def __init__(
        self,
        parameters: Iterable[torch.Tensor] | Iterable[dict],
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
    def step(self, closure: Callable[[], torch.Tensor] | None = None) -> torch.Tensor | None:
        """Make one step; parameters without gradient stay.

        Args:
            closure: computes loss and gradients first, as Lightning wants it.

        Returns:
            What the closure returned.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, group)
        return loss

    def _move(self, parameter: torch.Tensor, group: dict) -> None:
        update = parameter.grad
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
    """``base * batch / 256``.

    Args:
        base: learning rate of a batch of 256.
        batch: samples of one optimiser step, over all devices.
    """
    return base * batch / 256


def warmup_cosine(step: int, steps: int, warmup: int) -> float:
    """The factor of the learning rate at one step: linear from 0 to 1, then half a cosine down to 0.

    Args:
        step: optimiser steps already made; the first step has the rate 0 where there is a warm-up, as in moco-v3.
        steps: optimiser steps of the whole training.
        warmup: steps of the warm-up, fewer than ``steps``.

    Raises:
        InputError: the warm-up is as long as the training.
    """
    if warmup >= steps:
        raise InputError(f"{warmup} warm-up steps in a training of {steps}; warm up for fewer, or train longer")
    if step < warmup:
        return step / warmup
    return (1 + math.cos(math.pi * min((step - warmup) / (steps - warmup), 1))) / 2

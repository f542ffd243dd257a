"""The target network follows the online network slowly, ever more slowly towards the end of a training.

Source: BYOL (Grill et al., 2020), section 3.3; MoCo v3 (Chen et al., 2021), facebookresearch/moco-v3.
"""

from __future__ import annotations

import math

from lightly.models.utils import update_momentum
from torch import nn


def cosine_momentum(step: int, steps: int, start: float) -> float:
    """The momentum of one step: ``1 - (1 - start) (1 + cos(pi step / steps)) / 2``.

    Args:
        step: optimiser steps already made, in [0, steps].
        steps: optimiser steps of the whole training.
        start: momentum of the first step, in [0, 1]; after ``steps`` it would be 1.
    """
    return 1 - (1 - start) * (1 + math.cos(math.pi * min(step / steps, 1))) / 2


def follow(online: nn.Module, target: nn.Module, momentum: float) -> None:
    """Move the parameters of the target in place: ``target = momentum * target + (1 - momentum) * online``.

    Buffers stay as they are, as in moco-v3: the target computes in training mode, so that its batch norms
    normalise with the statistics of the batch and keep running means of their own.

    Args:
        online: the network that is trained.
        target: a network of the same architecture.
        momentum: in [0, 1]; 1 leaves the target alone.
    """
    update_momentum(online, target, momentum)

"""What a rival of the quantization augmentation is: another way to make a loss from the two views of a sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from projects.siamese.framework import SiameseFramework


class Rival(nn.Module):
    """Base of the rivals; a framework that was given one asks it for the loss.

    A rival uses the framework's ``predict``, ``target``, ``match`` and ``both_directions``, and nothing else that
    depends on the framework; so one rival fits MoCo v3 and BYOL. It draws random numbers from the generator only.
    """

    name: str
    """As the paper calls it."""

    @property
    def options(self) -> dict[str, Any]:
        """What it was made with, as plain values by the names of its arguments; all that its loss depends on."""
        return {}

    def forward(
        self,
        framework: SiameseFramework,
        first: torch.Tensor,
        second: torch.Tensor,
        generator: torch.Generator | None = None,
    ) -> torch.Tensor:
        """The loss of one batch.

        Args:
            framework: the framework that asks.
            first, second: (B, …) two views of the same samples.
            generator: source of random numbers on the device of the views; the global one for None.

        Returns:
            () float32 loss.
        """
        raise NotImplementedError

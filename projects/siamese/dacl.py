"""DACL: noise that is made of other samples.

Each view is mixed with another sample, of which so little is taken that the view remains the same sample.

Source: Verma et al., Towards Domain-Agnostic Contrastive Learning, ICML 2021, section 3.2 (linear mixup noise on the
input).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from pcrq.errors import InputError
from projects.siamese.mixing import mix
from projects.siamese.rival import Rival

if TYPE_CHECKING:
    from projects.siamese.framework import SiameseFramework


class DACL(Rival):
    """Mixup noise on both views, each with partners and shares of its own.

    Args:
        alpha: the share that a sample keeps is uniform in [alpha, 1]; above a half, so that it dominates.

    Raises:
        InputError: ``alpha`` is not in (0.5, 1], or (from the forward pass) a sample is alone in its batch.
    """

    name = "DACL"

    def __init__(self, alpha: float = 0.9):
        super().__init__()
        if not 0.5 < alpha <= 1:
            raise InputError(f"DACL alpha {alpha}: must be above 0.5 and at most 1, so that a view shows its sample")
        self.alpha = alpha

    @property
    def options(self) -> dict[str, Any]:
        """See :class:`Rival`."""
        return {"alpha": self.alpha}

    def forward(
        self,
        framework: SiameseFramework,
        first: torch.Tensor,
        second: torch.Tensor,
        generator: torch.Generator | None = None,
    ) -> torch.Tensor:
        views = [mix(view, *self.sample(len(view), view.device, generator)) for view in (first, second)]
        return framework.both_directions(
            [framework.predict(view) for view in views], [framework.target(view) for view in views]
        )

    def sample(
        self, batch: int, device: torch.device, generator: torch.Generator | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(B,) shares and (B,) partners, each another row of the batch of this process."""
        if batch < 2:
            raise InputError("DACL mixes a sample with others, but a batch has one sample; use a larger batch size")
        share = self.alpha + (1 - self.alpha) * torch.rand(batch, device=device, generator=generator)
        distance = torch.randint(1, batch, (batch,), device=device, generator=generator)
        return share, (torch.arange(batch, device=device) + distance) % batch

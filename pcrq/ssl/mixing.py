"""Convex mixes of the samples of a batch, as in mixup (Zhang et al., ICLR 2018)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from pcrq.errors import InputError
from pcrq.ssl.siamese import Baseline

if TYPE_CHECKING:
    from pcrq.ssl.siamese import SiameseFramework


def mix(samples: torch.Tensor, share: torch.Tensor, partner: torch.Tensor) -> torch.Tensor:
    """``share * sample + (1 - share) * partner`` for every sample.

    Args:
        samples: (B, …) floating point.
        share: (B,) in [0, 1], the share that a sample keeps of itself.
        partner: (B,) int64 rows of ``samples``.

    Returns:
        (B, …) of the dtype of the samples.
    """
    share = share.to(samples.dtype).view(-1, *[1] * (samples.ndim - 1))
    return share * samples + (1 - share) * samples[partner]


class DACL(Baseline):
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
        """See :class:`Baseline`."""
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


class IMix(Baseline):
    """i-Mix, in both directions: under MoCo v3 a cross-entropy with mixed labels, under BYOL mixed distances."""

    name = "i-Mix"

    def forward(
        self,
        framework: SiameseFramework,
        first: torch.Tensor,
        second: torch.Tensor,
        generator: torch.Generator | None = None,
    ) -> torch.Tensor:
        predictions, labels = [], []
        for view in (first, second):
            share, partner = self.sample(len(view), view.device, generator)
            predictions.append(framework.predict(mix(view, share, partner)))
            labels.append(virtual_labels(share, partner))
        return framework.both_directions(predictions, [framework.target(view) for view in (first, second)], labels)

    def sample(
        self, batch: int, device: torch.device, generator: torch.Generator | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(B,) shares, the larger one of a Beta(1, 1) draw and its rest, and (B,) partners, a permutation."""
        share = torch.rand(batch, device=device, generator=generator)  # Beta(1, 1) is uniform
        return torch.maximum(share, 1 - share), torch.randperm(batch, device=device, generator=generator)


def virtual_labels(share: torch.Tensor, partner: torch.Tensor) -> torch.Tensor:
    """(B, B) labels of the mixes; row i has ``share`` at i and the rest at its partner.

    Args:
        share: (B,) in [0, 1].
        partner: (B,) int64; a sample that is its own partner keeps the label 1.
    """
    labels = torch.diag(share)
    labels[torch.arange(len(share), device=share.device), partner] += 1 - share
    return labels

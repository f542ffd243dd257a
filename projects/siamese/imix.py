"""i-Mix: mixed inputs, and the same mix of their virtual labels.

Every sample of a batch is a class of its own, whose label says which key is its own. The online network sees a mix of
two samples and is asked for the mix of their labels; the target network sees samples as they are.

Source: Lee et al., i-Mix: A Domain-Agnostic Strategy for Contrastive Representation Learning, ICLR 2021, sections 3.2
and 3.3; kibok90/imix ("imixup", without its InputMix).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from projects.siamese.mixing import mix
from projects.siamese.rival import Rival

if TYPE_CHECKING:
    from projects.siamese.framework import SiameseFramework


class IMix(Rival):
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

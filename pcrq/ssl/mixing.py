"""DACL and i-Mix: baselines that mix the samples of a batch, as in mixup (Zhang et al., ICLR 2018).

Source: Verma et al., Towards Domain-Agnostic Contrastive Learning, ICML 2021 (DACL); Lee et al., i-Mix: A
Domain-Agnostic Strategy for Contrastive Representation Learning, ICLR 2021.
"""

from __future__ import annotations

from typing import Any

import torch

from pcrq import InputError
from pcrq.ssl.siamese import Baseline, SiameseFramework


def mix(samples: torch.Tensor, share: torch.Tensor, partner: torch.Tensor) -> torch.Tensor:
    """Compute ``share * sample + (1 - share) * partner`` for every sample.

    Args:
        samples: (B, …) floating point.
        share: (B,) in [0, 1], the weight of the sample itself.
        partner: (B,) int64, the row of the other sample.

    Returns:
        (B, …) in the dtype of the samples.
    """
    share = share.to(samples.dtype).view(-1, *[1] * (samples.ndim - 1))
    return share * samples + (1 - share) * samples[partner]


def input_mix(samples: torch.Tensor, shares: torch.Tensor, partners: torch.Tensor) -> torch.Tensor:
    """Mix every sample with K others; its label stays (InputMix of i-Mix).

    Args:
        samples: (B, …) floating point.
        shares: (K + 1, B) in [0, 1], which sum to 1: of the sample itself and of its partners.
        partners: (K, B) int64, the rows of the other samples.

    Returns:
        (B, …) in the dtype of the samples.
    """
    size = (-1, *[1] * (samples.ndim - 1))
    mixed = shares[0].to(samples.dtype).view(size) * samples
    for share, partner in zip(shares[1:], partners, strict=True):
        mixed = mixed + share.to(samples.dtype).view(size) * samples[partner]
    return mixed


class DACL(Baseline):
    """DACL: mixup noise on both views, each with its own partners and shares.

    Args:
        alpha: the share of the sample itself is uniform in [alpha, 1]; above 0.5, so that the sample dominates.

    Raises:
        InputError: ``alpha`` is not in (0.5, 1], or (from the forward pass) the batch has one sample.
    """

    name = "DACL"

    def __init__(self, alpha: float = 0.9):
        super().__init__()
        if not 0.5 < alpha <= 1:
            raise InputError(f"DACL alpha {alpha}: must be in (0.5, 1], so that each sample dominates its mix")
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
        common_generator: torch.Generator | None = None,
    ) -> torch.Tensor:
        """See :class:`Baseline`."""
        views = [mix(view, *self.sample(len(view), view.device, generator)) for view in (first, second)]
        return framework.both_directions(
            [framework.predict(view) for view in views], [framework.target(view) for view in views]
        )

    def sample(
        self, batch: int, device: torch.device, generator: torch.Generator | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Sample (B,) shares and (B,) partners; a partner is another row of this process's batch."""
        if batch < 2:
            raise InputError("DACL mixes different samples, but the batch has one sample; use a larger batch size")
        share = self.alpha + (1 - self.alpha) * torch.rand(batch, device=device, generator=generator)
        distance = torch.randint(1, batch, (batch,), device=device, generator=generator)
        return share, (torch.arange(batch, device=device) + distance) % batch


class IMix(Baseline):
    """i-Mix in both directions: mixed labels in the cross-entropy of MoCo v3, mixed distances in BYOL.

    Args:
        inputmix: number of other views that :func:`input_mix` adds to every view first; 0 for none. The original uses
            2 for images without augmentation.

    Raises:
        InputError: ``inputmix`` is negative.
    """

    name = "i-Mix"

    def __init__(self, inputmix: int = 0):
        super().__init__()
        if inputmix < 0:
            raise InputError(f"i-Mix inputmix {inputmix}: must be at least 0")
        self.inputmix = inputmix

    @property
    def options(self) -> dict[str, Any]:
        """See :class:`Baseline`."""
        return {"inputmix": self.inputmix} if self.inputmix else {}

    def forward(
        self,
        framework: SiameseFramework,
        first: torch.Tensor,
        second: torch.Tensor,
        generator: torch.Generator | None = None,
        common_generator: torch.Generator | None = None,
    ) -> torch.Tensor:
        """See :class:`Baseline`."""
        if self.inputmix:
            joint = torch.cat([first, second])
            shares, partners = self.sample_inputs(len(joint), joint.device, generator)
            first, second = input_mix(joint, shares, partners).chunk(2)
        predictions, labels = [], []
        for view in (first, second):
            share, partner = self.sample(len(view), view.device, generator)
            predictions.append(framework.predict(mix(view, share, partner)))
            labels.append(virtual_labels(share, partner))
        return framework.both_directions(predictions, [framework.target(view) for view in (first, second)], labels)

    def sample(
        self, batch: int, device: torch.device, generator: torch.Generator | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Sample (B,) shares max(u, 1 - u) with u from Beta(1, 1), and (B,) partners, a permutation."""
        share = torch.rand(batch, device=device, generator=generator)  # Beta(1, 1) is uniform
        return torch.maximum(share, 1 - share), torch.randperm(batch, device=device, generator=generator)

    def sample_inputs(
        self, batch: int, device: torch.device, generator: torch.Generator | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Sample (inputmix + 1, B) shares and (inputmix, B) partners, permutations.

        Half of a sample is itself; the other half is shared among it and its partners by Dirichlet(1, …, 1).
        """
        parts = torch.empty(self.inputmix + 1, batch, device=device).exponential_(generator=generator)
        shares = parts / parts.sum(dim=0) / 2  # exponentials over their sum have that distribution
        shares[0] += 0.5
        partners = [torch.randperm(batch, device=device, generator=generator) for _ in range(self.inputmix)]
        return shares, torch.stack(partners)


def virtual_labels(share: torch.Tensor, partner: torch.Tensor) -> torch.Tensor:
    """Return the (B, B) labels of mixes: ``share[i]`` at (i, i) and ``1 - share[i]`` at (i, partner[i]).

    Args:
        share: (B,) in [0, 1].
        partner: (B,) int64; a sample that is its own partner has the label 1.
    """
    labels = torch.diag(share)
    labels[torch.arange(len(share), device=share.device), partner] += 1 - share
    return labels

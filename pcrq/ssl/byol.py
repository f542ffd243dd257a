"""BYOL: predict the target network's projection of the other view, without negative samples.

Source: Grill et al., Bootstrap Your Own Latent, NeurIPS 2020, sections 3.1 and 3.2.
"""

from __future__ import annotations

import torch
from lightly.models.modules.heads import BYOLPredictionHead, BYOLProjectionHead
from torch import nn

from pcrq.ssl.siamese import SiameseFramework


class BYOL(SiameseFramework):
    """BYOL with any encoder.

    Args:
        encoder: maps a batch of views to (B, features).
        features: size of the encoder's output.
        hidden: width of the hidden layer of both heads.
        out: size of projections and predictions.
    """

    def __init__(self, encoder: nn.Module, features: int, hidden: int = 4096, out: int = 256):
        super().__init__(encoder, BYOLProjectionHead(features, hidden, out), BYOLPredictionHead(out, hidden, out))

    def loss(self, query: torch.Tensor, key: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        """Return the mean squared distance of unit vectors, 2 - 2 cos (equation 2)."""
        if labels is None:
            cosine = (query * key).sum(dim=1)
        else:
            cosine = (labels * (query @ key.t())).sum(dim=1)
        return (2 - 2 * cosine).mean()

"""MoCo v3: contrast the other view of a sample with the views of all samples in the joint batch of all processes.

Source: Chen, Xie, He, An Empirical Study of Training Self-Supervised Vision Transformers, ICCV 2021;
facebookresearch/moco-v3, the heads for ResNets.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from lightly.models.modules.heads import ProjectionHead
from torch import nn

from pcrq.errors import InputError
from pcrq.ssl.distributed import first_row, gather
from pcrq.ssl.siamese import SiameseFramework


class MoCoV3(SiameseFramework):
    """MoCo v3 with any encoder.

    Args:
        encoder: maps a batch of views to (B, features).
        features: size of the encoder's output.
        hidden: width of the hidden layer of both heads.
        out: size of projections and predictions.
        temperature: of the softmax over keys, above 0.

    Raises:
        InputError: the temperature is not positive.
    """

    def __init__(self, encoder: nn.Module, features: int, hidden: int = 4096, out: int = 256, temperature: float = 1.0):
        if not temperature > 0:
            raise InputError(f"temperature {temperature}: must be above 0; the paper uses 1.0")
        projector = ProjectionHead(
            [
                (features, hidden, nn.BatchNorm1d(hidden), nn.ReLU()),
                (hidden, out, nn.BatchNorm1d(out, affine=False), None),
            ]
        )
        predictor = ProjectionHead(
            [
                (out, hidden, nn.BatchNorm1d(hidden), nn.ReLU()),
                (hidden, out, None, None, False),  # neither batch norm nor bias at the end, as moco-v3 for ResNets
            ]
        )
        super().__init__(encoder, projector, predictor)
        self.temperature = temperature

    def loss(self, query: torch.Tensor, key: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        """Return InfoNCE over the keys of all processes, times 2T, which makes its gradient nearly independent of T."""
        keys = gather(key)
        batch, start = len(query), first_row(len(query))
        if labels is None:
            labels = torch.arange(start, start + batch, device=query.device)
        else:
            labels = F.pad(labels, (start, len(keys) - start - batch))
        return F.cross_entropy(query @ keys.t() / self.temperature, labels) * 2 * self.temperature

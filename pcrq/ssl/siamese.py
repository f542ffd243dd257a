"""MoCo v3 and BYOL: an online network, a momentum target network, and a loss in both directions.

The online network (encoder, projector, predictor) is trained to predict the target network's projection of one view
from the other view. The target network is a moving average of the online encoder and projector.

Sources: Chen, Xie, He, An Empirical Study of Training Self-Supervised Vision Transformers, ICCV 2021, and
facebookresearch/moco-v3, the heads for ResNets; Grill et al., Bootstrap Your Own Latent, NeurIPS 2020, sections 3.1 and
3.2.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from lightly.models.modules.heads import BYOLPredictionHead, BYOLProjectionHead, ProjectionHead
from lightly.models.utils import update_momentum
from torch import nn

from pcrq import InputError
from pcrq.ssl.distributed import first_row, gather


class SiameseFramework(nn.Module):
    """Base class of MoCo v3 and BYOL, which define the heads and :meth:`loss`.

    The target network starts as a copy of the online network. It has no gradient and changes by :meth:`update_target`
    only. It is part of the state dict, including its batch norm statistics.

    Args:
        encoder: maps a batch of views to (B, features).
        projector: maps (B, features) to (B, out).
        predictor: maps (B, out) to (B, out).
    """

    def __init__(self, encoder: nn.Module, projector: nn.Module, predictor: nn.Module):
        super().__init__()
        self.encoder = encoder
        self.projector = projector
        self.predictor = predictor
        self.target_encoder = copy.deepcopy(encoder).requires_grad_(False)
        self.target_projector = copy.deepcopy(projector).requires_grad_(False)

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """Compute the loss of one batch.

        Args:
            first, second: (B, …) two views of the same samples; B is the same in every process.

        Returns:
            () float32 loss of this process; its mean over processes is the loss of the joint batch.
        """
        views = (first, second)
        return self.both_directions([self.predict(view) for view in views], [self.target(view) for view in views])

    def predict(self, view: torch.Tensor) -> torch.Tensor:
        """Return the (B, out) predictions of the online network."""
        prediction: torch.Tensor = self.predictor(self.projector(self.encoder(view)))
        return prediction

    @torch.no_grad()
    def target(self, view: torch.Tensor) -> torch.Tensor:
        """Return the (B, out) projections of the target network, without gradient."""
        projection: torch.Tensor = self.target_projector(self.target_encoder(view))
        return projection

    def both_directions(
        self,
        predictions: Sequence[torch.Tensor],
        targets: Sequence[torch.Tensor],
        labels: Sequence[torch.Tensor | None] = (None, None),
    ) -> torch.Tensor:
        """Predict the second view from the first and the first from the second.

        Args:
            predictions: of the first and of the second view, (B, out) each.
            targets: of the first and of the second view, (B, out) each.
            labels: of the first and of the second prediction, as in :meth:`match`.

        Returns:
            () float32 sum of the losses of both directions.
        """
        return self.match(predictions[0], targets[1], labels[0]) + self.match(predictions[1], targets[0], labels[1])

    def match(self, prediction: torch.Tensor, target: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        """Normalize predictions and targets to unit length and compute their loss.

        Computed in float32 also under autocast: cosine similarities differ by less than 16-bit types can represent.

        Args:
            prediction: (B, out) of any length.
            target: (B, out) of any length.
            labels: (B, B) float, rows that sum to 1: the weight of every target of this process for a prediction.
                None assigns each prediction the target of the same row.

        Returns:
            () float32 mean over the batch.
        """
        with torch.autocast(prediction.device.type, enabled=False):
            return self.loss(F.normalize(prediction.float(), dim=1), F.normalize(target.float(), dim=1), labels)

    def loss(self, query: torch.Tensor, key: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        """Compute the loss of (B, out) float32 unit vectors; arguments as in :meth:`match`."""
        raise NotImplementedError

    def update_target(self, momentum: float) -> None:
        """Update the target network: ``target = momentum * target + (1 - momentum) * online``.

        Call it once per training step. Only parameters are averaged, as in moco-v3: the target network runs in
        training mode, so its batch norms use the statistics of the batch and keep their own running means.

        Args:
            momentum: in [0, 1], constant or as from :func:`pcrq.ssl.cosine_momentum`.
        """
        update_momentum(self.encoder, self.target_encoder, momentum)
        update_momentum(self.projector, self.target_projector, momentum)


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


class Baseline(nn.Module):
    """Base class of methods that compute another loss with the networks of MoCo v3 or BYOL.

    A baseline uses ``predict``, ``target``, ``match`` and ``both_directions`` of the framework only, so each of them
    works with both frameworks (except MSF, which extends BYOL). All random numbers come from the two generators.
    """

    name: str
    """Name in the paper's tables."""

    @property
    def options(self) -> dict[str, Any]:
        """Constructor arguments that change the loss, as plain values; written to run records."""
        return {}

    def forward(
        self,
        framework: SiameseFramework,
        first: torch.Tensor,
        second: torch.Tensor,
        generator: torch.Generator | None = None,
        common_generator: torch.Generator | None = None,
    ) -> torch.Tensor:
        """Compute the loss of one batch.

        Args:
            framework: the networks to train.
            first, second: (B, …) two views of the same samples.
            generator: random numbers of this process, on the device of the views; None for torch's global generator.
            common_generator: random numbers that all processes share: a CPU generator in the same state everywhere.
                Only SSQL needs it; None uses ``generator``.

        Returns:
            () float32 loss.
        """
        raise NotImplementedError

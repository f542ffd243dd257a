"""What MoCo v3 and BYOL have in common: an online network, a target network that follows it, two views, one loss.

The online network (encoder, projector, predictor) is trained to predict from one view what the target network (slow
copies of encoder and projector) says of the other view.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from lightly.models.utils import update_momentum
from torch import nn


class SiameseFramework(nn.Module):
    """Base of the frameworks, which bring their heads and a :meth:`loss`.

    The target network starts as a copy of the online network, has no gradient, and moves by :meth:`update_target`
    alone. It is part of the state dict, with its batch norm statistics.

    Args:
        encoder: maps a batch of views to (B, features).
        projector: maps features to (B, out).
        predictor: maps projections to (B, out).
        baseline: makes the loss instead of :meth:`both_directions` of the plain views.
    """

    def __init__(
        self, encoder: nn.Module, projector: nn.Module, predictor: nn.Module, baseline: Baseline | None = None
    ):
        super().__init__()
        self.encoder = encoder
        self.projector = projector
        self.predictor = predictor
        self.target_encoder = copy.deepcopy(encoder).requires_grad_(False)
        self.target_projector = copy.deepcopy(projector).requires_grad_(False)
        self.baseline = baseline

    def forward(
        self, first: torch.Tensor, second: torch.Tensor, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """The loss of one batch.

        Args:
            first, second: (B, …) two views of the same samples; B is the same in every process.
            generator: source of the baseline's random numbers, on the device of the views.

        Returns:
            () float32 loss of this process; its mean over processes is the loss of the joint batch.
        """
        if self.baseline is not None:
            return self.baseline(self, first, second, generator)
        views = (first, second)
        return self.both_directions([self.predict(view) for view in views], [self.target(view) for view in views])

    def predict(self, view: torch.Tensor) -> torch.Tensor:
        """(B, out) predictions of the online network."""
        return self.predictor(self.projector(self.encoder(view)))

    @torch.no_grad()
    def target(self, view: torch.Tensor) -> torch.Tensor:
        """(B, out) projections of the target network, without gradient."""
        return self.target_projector(self.target_encoder(view))

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
            labels: of the first and of the second prediction, as for :meth:`match`.
        """
        return self.match(predictions[0], targets[1], labels[0]) + self.match(predictions[1], targets[0], labels[1])

    def match(self, prediction: torch.Tensor, target: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        """How badly predictions match their targets.

        Computed in float32 also under autocast: similarities of unit vectors lie so close together that 16 bits
        would round away what tells them apart.

        Args:
            prediction: (B, out) of any length.
            target: (B, out) of any length.
            labels: (B, B) float, rows that sum to 1: what share of a prediction every target of this process has;
                None for the target of the same row.

        Returns:
            () float32 mean over the batch.
        """
        with torch.autocast(prediction.device.type, enabled=False):
            return self.loss(F.normalize(prediction.float(), dim=1), F.normalize(target.float(), dim=1), labels)

    def loss(self, query: torch.Tensor, key: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        """:meth:`match` for float32 unit vectors; every framework has its own."""
        raise NotImplementedError

    def update_target(self, momentum: float) -> None:
        """Let the target network follow by one step; call it before every forward pass of a training step.

        Args:
            momentum: in [0, 1], as from :func:`pcrq.ssl.siamese.cosine_momentum`.
        """
        follow(self.encoder, self.target_encoder, momentum)
        follow(self.projector, self.target_projector, momentum)


class Baseline(nn.Module):
    """Base of the baselines; a framework that was given one asks it for the loss.

    A baseline uses the framework's ``predict``, ``target``, ``match`` and ``both_directions``, and nothing else that
    depends on the framework; so one baseline fits MoCo v3 and BYOL. It draws random numbers from the generator only.
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

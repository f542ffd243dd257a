"""What MoCo v3 and BYOL have in common: an online network, a target network that follows it, two views, one loss.

The online network (encoder, projector, predictor) is trained to predict from one view what the target network (slow
copies of encoder and projector) says of the other view.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from projects.siamese.momentum import follow
from projects.siamese.rival import Rival


class SiameseFramework(nn.Module):
    """Base of the frameworks, which bring their heads and a :meth:`loss`.

    The target network starts as a copy of the online network, has no gradient, and moves by :meth:`update_target`
    alone. It is part of the state dict, with its batch norm statistics.

    Args:
        encoder: maps a batch of views to (B, features).
        projector: maps features to (B, out).
        predictor: maps projections to (B, out).
        rival: makes the loss instead of :meth:`both_directions` of the plain views.
    """

    def __init__(self, encoder: nn.Module, projector: nn.Module, predictor: nn.Module, rival: Rival | None = None):
        super().__init__()
        self.encoder = encoder
        self.projector = projector
        self.predictor = predictor
        self.target_encoder = copy.deepcopy(encoder).requires_grad_(False)
        self.target_projector = copy.deepcopy(projector).requires_grad_(False)
        self.rival = rival

    def forward(
        self, first: torch.Tensor, second: torch.Tensor, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """The loss of one batch.

        Args:
            first, second: (B, …) two views of the same samples; B is the same in every process.
            generator: source of the rival's random numbers, on the device of the views.

        Returns:
            () float32 loss of this process; its mean over processes is the loss of the joint batch.
        """
        if self.rival is not None:
            return self.rival(self, first, second, generator)
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
            momentum: in [0, 1], as from :func:`projects.siamese.momentum.cosine_momentum`.
        """
        follow(self.encoder, self.target_encoder, momentum)
        follow(self.projector, self.target_projector, momentum)

"""Train a classifier of shapes, from a pretrained backbone or from nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from octree.downstream import ShapeClassifier
from octree.point_batch import PointBatch
from pcrq.errors import InputError
from projects.point_cloud.fine_tuning import FineTuning
from projects.point_cloud.labelled_data import ClassificationData


class Classification(FineTuning):
    """Categories of whole shapes; "lin" is the other sub-command, as it needs no training of this kind.

    Args:
        head_only_below: under "ft" with less than this part of the labels the backbone is frozen and the head alone
            trained, all of it with the full learning rate (O-CNN's "finetune_head").
        head_only_shift: replaces the shift of the view then.
        options: as for FineTuning.
    """

    def __init__(self, head_only_below: float = 0.1, head_only_shift: float = 0.25, **options: Any):
        super().__init__(**options)
        if self.protocol == "lin":
            raise InputError("protocol lin: trains on features, not shapes; use 'projects.point_cloud.classify lin'")
        self.head_only_below, self.head_only_shift = head_only_below, head_only_shift

    def setup(self, stage: str) -> None:
        """Make the network, and choose what to train by the number of labels."""
        self.few_labels = self.protocol == "ft" and self.trainer.datamodule.ratio < self.head_only_below
        if self.few_labels:
            self.view = replace(self.view, shift=self.head_only_shift)
        super().setup(stage)

    def make_network(self) -> nn.Module:
        """A classifier with an output per category."""
        data: ClassificationData = self.trainer.datamodule
        return ShapeClassifier(self.config, len(data.classes))

    def new_layers(self) -> nn.Module:
        """The linear layer, or the whole head where that alone is trained."""
        return self.network.head if self.head_only else self.network.head.fc2

    @property
    def head_only(self) -> bool:
        """Whether the backbone is frozen."""
        return self.few_labels

    def training_step(self, batch: PointBatch, batch_idx: int) -> torch.Tensor:
        """Cross entropy of a distorted batch."""
        logits = self.network(self.distort(batch))
        loss = F.cross_entropy(logits, batch.category)
        correct = (logits.argmax(dim=1) == batch.category).float()
        self.log_dict({"loss": loss, "accuracy": correct.mean()}, prog_bar=True, batch_size=batch.batch_size)
        return loss

    def test_step(self, batch: PointBatch, batch_idx: int) -> None:
        """Count the undistorted shapes that are recognised."""
        hits = (self.network(batch).argmax(dim=1) == batch.category).float().mean()
        self.log(
            "test_accuracy",
            hits,
            on_step=False,
            on_epoch=True,
            sync_dist=True,
            prog_bar=True,
            batch_size=batch.batch_size,
        )

    validation_step = test_step

    def measured(self) -> dict[str, float]:
        """What the test found, by the names of the run record."""
        return {"accuracy": float(self.trainer.callback_metrics["test_accuracy"])}

    def common(self) -> dict[str, Any]:
        """What decides the result besides seed and labels, as plain values."""
        return {**super().common(), "head_only": self.head_only}

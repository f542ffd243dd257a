"""Train a network that segments the shapes of one category into parts."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from octree.downstream import PartSegmenter, part_iou
from octree.point_batch import PointBatch
from projects.point_cloud.fine_tuning import FineTuning
from projects.point_cloud.labelled_data import SegmentationData


class Segmentation(FineTuning):
    """Parts of points; the features of a point are interpolated from the octree's.

    Args:
        category_iterations: replaces the schedule's iterations for some categories; the command line derives the
            number of steps from it.
        options: as for FineTuning. "lin" trains the head, two fully connected layers, on a frozen backbone.
    """

    def __init__(self, category_iterations: dict[str, int] = {}, **options: Any):  # noqa: B006 (never changed)
        super().__init__(**options)

    def make_network(self) -> nn.Module:
        """A segmenter with an output per part of the category."""
        data: SegmentationData = self.trainer.datamodule
        return PartSegmenter(self.config, len(data.parts))

    def new_layers(self) -> nn.Module:
        """The head; its hidden layer begins with the pretrained weights."""
        return self.network.head

    def training_step(self, batch: PointBatch, batch_idx: int) -> torch.Tensor:
        """Cross entropy over all points of a distorted batch."""
        batch = self.distort(batch)
        logits = self._logits(batch)
        loss = F.cross_entropy(logits, batch.labels)
        correct = (logits.argmax(dim=1) == batch.labels).float()
        self.log_dict({"loss": loss, "accuracy": correct.mean()}, prog_bar=True, batch_size=batch.batch_size)
        return loss

    def test_step(self, batch: PointBatch, batch_idx: int) -> None:
        """Overlap of predicted and true parts, as a mean over undistorted shapes."""
        guess = self._logits(batch).argmax(dim=1)
        parts = len(self.trainer.datamodule.parts)
        iou = part_iou(guess, batch.labels, batch.batch_id, batch.batch_size, parts)
        values = {
            "test_iou": iou.present.float().mean(),
            "test_iou_all_parts": iou.all_parts.float().mean(),
            "test_accuracy": (guess == batch.labels).float().mean(),
        }
        self.log_dict(values, on_step=False, on_epoch=True, sync_dist=True, prog_bar=True, batch_size=batch.batch_size)

    validation_step = test_step

    def measured(self) -> dict[str, float]:
        """What the test found, by the names of the run record."""
        found = self.trainer.callback_metrics
        return {"mIoU": float(found["test_iou"]), "mIoU, absent parts count 1": float(found["test_iou_all_parts"])}

    def common(self) -> dict[str, Any]:
        """What decides the result besides seed and labels, as plain values."""
        data: SegmentationData = self.trainer.datamodule
        return {**super().common(), "category": data.category, "categories": data.categories}

    def _logits(self, batch: PointBatch) -> torch.Tensor:
        return self.network(batch)

"""How well predicted parts of shapes overlap with the true ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class PartIoU:
    """Mean intersection over union of every shape of a batch, in both conventions of the literature.

    Args:
        present: (B,) float64 mean over the parts that the ground truth of a shape has: what table 7 of the paper and
            O-CNN report. It never looks at points wrongly given to an absent part, except through the parts that
            lose them.
        all_parts: (B,) float64 mean over all parts of the category; a part that is neither there nor predicted counts
            1, one that is predicted only counts 0 (Qi et al., PointNet).
    """

    present: torch.Tensor
    all_parts: torch.Tensor


def part_iou(
    prediction: torch.Tensor, label: torch.Tensor, batch_id: torch.Tensor, batch_size: int, parts: int
) -> PartIoU:
    """Compare predicted and true parts.

    Args:
        prediction, label: (N,) int64 in [0, parts).
        batch_id: (N,) int64 in [0, batch_size), the shape of every point; every shape has a point.
        batch_size: number of shapes B.
        parts: number of parts P.
    """

    def points_per_part(part: torch.Tensor, chosen: torch.Tensor | slice = slice(None)) -> torch.Tensor:
        place = (batch_id * parts + part)[chosen]
        return torch.bincount(place, minlength=batch_size * parts).view(batch_size, parts).double()

    true, guessed = points_per_part(label), points_per_part(prediction)
    both = points_per_part(label, prediction == label)
    union = true + guessed - both
    iou = both / union.clamp(min=1)
    return PartIoU(
        present=iou.sum(dim=1) / (true > 0).sum(dim=1),  # an absent part adds nothing to the sum
        all_parts=torch.where(union > 0, iou, 1.0).mean(dim=1),
    )

"""A batch of point clouds of different sizes, kept as one ragged set of points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch

from pcrq.stores.shape_store import Shape


@dataclass(frozen=True)
class PointBatch:
    """B clouds with N points altogether, all on one device.

    Args:
        points: (N, 3) float32 coordinates.
        normals: (N, 3) float32 unit normals.
        batch_id: (N,) int64 in [0, B), ascending: the cloud that a point belongs to.
        batch_size: B; a cloud may own no point.
        index: (B,) int64 position of every cloud in its store.
        category: (B,) int64 category of every cloud, -1 where unknown.
        labels: (N,) int64 part of every point, or None.
        patches: (N,) int64 patch of every point, or None.
    """

    points: torch.Tensor
    normals: torch.Tensor
    batch_id: torch.Tensor
    batch_size: int
    index: torch.Tensor
    category: torch.Tensor
    labels: torch.Tensor | None = None
    patches: torch.Tensor | None = None

    def to(self, device: torch.device | str, non_blocking: bool = False) -> PointBatch:
        """The same batch on another device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> PointBatch:
        """The same batch in page-locked memory; ``DataLoader(pin_memory=True)`` calls this."""
        return self._map(lambda tensor: tensor.pin_memory())

    def select(self, mask: torch.Tensor) -> PointBatch:
        """The points where ``mask`` (N,) bool is true; the clouds and their number stay."""
        per_point = ("points", "normals", "batch_id", "labels", "patches")
        values = {name: getattr(self, name) for name in per_point}
        return replace(self, **{name: v[mask] for name, v in values.items() if v is not None})

    def _map(self, function) -> PointBatch:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{n: function(v) for n, v in values.items() if isinstance(v, torch.Tensor)})


def collate(shapes: Sequence[Shape]) -> PointBatch:
    """Concatenate shapes into one batch; the ``collate_fn`` of a ``DataLoader``.

    Labels and patches are kept where every shape has them.
    """
    counts = torch.tensor([len(shape.points) for shape in shapes])

    def concatenated(name: str, dtype: type) -> torch.Tensor | None:
        arrays = [getattr(shape, name) for shape in shapes]
        if any(array is None for array in arrays):
            return None
        return torch.from_numpy(np.concatenate(arrays).astype(dtype, copy=False))

    return PointBatch(
        points=concatenated("points", np.float32),
        normals=concatenated("normals", np.float32),
        batch_id=torch.repeat_interleave(torch.arange(len(shapes)), counts),
        batch_size=len(shapes),
        index=torch.tensor([shape.index for shape in shapes]),
        category=torch.tensor([shape.category for shape in shapes]),
        labels=concatenated("labels", np.int64),
        patches=concatenated("patches", np.int64),
    )

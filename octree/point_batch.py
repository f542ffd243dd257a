"""A batch of point clouds of different sizes: one ragged set of points, without padding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from pcrq import InputError
from pcrq.stores.shape_store import Shape as Shape
from pcrq.stores.shape_store import ShapeStore as ShapeStore


@dataclass(frozen=True, eq=False)
class PointBatch:
    """B clouds with N points altogether, all tensors on one device.

    Use :func:`collate` or :meth:`from_points`, which also check values. The constructor checks types and sizes only,
    so that it never waits for a GPU.

    Args:
        points: (N, 3) float32 coordinates; networks need them in [-1, 1].
        normals: (N, 3) float32 unit normals of either sign, or None; MID-Net needs them.
        batch_id: (N,) int64 in [0, B), ascending: the cloud of every point.
        batch_size: number of clouds B; a cloud may have no points.
        index: (B,) int64 position of every cloud among the training shapes, its row in the memory banks of
            :class:`octree.MIDLoss`; -1 where unknown.
        category: (B,) int64 category of every cloud, -1 where unknown.
        labels: (N,) int64 part of every point, or None.
        patches: (N,) int64 patch of every point, or None.

    Raises:
        InputError: a tensor has another type, size or device.
    """

    points: torch.Tensor
    normals: torch.Tensor | None
    batch_id: torch.Tensor
    batch_size: int
    index: torch.Tensor
    category: torch.Tensor
    labels: torch.Tensor | None = None
    patches: torch.Tensor | None = None

    def __post_init__(self) -> None:
        count = len(self.points) if self.points.ndim else 0
        expected = {
            "points": ((count, 3), torch.float32),
            "normals": ((count, 3), torch.float32),
            "index": ((self.batch_size,), torch.int64),
            "category": ((self.batch_size,), torch.int64),
            **dict.fromkeys(("batch_id", "labels", "patches"), ((count,), torch.int64)),
        }
        for name, (size, dtype) in expected.items():
            tensor: torch.Tensor | None = getattr(self, name)
            if tensor is None and name in ("normals", "labels", "patches"):
                continue
            found = "None" if tensor is None else f"{tuple(tensor.shape)} {tensor.dtype} on {tensor.device}"
            if found != f"{size} {dtype} on {self.device}":
                raise InputError(
                    f"{name} is {found}, but must be {size} {dtype} on {self.device} in a batch of {count} points and "
                    f"{self.batch_size} clouds; PointBatch.from_points converts other types"
                )

    @property
    def device(self) -> torch.device:
        """The device of all tensors."""
        return self.points.device

    @classmethod
    def from_points(
        cls,
        points: Any,
        batch_id: Any = None,
        normals: Any = None,
        *,
        batch_size: int | None = None,
        index: Any = None,
        category: Any = None,
        labels: Any = None,
        patches: Any = None,
    ) -> PointBatch:
        """Make a batch from tensors or arrays, on the device of ``points``.

        Args:
            points: (N, 3) floating point; converted to float32.
            batch_id: (N,) integers, ascending: the cloud of every point. None: all points are one cloud.
            normals: (N, 3) unit normals, or None. MID-Net and the networks made from it use the absolute values of the
                normals as input, so the sign does not matter; augmentation, quantization, :func:`octree.build_octree`
                and other networks work without.
            batch_size: number of clouds B; None: the largest ``batch_id`` plus one.
            index: (B,) positions of the clouds among the training shapes, for :class:`octree.MIDLoss`.
            category: (B,) integers.
            labels, patches: (N,) integers.

        Raises:
            InputError: a value has the wrong size, is not finite, or ``batch_id`` is not ascending in [0, B). These
                checks wait for the device.
        """
        points = torch.as_tensor(points)
        if not points.is_floating_point() or points.ndim != 2 or len(points) == 0:
            raise InputError(
                f"points are {tuple(points.shape)} {points.dtype}, but must be (N, 3) floating point, N > 0"
            )
        integers = {"batch_id": batch_id, "index": index, "category": category, "labels": labels, "patches": patches}
        tensors: dict[str, torch.Tensor] = {}
        for name, values in integers.items():
            if values is not None:
                values = torch.as_tensor(values, device=points.device)
                if values.is_floating_point():
                    raise InputError(f"{name} is {values.dtype}, but must be integers")
                tensors[name] = values.long()
        ids = tensors.setdefault("batch_id", points.new_zeros(len(points), dtype=torch.int64))
        size = int(ids.max()) + 1 if batch_size is None else batch_size
        for name in ("index", "category"):
            tensors.setdefault(name, points.new_full((size,), -1, dtype=torch.int64))
        if normals is not None:
            normals = torch.as_tensor(normals, device=points.device).float()
        batch = cls(points.float(), normals, batch_size=size, **tensors)
        check_values(batch)
        return batch

    def to(self, device: torch.device | str, non_blocking: bool = False) -> PointBatch:
        """Copy to another device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> PointBatch:
        """Copy to page-locked memory; ``DataLoader(pin_memory=True)`` calls this."""
        return self._map(lambda tensor: tensor.pin_memory())

    def select(self, mask: torch.Tensor) -> PointBatch:
        """Keep the points where ``mask`` (N,) bool is true; the number of clouds stays."""
        per_point = ("points", "normals", "batch_id", "labels", "patches")
        values: dict[str, Any] = {name: getattr(self, name) for name in per_point}
        row = mask.nonzero().squeeze(1)  # once, and a GPU is waited for once
        return replace(self, **{name: v.index_select(0, row) for name, v in values.items() if v is not None})

    def _map(self, function: Callable[[torch.Tensor], torch.Tensor]) -> PointBatch:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        moved: dict[str, Any] = {n: function(v) for n, v in values.items() if isinstance(v, torch.Tensor)}
        return replace(self, **moved)


def check_values(batch: PointBatch, limit: float = torch.finfo(torch.float32).max) -> None:
    """Check what the constructor of a batch does not, waiting once for the device.

    Raises:
        InputError: there are no points, a coordinate is not finite or beyond ``limit``, a normal is not finite, or
            ``batch_id`` is not ascending in [0, B).
    """
    raise_for_values(batch, limit, examine_values(batch, limit).tolist())


def examine_values(batch: PointBatch, limit: float) -> torch.Tensor:
    """(5,) int64 for :func:`raise_for_values`, so that a GPU needs to be waited for only once, together with more."""
    if len(batch.points) == 0:
        raise InputError("the batch has no points; at least one is needed (augmentation may have dropped all of them)")
    ids = batch.batch_id
    normals = batch.points if batch.normals is None else batch.normals
    return torch.stack(
        [batch.points.abs().amax() <= limit, normals.abs().amax().isfinite(), (ids.diff() >= 0).all(), ids[0], ids[-1]]
    )


def raise_for_values(batch: PointBatch, limit: float, examined: list[int]) -> None:
    """Raise the errors of :func:`check_values`."""
    inside, normal, ascending, first, last = examined
    if not normal or not (inside or batch.points.isfinite().all()):
        raise InputError("points or normals contain NaN or infinity; remove those points first")
    if not inside:
        raise InputError(
            f"a coordinate has absolute value {float(batch.points.abs().max()):.4g}, but points must be in [-1, 1]; "
            "normalize the shapes, and drop what leaves the cube with octree.clip"
        )
    if not ascending:
        raise InputError("batch_id is not ascending; sort the points by cloud")
    if first < 0 or last >= batch.batch_size:
        raise InputError(f"batch_id runs from {first} to {last}, but must be in [0, {batch.batch_size})")


def collate(shapes: Sequence[Shape]) -> PointBatch:
    """Concatenate shapes into one batch; the ``collate_fn`` of a ``DataLoader``.

    Args:
        shapes: at least one; :class:`ShapeDataset` sets their ``index``, which :class:`octree.MIDLoss` needs.

    Returns:
        A batch on the CPU. Labels and patches are kept where every shape has them.

    Raises:
        InputError: there are no shapes, arrays of a shape differ in length, or a value is not finite.
    """
    if len(shapes) == 0:
        raise InputError("no shapes to collate; a batch must have at least one")
    for shape in shapes:
        if not (np.isfinite(shape.points).all() and np.isfinite(shape.normals).all()):
            raise InputError(f"{shape.id}: points or normals contain NaN or infinity; prepare the shape again")
    counts = torch.tensor([len(shape.points) for shape in shapes])

    def concatenated(name: str, dtype: type[np.generic]) -> torch.Tensor | None:
        arrays = [getattr(shape, name) for shape in shapes]
        if any(array is None for array in arrays):
            return None
        return torch.from_numpy(np.concatenate(arrays).astype(dtype, copy=False))

    points = concatenated("points", np.float32)
    assert points is not None
    return PointBatch(
        points=points,
        normals=concatenated("normals", np.float32),
        batch_id=torch.repeat_interleave(torch.arange(len(shapes)), counts),
        batch_size=len(shapes),
        index=torch.tensor([shape.index for shape in shapes]),
        category=torch.tensor([shape.category for shape in shapes]),
        labels=concatenated("labels", np.int64),
        patches=concatenated("patches", np.int64),
    )


class ShapeDataset(Dataset[Shape]):
    """Training shapes with ``Shape.index`` set to their position here, which is their row in the memory banks.

    Args:
        shapes: a list of shapes or a :class:`ShapeStore`.
        indices: (S,) positions in ``shapes`` of the ones to use; None for all.
    """

    def __init__(self, shapes: Sequence[Shape] | ShapeStore, indices: Sequence[int] | np.ndarray | None = None):
        self.shapes, self.indices = shapes, range(len(shapes)) if indices is None else indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, row: int) -> Shape:
        return replace(self.shapes[int(self.indices[row])], index=row)

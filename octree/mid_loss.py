"""The two losses of MID-Net and their memory banks (Wang et al., AAAI 2021; microsoft/O-CNN, ``mid_loss.py``).

Instance discrimination needs a class weight per training shape, and per patch of every training shape. A memory bank
of the last features takes the place of these weights (Wu et al., CVPR 2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import Function, once_differentiable

from octree.midnet import MIDFeatures
from octree.point_batch import PointBatch
from pcrq import InputError
from pcrq.ssl import gather

TEMPERATURE = 0.1
MOMENTUM = 0.5
_BLOCK = 128  # local features of one shape that are compared with its patches at once
_SEED = 57449  # banks start equal in every process, independent of the state of its random generators


@dataclass(frozen=True)
class MIDLosses:
    """Scalars of one step; accuracies are in [0, 1] and have no gradient."""

    shape_loss: torch.Tensor
    point_loss: torch.Tensor
    shape_accuracy: torch.Tensor
    point_accuracy: torch.Tensor

    @property
    def total(self) -> torch.Tensor:
        """The sum of both losses with weights 1 and 1."""
        return self.shape_loss + self.point_loss


class MIDLoss(nn.Module):
    """Classify every shape among all training shapes, and every local feature among the patches of its shape.

    Works with every network that returns :class:`octree.MIDFeatures`: a unit vector per shape, unit vectors of points
    (or voxels, leaves, …), and which of these each point of the batch belongs to. The batch must have ``patches`` and
    ``index``; :class:`octree.ShapeDataset` sets the latter.

    Args:
        shapes: number of training shapes S.
        patches: patches P per shape, more than the largest patch id; ``data_prep`` makes 100.
        shape_channels: dimensions D of the global feature.
        point_channels: dimensions D' of the local features.
        memory_dtype: dtype of the memory banks. In torch.float16 the patch bank of ShapeNet (57,449 shapes) takes
            735 MB instead of 1.5 GB. Similarities and updates are computed in float32 in any case. A state dict
            loads into banks of any dtype.

    Example:
        >>> losses = loss(features, batch)
        >>> losses.total.backward(); optimizer.step()
        >>> loss.update(features, batch)

    Source: Wang et al., AAAI 2021, equations 1 to 4.
    """

    def __init__(
        self,
        shapes: int,
        patches: int = 100,
        shape_channels: int = 128,
        point_channels: int = 64,
        memory_dtype: torch.dtype = torch.float32,
    ):
        super().__init__()
        if min(shapes, patches, shape_channels, point_channels) < 1:
            raise InputError(f"MIDLoss of {shapes} shapes and {patches} patches: all numbers must be at least 1")
        if not memory_dtype.is_floating_point:
            raise InputError(f"memory_dtype {memory_dtype}: must be a floating-point type such as torch.float16")
        self.shape_memory = ShapeMemory(shapes, shape_channels, memory_dtype)
        self.patch_memory = PatchMemory(shapes, patches, point_channels, memory_dtype)
        self._last: tuple[list[Any], tuple[torch.Tensor, torch.Tensor, torch.Tensor]] | None = None

    def forward(self, features: MIDFeatures, batch: PointBatch) -> MIDLosses:
        """Softmax cross-entropy against both memory banks, at temperature 0.1, always in full precision.

        Args:
            features: of the network for ``batch``.
            batch: the augmented batch that the network was called with. An ``index`` of -1 throughout is accepted only
                for a batch of all S training shapes in their order.

        Raises:
            InputError: sizes, types or devices do not fit; patches or index are missing or out of range. On CUDA,
                which is never waited for, a value out of range fails a device-side assertion instead.
        """
        self._check_sizes(features, batch)
        self._check_values(features, batch)
        index, batch_id, patch = self._targets(features, batch)
        with torch.autocast(batch.device.type, enabled=False):
            shape_logits = self.shape_memory.similarity(features.global_feature) / TEMPERATURE
            point_loss, point_accuracy = self.patch_memory.classify(features.local_feature, batch_id, index, patch)
        return MIDLosses(
            shape_loss=F.cross_entropy(shape_logits, index),
            point_loss=point_loss,
            shape_accuracy=_accuracy(shape_logits, index),
            point_accuracy=point_accuracy,
        )

    def update(self, features: MIDFeatures, batch: PointBatch) -> None:
        """Move the memory banks towards the features of this step, of all processes.

        Call it after the optimizer's step, in every process, with the arguments of :meth:`forward`. All processes
        must have the same number of shapes.
        """
        self._check_sizes(features, batch)
        index, batch_id, patch = self._targets(features, batch)
        self.shape_memory.update(features.global_feature, index)
        self.patch_memory.update(features.local_feature, batch_id, patch, index)
        self._last = None

    def _targets(self, features: MIDFeatures, batch: PointBatch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The (B,) rows of the shapes in the banks, and the (L,) cloud and (L,) patch of every local feature."""
        assert batch.patches is not None
        index, row = batch.index, features.local_of_point
        key = [(t, _version(t)) for t in (batch.index, batch.batch_id, batch.patches, row)]
        if self._last and all(a is b and v == w for (a, v), (b, w) in zip(self._last[0], key, strict=True)):
            return self._last[1]  # update() needs what forward() has computed
        if batch.batch_size == len(self.shape_memory.memory):  # all shapes, perhaps without an index
            index = torch.where((index < 0).all(), torch.arange(len(index), device=index.device), index)
        batch_id, patch = batch.batch_id, batch.patches
        if row is not None:
            count = len(features.local_feature)
            batch_id = batch.batch_id.new_zeros(count).scatter_(0, row, batch.batch_id)
            patch = majority_patch(row, batch.patches, count, self.patch_memory.memory.shape[1])
        self._last = key, (index, batch_id, patch)
        return self._last[1]

    def _check_sizes(self, features: MIDFeatures, batch: PointBatch) -> None:
        """Check what is known without waiting for the device."""
        if batch.patches is None:
            raise InputError(
                "the batch has no patches, which the local loss needs; prepare the shapes with patches, "
                "or pass patches= to PointBatch.from_points"
            )
        row, points = features.local_of_point, len(batch.points)
        count = points if row is None else len(features.local_feature)
        expected = {
            "global_feature": (batch.batch_size, self.shape_memory.memory.shape[1]),
            "local_feature": (count, self.patch_memory.memory.shape[2]),
        }
        for name, size in expected.items():
            found = tuple(getattr(features, name).shape)
            if found != size:
                raise InputError(
                    f"{name} is {found}, but must be {size} for {batch.batch_size} shapes and {points} points; see "
                    "octree.MIDFeatures, and shape_channels and point_channels of MIDLoss"
                )
        if row is not None and (row.shape != (points,) or row.dtype != torch.int64):
            raise InputError(f"local_of_point is {tuple(row.shape)} {row.dtype}, but must be ({points},) torch.int64")
        devices = {features.global_feature.device, features.local_feature.device, batch.device}
        if devices != {self.shape_memory.memory.device}:
            raise InputError(
                f"features are on {features.global_feature.device}, the batch on {batch.device}, the memory banks on "
                f"{self.shape_memory.memory.device}; move all to one device by .to(device)"
            )

    def _check_values(self, features: MIDFeatures, batch: PointBatch) -> None:
        """Check index, patches and local_of_point: on CUDA asynchronously, elsewhere with a message for each."""
        assert batch.patches is not None
        if batch.device.type == "cuda":
            message = "octree.MIDLoss: index, patches or local_of_point is out of range; use CPU tensors for details"
            torch._assert_async(self._values_in_range(features, batch), message)
            return
        row = features.local_of_point
        shapes, patches = self.patch_memory.memory.shape[:2]
        ranges = [batch.index, batch.patches, *([] if row is None else [row])]
        values = torch.stack([bound for tensor in ranges for bound in tensor.aminmax()]).tolist()
        if values[0] < 0 and not (values[1] < 0 and batch.batch_size == shapes):
            raise InputError(
                f"index {values[0]}: the loss must know which of the {shapes} training shapes each cloud is; read them "
                "from an octree.ShapeDataset, or pass index= to PointBatch.from_points"
            )
        limits = {"index": (values[1], shapes, "shapes"), "patch": (values[3], patches, "patches")}
        for name, (value, limit, option) in limits.items():
            if value >= limit:
                raise InputError(f"{name} {value} is too large for MIDLoss({option}={limit}); it must be below {limit}")
        if values[2] < 0:
            raise InputError(f"patch {values[2]}: every point must have a patch, so patches must be at least 0")
        if row is not None and not 0 <= values[4] <= values[5] < len(features.local_feature):
            count = len(features.local_feature)
            raise InputError(f"local_of_point runs from {values[4]} to {values[5]}, but must be in [0, {count})")

    def _values_in_range(self, features: MIDFeatures, batch: PointBatch) -> torch.Tensor:
        """() bool: what :meth:`_check_values` accepts."""
        assert batch.patches is not None
        shapes, patches = self.patch_memory.memory.shape[:2]
        valid = _all_below(batch.index, shapes)
        if batch.batch_size == shapes:
            valid |= (batch.index < 0).all()
        valid &= _all_below(batch.patches, patches)
        if features.local_of_point is not None:
            valid &= _all_below(features.local_of_point, len(features.local_feature))
        return valid


class ShapeMemory(nn.Module):
    """One unit vector per training shape.

    Args:
        shapes: number of training shapes S.
        channels: dimensions D of the global feature.
        dtype: of the bank.
    """

    memory: torch.Tensor

    def __init__(self, shapes: int, channels: int, dtype: torch.dtype = torch.float32):
        super().__init__()
        self.register_buffer("memory", _random_unit_vectors(shapes, channels).to(dtype))

    def similarity(self, feature: torch.Tensor) -> torch.Tensor:
        """(B, S) cosine of (B, D) unit features with every shape of the bank."""
        return feature @ self.memory.to(feature.dtype).t()

    @torch.no_grad()
    def update(self, feature: torch.Tensor, index: torch.Tensor) -> None:
        """Move the rows ``index`` (B,) towards the unit features (B, D) of this step in all processes."""
        feature, index = gather(feature), gather(index)
        first = _first_occurrence(index)
        total = torch.zeros_like(feature).index_add_(0, first, feature).index_select(0, first)
        old = self.memory.index_select(0, index).to(feature.dtype)
        self.memory.index_copy_(0, index, _moved(old, F.normalize(total, dim=1)).to(self.memory.dtype))


class PatchMemory(nn.Module):
    """One unit vector per patch of every training shape.

    Args:
        shapes: number of training shapes S.
        patches: patches P per shape.
        channels: dimensions D' of a local feature.
        dtype: of the bank.
    """

    memory: torch.Tensor

    def __init__(self, shapes: int, patches: int, channels: int, dtype: torch.dtype = torch.float32):
        super().__init__()
        self.register_buffer("memory", _random_unit_vectors(shapes, patches, channels).to(dtype))

    def classify(
        self, feature: torch.Tensor, batch_id: torch.Tensor, index: torch.Tensor, patch: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Cross-entropy and accuracy of (L, D') unit features among the patches of their own shape.

        Args:
            feature, batch_id, index: as for :meth:`similarity`.
            patch: (L,) int64 in [0, P), the true patch.

        Returns:
            Two scalars; the second has no gradient.
        """
        if feature.device.type == "cpu":
            precision = torch.promote_types(feature.dtype, torch.float32)
            memory = self.memory.index_select(0, index).to(precision)
            loss, accuracy = _PatchCrossEntropy.apply(feature, memory, batch_id, patch)
            return loss, accuracy
        logits = self.similarity(feature, batch_id, index) / TEMPERATURE
        return F.cross_entropy(logits, patch), _accuracy(logits, patch)

    def similarity(self, feature: torch.Tensor, batch_id: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """(L, P) cosine of (L, D') unit features with the patches of their own shape.

        Args:
            feature: (L, D') local features, ordered by shape.
            batch_id: (L,) ascending: the shape of the batch that a local feature belongs to.
            index: (B,) rows of the bank.
        """
        shape = torch.arange(len(index), device=index.device)
        start = torch.searchsorted(batch_id, shape)
        count = torch.searchsorted(batch_id, shape, right=True) - start
        # Every shape is padded to blocks of equal size, so that one batched product does for shapes of any size.
        blocks = -(-count // _BLOCK)
        last_block = blocks.cumsum(0)
        slot = ((last_block - blocks) * _BLOCK - start)[batch_id] + torch.arange(len(batch_id), device=index.device)
        if feature.is_cuda:  # to read the number of blocks would synchronize
            size = (len(feature) + len(index) * (_BLOCK - 1)) // _BLOCK  # at least that number
        else:
            size = int(last_block[-1])
        padded = feature.new_zeros(size * _BLOCK, feature.shape[1]).index_copy(0, slot, feature)
        owner = torch.searchsorted(last_block, torch.arange(size, device=index.device), right=True)
        memory = self.memory.index_select(0, index[owner.clamp_(max=len(index) - 1)]).to(feature.dtype)
        similarity = torch.bmm(padded.view(size, _BLOCK, -1), memory.transpose(1, 2))
        return similarity.flatten(0, 1).index_select(0, slot)

    @torch.no_grad()
    def update(self, feature: torch.Tensor, batch_id: torch.Tensor, patch: torch.Tensor, index: torch.Tensor) -> None:
        """Move every patch of this step's shapes towards the mean of its local features; others stay.

        Args:
            feature: (L, D') local features.
            batch_id: (L,) the shape of the batch that a local feature belongs to.
            patch: (L,) the patch of a local feature.
            index: (B,) rows of the bank.
        """
        _, patches, channels = self.memory.shape
        total = feature.new_zeros(len(index) * patches, channels)
        total.index_add_(0, batch_id * patches + patch, feature.detach())
        total = gather(total.view(len(index), patches, channels))
        index = gather(index)
        first = _first_occurrence(index)
        total = torch.zeros_like(total).index_add_(0, first, total).index_select(0, first)
        seen = total.abs().sum(dim=2, keepdim=True) > 0
        old = self.memory.index_select(0, index).to(total.dtype)
        moved = torch.where(seen, _moved(old, F.normalize(total, dim=2)), old)
        self.memory.index_copy_(0, index, moved.to(self.memory.dtype))


class _PatchCrossEntropy(Function):
    """Softmax cross-entropy and its gradient shape by shape, so that the logits of one shape stay in the cache."""

    @staticmethod
    def forward(
        ctx: Any, feature: torch.Tensor, memory: torch.Tensor, batch_id: torch.Tensor, patch: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        weights = memory / TEMPERATURE
        parts = torch.bincount(batch_id, minlength=len(memory)).tolist()
        log_likelihood, hits, gradients = [], [], []
        rows = (feature.to(memory.dtype), patch.unsqueeze(1))
        for x, target, weight in zip(*(tensor.split(parts) for tensor in rows), weights, strict=True):
            logits = x @ weight.t()
            margin = logits.gather(1, target) - logits.amax(1, keepdim=True)
            hits.append((margin >= 0).sum())
            probability = logits.softmax(1)
            log_likelihood.append((margin + probability.amax(1, keepdim=True).log()).sum())
            if ctx.needs_input_grad[0]:
                probability.scatter_add_(1, target, torch.full_like(margin, -1))
                gradients.append(probability @ (weight / len(feature)))
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward(torch.cat(gradients).to(feature.dtype))
        accuracy = torch.stack(hits).sum() / len(feature)
        ctx.mark_non_differentiable(accuracy)
        return -torch.stack(log_likelihood).sum() / len(feature), accuracy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor, _: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * grad, None, None, None


def majority_patch(row: torch.Tensor, patches: torch.Tensor, count: int, limit: int) -> torch.Tensor:
    """The patch of most points of every local feature; the lowest id among equals.

    Args:
        row: (N,) int64 in [0, L), the local feature of every point; each must have a point.
        patches: (N,) int64 in [0, limit), the patch of every point.
        count: number of local features L.
        limit: number of patches.

    Returns:
        (L,) int64.
    """
    pair = row * limit + (limit - 1 - patches)
    if count * limit < 2**31:
        pair = pair.int()  # is sorted in less time
    pair = pair.sort().values
    place = torch.arange(len(pair), device=pair.device)
    start = torch.cat([place[:1], torch.where(pair[1:] != pair[:-1], place[1:], 0)]).cummax(0).values
    # The last of several equal pairs has counted all of them. Most votes first, then the lowest patch.
    ballot = (place - start) * limit + pair % limit
    best = torch.zeros(count, dtype=torch.long, device=pair.device)
    best.scatter_reduce_(0, (pair // limit).long(), ballot, reduce="amax")
    return limit - 1 - best % limit


def _version(tensor: torch.Tensor | None) -> object:
    """Return what is equal until a tensor is changed in place; tensors of inference mode count as always changed."""
    if tensor is None:
        return None
    return object() if tensor.is_inference() else tensor._version


def _first_occurrence(index: torch.Tensor) -> torch.Tensor:
    """Position of the first equal entry for every entry of a (B,) tensor; unlike torch.unique, never synchronizes."""
    place = torch.arange(len(index), device=index.device)
    return torch.where(index[:, None] == index, place, len(index)).amin(dim=1)


def _all_below(values: torch.Tensor, limit: int) -> torch.Tensor:
    return ((values >= 0) & (values < limit)).all()


def _moved(old: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
    """Half way from old to new unit vectors; where the features of a step overflowed, the old ones."""
    moved = F.normalize(MOMENTUM * new + (1 - MOMENTUM) * old, dim=-1)
    return torch.where(moved.isfinite().all(dim=-1, keepdim=True), moved, old)


def _random_unit_vectors(*size: int) -> torch.Tensor:
    vectors = torch.randn(*size, generator=torch.Generator().manual_seed(_SEED))
    return vectors.div_(vectors.norm(dim=-1, keepdim=True))


def _accuracy(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return (logits.detach().argmax(dim=1) == target).float().mean()

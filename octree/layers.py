"""Octree layers that are fast on the CPU: convolution, max-pooling, upsampling and interpolation of node features.

ocnn gathers all 27 neighbors of a node into one wide matrix of mostly zeros, because half to three quarters of the
neighbors of a surface voxel do not exist. Here only existing pairs of nodes are multiplied. On the CPU compiled kernels
do this (:mod:`pcrq.cpu_kernels`), or PyTorch's operations where they are missing; on a GPU ocnn's Triton kernels stay
in use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import ocnn
import torch
import torch.nn.functional as F
from ocnn.octree import Octree
from torch import Tensor
from torch.autograd.function import Function, once_differentiable

from pcrq import InputError, cpu_kernels

_T = TypeVar("_T")
_LANES = 8  # columns that the kernels compute at once


# --- convolution ---


class PairConv(ocnn.nn.OctreeConv):  # type: ignore[misc] # ocnn has no types
    """:class:`ocnn.nn.OctreeConv` of any kernel and stride, with its parameters and results, fast on the CPU too."""

    def forward(self, data: Tensor, octree: Octree, depth: int) -> Tensor:
        """Convolve (L, C_in) features of the nodes of ``depth`` to (L', C_out) of ``depth``, or ``depth`` - 1."""
        out: Tensor
        if data.device.type != "cpu":
            out = super().forward(data, octree, depth)
            return out
        out = _convolve(
            self, data, depth, self.weights, node_pairs(octree, depth, self.kernel, self.stride, self.nempty)
        )
        if self.stride == 2 and not self.nempty:
            out = ocnn.nn.octree_pad(out, octree, depth - 1)
        return out


class PairDeconv(ocnn.nn.OctreeDeconv):  # type: ignore[misc]
    """:class:`ocnn.nn.OctreeDeconv` of any kernel and stride, with its parameters and results, fast on the CPU too."""

    def forward(self, data: Tensor, octree: Octree, depth: int) -> Tensor:
        """Convolve (L, C_in) features of the nodes of ``depth`` to (L', C_out) of ``depth``, or ``depth`` + 1."""
        if data.device.type != "cpu":
            out: Tensor = super().forward(data, octree, depth)
            return out
        if self.stride == 2 and not self.nempty:
            data = ocnn.nn.octree_depad(data, octree, depth)
        pairs = node_pairs(octree, depth + (self.stride == 2), self.kernel, self.stride, self.nempty)
        return _convolve(self, data, depth, pairs.transposed_weights(self.weights), pairs.transposed)


def use_pair_convolution(module: torch.nn.Module) -> torch.nn.Module:
    """Make the convolutions of ocnn inside a network fast on the CPU.

    Args:
        module: any network; its :class:`ocnn.nn.OctreeConv` become :class:`PairConv` and its
            :class:`ocnn.nn.OctreeDeconv` :class:`PairDeconv`, in place, with all they have.

    Returns:
        ``module``.

    Example:
        >>> unet = use_pair_convolution(ocnn.models.UNet(in_channels=4, out_channels=10, nempty=True))
    """
    replacements: dict[type, Any] = {ocnn.nn.OctreeConv: PairConv, ocnn.nn.OctreeDeconv: PairDeconv}
    for child in module.modules():
        if type(child) in replacements:
            child.__class__ = replacements[type(child)]
    return module


@dataclass(frozen=True, eq=False)
class Pairs:
    """The existing pairs of a target node and a source node, sorted by tile of targets, then by offset.

    Args:
        table: (L, K) int64 source at each of K offsets from a target; -1 where there is none.
        sources: number of source nodes M.
        mirrored: whether a node has its neighbor's neighbor at the opposite offset, as for odd kernels of stride 1.
    """

    table: Tensor
    sources: int
    mirrored: bool

    @cached_property
    def grouped(self) -> tuple[Tensor, Tensor, Tensor]:
        """(tiles · K + 1,) int64 start of each group, (P,) int32 target and (P,) int32 source of each pair."""
        rows, offsets = self.table.shape
        if cpu_kernels.library is None:  # a single tile
            offset, target = torch.nonzero(self.table.t() >= 0, as_tuple=True)
            begin = F.pad(torch.bincount(offset, minlength=offsets).cumsum(0), (1, 0))
            return begin, target.int(), self.table[target, offset].int()
        begin = torch.empty(-(-rows // cpu_kernels.TILE) * offsets + 1, dtype=torch.int64)
        count = cpu_kernels.call("count_pairs", self.table, rows, offsets, begin)
        target, source = torch.empty(2, count, dtype=torch.int32)
        cpu_kernels.call("fill_pairs", self.table, rows, offsets, begin, target, source)
        return begin, target, source

    @cached_property
    def transposed(self) -> Pairs:
        """The same pairs with targets and sources exchanged, for the weights of :meth:`transposed_weights`."""
        if self.mirrored:
            return self
        target, offset = torch.nonzero(self.table >= 0, as_tuple=True)
        table = self.table.new_full((self.sources, self.table.shape[1]), -1)
        table[self.table[target, offset], offset] = target
        pairs = Pairs(table, len(self.table), mirrored=False)
        pairs.__dict__["transposed"] = self
        return pairs

    def transposed_weights(self, weights: Tensor) -> Tensor:
        """(K, C', C) weights of the transposed convolution from (K, C, C')."""
        weights = weights.transpose(1, 2)
        return weights.flip(0) if self.mirrored else weights

    def by_offset(self) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Offset, targets and sources of each group of a single tile."""
        begin, target, source = self.grouped
        bounds = begin.tolist()
        for offset in range(len(bounds) - 1):
            group = slice(bounds[offset], bounds[offset + 1])
            yield offset, target[group], source[group]


def node_pairs(octree: Octree, depth: int, kernel: str = "333", stride: int = 1, nempty: bool = False) -> Pairs:
    """The pairs of a convolution; see :meth:`ocnn.octree.Octree.get_neigh` for the arguments."""

    def pairs() -> Pairs:
        table = octree.get_neigh(depth, kernel, stride, nempty).long().contiguous()
        sources = int((octree.nnum_nempty if nempty else octree.nnum)[depth])
        return Pairs(table, sources, mirrored=stride == 1 and "2" not in kernel)

    return _once_per_octree(octree, depth, (kernel, stride, nempty), pairs)


def _once_per_octree(octree: Octree, depth: int, key: Any, compute: Callable[[], _T]) -> _T:
    """Compute what several layers need of a depth once, and keep it on the octree."""
    cache: dict[Any, tuple[Tensor, Any]] = octree.__dict__.setdefault("_of_layers", {})
    children = octree.children[depth]  # another tensor after the octree was built, merged or split again
    if (depth, key) not in cache or cache[depth, key][0] is not children:
        cache[depth, key] = children, compute()
    result: _T = cache[depth, key][1]
    return result


def _convolve(conv: ocnn.nn.OctreeConv, data: Tensor, depth: int, weights: Tensor, pairs: Pairs) -> Tensor:
    if data.shape != (pairs.sources, conv.in_channels):
        raise _wrong_size(data, (pairs.sources, conv.in_channels), depth)
    if cpu_kernels.library is None:
        cpu_kernels.warn_once()
    if torch.is_autocast_enabled("cpu"):
        data = data.to(torch.get_autocast_dtype("cpu"))
    out: Tensor = _Convolution.apply(data, weights.to(data.dtype), pairs)
    return out + conv.bias.to(out.dtype) if conv.use_bias else out


class _Convolution(Function):
    """out[target] = Σ data[source] @ weights[offset] over all pairs."""

    @staticmethod
    def forward(ctx: Any, data: Tensor, weights: Tensor, pairs: Pairs) -> Tensor:
        ctx.save_for_backward(data, weights)
        ctx.pairs = pairs
        return _forward(data, weights, pairs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        data, weights = ctx.saved_tensors
        pairs: Pairs = ctx.pairs
        needs_data, needs_weights = ctx.needs_input_grad[:2]
        return (
            _forward(grad, pairs.transposed_weights(weights), pairs.transposed) if needs_data else None,
            _weight_gradient(data, grad, pairs) if needs_weights else None,
            None,
        )


def _forward(data: Tensor, weights: Tensor, pairs: Pairs) -> Tensor:
    rows, (offsets, channels, columns) = len(pairs.table), weights.shape
    if cpu_kernels.library is None:
        out = data.new_zeros(rows, columns)
        for offset, target, source in pairs.by_offset():
            out.index_add_(0, target, data.index_select(0, source) @ weights[offset])
        return out
    x, w = cpu_kernels.in_precision(data), _whole_lanes(cpu_kernels.in_precision(weights))
    out = x.new_empty(rows, w.shape[2])
    cpu_kernels.call("convolve", out, x, w, *pairs.grouped, rows, offsets, channels, out.shape[1], dtype=x.dtype)
    return out[:, :columns].to(data.dtype)


def _weight_gradient(data: Tensor, grad: Tensor, pairs: Pairs) -> Tensor:
    (rows, offsets), channels, columns = pairs.table.shape, data.shape[1], grad.shape[1]
    if cpu_kernels.library is None:
        products = [
            data.index_select(0, source).t() @ grad.index_select(0, target) for _, target, source in pairs.by_offset()
        ]
        return torch.stack(products)
    x, g = cpu_kernels.in_precision(data), _whole_lanes(cpu_kernels.in_precision(grad))
    out = x.new_empty(offsets, channels, g.shape[1])
    cpu_kernels.call("convolve_weights", out, x, g, *pairs.grouped, rows, offsets, channels, g.shape[1], dtype=x.dtype)
    return out[:, :, :columns].to(data.dtype)


def _whole_lanes(tensor: Tensor) -> Tensor:
    """Add columns of zeros up to a multiple of what the kernels compute at once."""
    return F.pad(tensor, (0, -tensor.shape[-1] % _LANES))


def _wrong_size(data: Tensor, size: tuple[int, int], depth: int) -> InputError:
    return InputError(f"features of the nodes of depth {depth} are {tuple(data.shape)}, but must be {size}")


# --- pooling and upsampling between a node and its children ---


def max_pool(data: Tensor, octree: Octree, depth: int, nempty: bool) -> Tensor:
    """Take the maximum over the children of every node.

    Args:
        data: (L, C) features of the nodes of ``depth``, or of the non-empty ones if ``nempty``.
        octree: of any device.
        depth: depth of ``data``.
        nempty: whether ``data`` has rows for non-empty nodes only.

    Returns:
        (M, C) features of the nodes of ``depth`` - 1; zero for the empty ones.
    """
    check_nodes(data, octree, depth, nempty)
    pooled: Tensor
    if not cpu_kernels.use_for(data):
        pooled = ocnn.nn.octree_max_pool(data, octree, depth, nempty)
        return pooled
    pooled = _SegmentMax.apply(data, child_start(octree, depth, nempty))
    return pooled if nempty else ocnn.nn.octree_pad(pooled, octree, depth - 1)


def upsample(data: Tensor, octree: Octree, depth: int, nempty: bool) -> Tensor:
    """Copy the features of every node to its children.

    Args:
        data: (M, C) features of the nodes of ``depth``, or of the non-empty ones if ``nempty``.
        octree: of any device.
        depth: depth of ``data``.
        nempty: whether ``data`` has rows for non-empty nodes only.

    Returns:
        (L, C) features of the nodes of ``depth`` + 1, or of the non-empty ones.
    """
    check_nodes(data, octree, depth, nempty)
    if not nempty:
        data = ocnn.nn.octree_depad(data, octree, depth)
    start = child_start(octree, depth + 1, nempty)
    parent = octree.nempty_index(depth + 1) >> 3 if nempty else torch.arange(8 * len(data), device=data.device) >> 3
    out: Tensor = _Repeat.apply(data, parent, start) if cpu_kernels.use_for(data) else data.index_select(0, parent)
    return out


def child_start(octree: Octree, depth: int, nempty: bool) -> Tensor:
    """(M + 1,) int64 first row at ``depth`` of the children of each of the M non-empty nodes of ``depth`` - 1."""
    if not nempty:
        return torch.arange(0, int(octree.nnum[depth]) + 1, 8, device=octree.device)

    def start() -> Tensor:
        children = (octree.children[depth].view(-1, 8) >= 0).sum(1)
        return F.pad(children.cumsum(0), (1, 0))

    return _once_per_octree(octree, depth, "child_start", start)


def check_nodes(data: Tensor, octree: Octree, depth: int, nempty: bool) -> None:
    """Check the number of rows of node features, on which the kernels rely."""
    nodes = int((octree.nnum_nempty if nempty else octree.nnum)[depth])
    if len(data) != nodes:
        raise _wrong_size(data, (nodes, data.shape[1]), depth)


class _SegmentMax(Function):
    """out[m] = maximum of data[start[m] : start[m + 1]]; the gradient goes to the first maximum."""

    @staticmethod
    def forward(ctx: Any, data: Tensor, start: Tensor) -> Tensor:
        x, segments = cpu_kernels.in_precision(data), len(start) - 1
        out, which = x.new_empty(segments, x.shape[1]), x.new_empty(segments, x.shape[1], dtype=torch.uint8)
        cpu_kernels.call("segment_max", out, which, x, start, segments, x.shape[1], dtype=x.dtype)
        ctx.save_for_backward(which, start)
        ctx.rows = len(data)
        return out.to(data.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        which, start = ctx.saved_tensors
        g = cpu_kernels.in_precision(grad)
        out = g.new_empty(ctx.rows, g.shape[1])
        cpu_kernels.call("segment_max_backward", out, which, g, start, len(which), g.shape[1], dtype=g.dtype)
        return out.to(grad.dtype), None


class _Repeat(Function):
    """out[start[m] : start[m + 1]] = data[m]."""

    @staticmethod
    def forward(ctx: Any, data: Tensor, parent: Tensor, start: Tensor) -> Tensor:
        ctx.save_for_backward(start)
        return data.index_select(0, parent)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (start,) = ctx.saved_tensors
        g = cpu_kernels.in_precision(grad)
        out = g.new_empty(len(start) - 1, g.shape[1])
        cpu_kernels.call("segment_sum", out, g, start, len(out), g.shape[1], dtype=g.dtype)
        return out.to(grad.dtype), None, None


# --- interpolation ---


def weighted_sum(data: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """out[p] = Σ_j weight[p, j] · data[index[p, j]].

    Args:
        data: (M, C) features.
        index: (P, 8) int32 rows of ``data``; any value in [0, M) where the weight is 0.
        weight: (P, 8) float32.

    Returns:
        (P, C) in the type of ``data``.
    """
    index, weight = index.int().contiguous(), weight.float().contiguous()
    if cpu_kernels.use_for(data):
        out: Tensor = _WeightedSum.apply(data, index, weight)
        return out
    return F.embedding_bag(index, data, mode="sum", per_sample_weights=weight.to(data.dtype))


class _WeightedSum(Function):
    @staticmethod
    def forward(ctx: Any, data: Tensor, index: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(index, weight)
        ctx.rows = len(data)
        x = cpu_kernels.in_precision(data)
        out = x.new_empty(len(index), x.shape[1])
        cpu_kernels.call("interpolate", out, x, index, weight, len(index), x.shape[1], dtype=x.dtype)
        return out.to(data.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        index, weight = ctx.saved_tensors
        g = cpu_kernels.in_precision(grad)
        out = g.new_zeros(ctx.rows, g.shape[1])
        cpu_kernels.call("interpolate_backward", out, g, index, weight, len(index), g.shape[1], dtype=g.dtype)
        return out.to(grad.dtype), None, None


# --- unit vectors ---


def unit_vectors(data: Tensor) -> Tensor:
    """Divide every row of (L, C) features by its length, in float32 or float64; a row of zeros stays zero."""
    if not cpu_kernels.use_for(data):
        return F.normalize(data if data.dtype == torch.float64 else data.float(), dim=1)
    out: Tensor = _UnitVectors.apply(cpu_kernels.in_precision(data))
    return out


class _UnitVectors(Function):
    @staticmethod
    def forward(ctx: Any, data: Tensor) -> Tensor:
        out, length = torch.empty_like(data), data.new_empty(len(data))
        cpu_kernels.call("normalize", out, length, data, *data.shape, dtype=data.dtype)
        ctx.save_for_backward(out, length)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        unit, length = ctx.saved_tensors
        out = torch.empty_like(unit)
        cpu_kernels.call("normalize_backward", out, grad.contiguous(), unit, length, *unit.shape, dtype=unit.dtype)
        return out

"""Octree convolution for the CPU: one small matrix product per kernel offset, over the existing pairs only.

ocnn gathers all 27 neighbors of a node into one wide matrix of mostly zeros, because three quarters of the neighbors of
a surface voxel do not exist. One product per offset, over the pairs that exist, computes the same sums. On a GPU ocnn's
Triton kernels are faster and stay in use.
"""

from __future__ import annotations

from typing import Any

import ocnn
import torch
from ocnn.octree import Octree

Pairs = list[tuple[torch.Tensor, torch.Tensor]]
_CENTER = 13  # offset (0, 0, 0) of the 3³ kernel


class PairConv(ocnn.nn.OctreeConv):  # type: ignore[misc] # ocnn has no types
    """A 3³ convolution of stride 1 with the parameters of :class:`ocnn.nn.OctreeConv`, fast on the CPU too."""

    def forward(self, data: torch.Tensor, octree: Octree, depth: int) -> torch.Tensor:
        """Convolve (L, C_in) node features to (L, C_out)."""
        out: torch.Tensor
        if data.is_cuda:
            out = super().forward(data, octree, depth)
            return out
        if torch.is_autocast_enabled("cpu"):
            data = data.to(torch.get_autocast_dtype("cpu"))
        pairs = neighbour_pairs(octree, depth, self.nempty)
        out = _PairProduct.apply(data, self.weights.to(data.dtype), pairs)
        return out + self.bias if self.use_bias else out


def use_pair_convolution(module: torch.nn.Module) -> torch.nn.Module:
    """Replace every 3³ convolution of stride 1 inside ``module``, keeping weights and their names."""
    for name, child in module.named_children():
        if type(child) is ocnn.nn.OctreeConv and child.kernel == "333" and child.stride == 1:
            conv = PairConv(child.in_channels, child.out_channels, nempty=child.nempty, use_bias=child.use_bias)
            conv.weights, conv.bias = child.weights, child.bias
            setattr(module, name, conv)
        else:
            use_pair_convolution(child)
    return module


def neighbour_pairs(octree: Octree, depth: int, nempty: bool) -> Pairs:
    """For every offset but the center, in order: the (M,) nodes that have that neighbor, and the neighbors.

    Computed once per octree and depth, and kept on the octree.
    """
    cache: dict[tuple[int, bool], Pairs] = octree.__dict__.setdefault("_neighbour_pairs", {})
    if (depth, nempty) not in cache:
        table = octree.get_neigh(depth, "333", 1, nempty)
        pairs: Pairs = []
        for column in table[:, :_CENTER].t():  # the other half mirrors this one
            node = torch.nonzero(column >= 0).squeeze(1)
            pairs.append((node, column[node].long()))
        cache[depth, nempty] = pairs + [(neighbour, node) for node, neighbour in reversed(pairs)]
    return cache[depth, nempty]


class _PairProduct(torch.autograd.Function):
    """out[node] = Σ_offset data[neighbour(node, offset)] @ weights[offset]."""

    @staticmethod
    def forward(ctx: Any, data: torch.Tensor, weights: torch.Tensor, pairs: Pairs) -> torch.Tensor:
        ctx.save_for_backward(data, weights)
        ctx.pairs = pairs
        out = data @ weights[_CENTER]
        for weight, (node, neighbour) in zip(_around_center(weights), pairs, strict=True):
            out.index_add_(0, node, data.index_select(0, neighbour) @ weight)
        return out

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None, None]:
        data, weights = ctx.saved_tensors
        needs_data, needs_weights = ctx.needs_input_grad[:2]
        grad_data = grad @ weights[_CENTER].t() if needs_data else None
        grad_weights = torch.empty_like(weights) if needs_weights else None
        if grad_weights is not None:
            grad_weights[_CENTER] = data.t() @ grad
        offsets = [offset for offset in range(len(weights)) if offset != _CENTER]
        for offset, (node, neighbour) in zip(offsets, ctx.pairs, strict=True):
            grad_here = grad.index_select(0, node)
            if grad_data is not None:
                grad_data.index_add_(0, neighbour, grad_here @ weights[offset].t())
            if grad_weights is not None:
                grad_weights[offset] = data.index_select(0, neighbour).t() @ grad_here
        return grad_data, grad_weights, None


def _around_center(weights: torch.Tensor) -> list[torch.Tensor]:
    return [*weights[:_CENTER], *weights[_CENTER + 1 :]]

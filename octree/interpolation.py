"""Trilinear interpolation of node features: at the centres of non-empty children, and at points."""

from __future__ import annotations

import torch
from ocnn.octree import Octree

from octree.batch_octree import BELOW_ONE


def interpolate_to_children(data: torch.Tensor, octree: Octree, depth: int, nempty: bool) -> torch.Tensor:
    """Interpolate from the nodes of ``depth`` to the centres of the non-empty nodes of ``depth`` + 1.

    Args:
        data: (M, C) features of the nodes of ``depth``; of the non-empty ones for ``nempty``.
        octree: an octree with neighbour tables.
        depth: depth of ``data``.
        nempty: which nodes ``data`` holds.

    Returns:
        (L, C) features of the non-empty nodes of ``depth`` + 1.
    """
    child = octree.nempty_index(depth + 1)
    octant = torch.arange(8, device=data.device)
    bits = torch.stack([octant >> 2 & 1, octant >> 1 & 1, octant & 1], dim=1)
    quarter = (bits * 2 - 1) / 4  # a child's centre lies a quarter of its parent's side from the parent's centre
    return _interpolate(data, octree, depth, child >> 3, quarter[child & 7], nempty)


def interpolate_at_points(
    data: torch.Tensor, octree: Octree, depth: int, points: torch.Tensor, leaf_of_point: torch.Tensor, nempty: bool
) -> torch.Tensor:
    """Interpolate from the nodes of ``depth``, one above the leaves, at the points that the octree was built from.

    Args:
        data, octree, nempty: as for :func:`interpolate_to_children`.
        depth: depth of ``data``, ``octree.depth`` - 1.
        points: (N, 3) float32 coordinates in [-1, 1].
        leaf_of_point: (N,) int64 non-empty leaf of every point, as ``build_octree`` returns.

    Returns:
        (N, C) features of the points.
    """
    parent = octree.nempty_index(depth + 1)[leaf_of_point] >> 3
    position = (points.clamp(-1, BELOW_ONE) + 1) * 2 ** (depth - 1)  # in nodes
    return _interpolate(data, octree, depth, parent, position - position.floor() - 0.5, nempty)


def _interpolate(
    data: torch.Tensor, octree: Octree, depth: int, node: torch.Tensor, offset: torch.Tensor, nempty: bool
) -> torch.Tensor:
    """Interpolate at places inside non-empty nodes.

    The eight nodes around a place are the one it lies in and seven of that one's 26 neighbours, looked up in the
    neighbour table. Nodes that do not exist are left out and the other weights rescaled.

    Args:
        node: (P,) int64 node that a place lies in, counted among the non-empty ones.
        offset: (P, 3) place relative to the node's centre, in sides of the node, in [-0.5, 0.5].
    """
    row = node if nempty else octree.nempty_index(depth)[node]
    table = octree.get_neigh(depth, "333", 1, nempty)
    corner = torch.arange(8, device=data.device)
    step = torch.stack([corner >> 2 & 1, corner >> 1 & 1, corner & 1], dim=1)  # (8, 3) whether to leave the node
    toward = torch.where(offset < 0, -1, 1).unsqueeze(1) * step  # (P, 8, 3)
    x, y, z = (toward + 1).unbind(dim=2)
    share = offset.abs().unsqueeze(1)
    weight = torch.where(step == 1, share, 1 - share).prod(dim=2)
    neighbour = table[row].gather(1, 9 * x + 3 * y + z).long()
    exists = neighbour >= 0
    weight = torch.where(exists, weight, 0)
    weight = weight / weight.sum(dim=1, keepdim=True)
    place = torch.arange(len(node), device=data.device).unsqueeze(1).expand_as(neighbour)
    with torch.autocast(data.device.type, enabled=False):  # sparse products exist in full precision only
        matrix = torch.sparse_coo_tensor(
            torch.stack([place[exists], neighbour[exists]]),
            weight[exists],
            (len(node), len(data)),
            check_invariants=False,
        )
        return torch.sparse.mm(matrix, data.float()).to(data.dtype)

"""Linear interpolation of node features at the centres of non-empty children."""

from __future__ import annotations

from functools import lru_cache

import torch
from ocnn.octree import Octree


def interpolate_to_children(data: torch.Tensor, octree: Octree, depth: int, nempty: bool) -> torch.Tensor:
    """Trilinear interpolation from the nodes of ``depth`` to the non-empty nodes of ``depth`` + 1.

    A child's centre lies a quarter of its parent's side from the parent's centre along every axis, so its eight
    corners are the parent and seven of its 26 neighbours, with weights 3/4 and 1/4 per axis; they are looked up in
    the neighbour table. Corners that do not exist are left out and the other weights rescaled.

    Args:
        data: (M, C) features of the nodes of ``depth``; of the non-empty ones for ``nempty``.
        octree: an octree with neighbour tables.
        depth: depth of ``data``.
        nempty: which nodes ``data`` holds.

    Returns:
        (L, C) features of the non-empty nodes of ``depth`` + 1.
    """
    child = octree.nempty_index(depth + 1)
    parent, octant = child >> 3, child & 7  # parent counts non-empty nodes only
    table = octree.get_neigh(depth, "333", 1, nempty)
    if not nempty:
        parent = octree.nempty_index(depth)[parent]
    offsets, weights = _corners(data.device)
    corner = table[parent].gather(1, offsets[octant]).long()
    exists = corner >= 0
    weight = torch.where(exists, weights, 0)
    weight = weight / weight.sum(dim=1, keepdim=True)
    rows = torch.arange(len(child), device=data.device).unsqueeze(1).expand_as(corner)
    with torch.autocast(data.device.type, enabled=False):  # sparse products exist in full precision only
        matrix = torch.sparse_coo_tensor(
            torch.stack([rows[exists], corner[exists]]),
            weight[exists],
            (len(child), len(data)),
            check_invariants=False,
        )
        return torch.sparse.mm(matrix, data.float()).to(data.dtype)


@lru_cache(maxsize=8)
def _corners(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """(8, 8) columns of the 3³ neighbour table per octant and corner, and the (8,) weights of the corners."""
    bits = torch.tensor([[(i >> 2) & 1, (i >> 1) & 1, i & 1] for i in range(8)])
    toward = bits * 2 - 1  # the neighbour that an octant leans to, per axis
    offset = toward.unsqueeze(1) * bits.unsqueeze(0)  # corner bit set: step to that neighbour
    column = ((offset + 1) * torch.tensor([9, 3, 1])).sum(dim=2)
    weight = torch.where(bits == 1, 0.25, 0.75).prod(dim=1)
    return column.to(device), weight.to(device)

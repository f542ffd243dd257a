"""One octree for a whole batch of point clouds, its neighbor tables, and interpolation of its features.

ocnn's reference path builds one octree per sample and merges them. Here the batch id is part of every node's key from
the start, so sorting the points once gives the merged octree.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from ocnn.octree import Octree
from ocnn.octree.shuffled_key import xyz2key

from octree.layers import check_nodes, weighted_sum
from octree.point_batch import PointBatch, examine_values, raise_for_values
from pcrq import InputError, cpu_kernels

BELOW_ONE = 1 - 2**-20  # ocnn's cube is half open: a coordinate of exactly 1 would wrap round to the other side
_ROUNDING = 1e-4
_CANCELLED = 1e-6  # length of a sum of normals that has no direction, as in O-CNN


class BatchOctree(Octree):  # type: ignore[misc] # ocnn has no types
    """An :class:`ocnn.octree.Octree` of B clouds that keeps the points it was built from; see :func:`build_octree`.

    Attributes:
        input_points: (N, 3) float32 coordinates.
        leaf_of_point: (N,) int64 row of every point among the L non-empty leaves.
    """

    input_points: torch.Tensor
    leaf_of_point: torch.Tensor

    def to(self, device: torch.device | str, non_blocking: bool = False) -> BatchOctree:
        """Copy to another device, with everything that this octree has and ocnn's does not copy."""
        if torch.device(device) == torch.device(self.device):
            return self
        moved: BatchOctree = super().to(device, non_blocking)
        for name in ("nempty_indices", "nempty_neighs"):
            tables = [None if t is None else t.to(device, non_blocking=non_blocking) for t in getattr(self, name)]
            setattr(moved, name, tables)
        moved.input_points = self.input_points.to(device, non_blocking=non_blocking)
        moved.leaf_of_point = self.leaf_of_point.to(device, non_blocking=non_blocking)
        moved.__class__ = type(self)
        return moved


def build_octree(batch: PointBatch, depth: int, full_depth: int = 2) -> BatchOctree:
    """Build the octree of a batch on the batch's device.

    Args:
        batch: clouds inside the cube [-1, 1]³.
        depth: depth of the leaves, at most 16; a leaf is a cube of side 2 / 2**depth.
        full_depth: every node exists down to this depth.

    Returns:
        The octree, without neighbor tables. Leaves are ordered by cloud, then along ocnn's shuffled key.
        ``octree.points[depth]`` and ``octree.normals[depth]`` are the means over each non-empty leaf, normals at unit
        length. Where normals cancel out, as those of the two sides of a sheet, that of the leaf's first point is taken,
        as in O-CNN.

    Raises:
        InputError: the depths are out of range, or :func:`octree.point_batch.check_values` refuses the batch. Values
            are checked together, so that a GPU is waited for once.
    """
    if not 0 <= full_depth <= depth <= 16:
        raise InputError(f"depth {depth}, full_depth {full_depth}: must be 0 <= full_depth <= depth <= 16")
    examined = examine_values(batch, 1 + _ROUNDING)
    octree = BatchOctree(depth, full_depth, batch.batch_size, batch.device)
    points = (batch.points.clamp(-1, BELOW_ONE) + 1) * 2 ** (depth - 1)  # in leaves
    key, order = _sorted_keys(points, batch, depth)

    # Points that begin a node of each depth. Their numbers are the only ones for which a GPU is waited for.
    differs = key[1:] ^ key[:-1]
    begins = [differs >= 1 << 3 * level for level in range(depth - full_depth + 1)]
    numbers = torch.cat([examined, torch.stack([begin.sum() for begin in begins])]).tolist()
    raise_for_values(batch, 1 + _ROUNDING, numbers[: len(examined)])
    counts = [number + 1 for number in numbers[len(examined) :]]

    row = F.pad(begins[0].cumsum(0), (1, 0))  # leaf of every point, in the order of the keys
    octree.leaf_of_point = leaf = torch.empty_like(order).scatter_(0, order, row)
    octree.input_points = batch.points
    octree.points[depth] = _sum(points, leaf, counts[0]) / _sum(torch.ones_like(points[:, :1]), leaf, counts[0])
    if batch.normals is not None:
        first = torch.where(F.pad(begins[0], (1, 0), value=True), row, counts[0])
        first = order.new_empty(counts[0] + 1).scatter_(0, first, order)[:-1]  # point of every leaf
        normals = _sum(batch.normals, leaf, counts[0])
        cancelled = normals.norm(dim=1, keepdim=True) < _CANCELLED
        octree.normals[depth] = F.normalize(torch.where(cancelled, batch.normals[first], normals))

    node = order.new_empty(counts[0]).scatter_(0, row, key.long())
    for level in range(full_depth + 1):
        octree.octree_grow_full(level, update_neigh=False)
    for level, count in zip(range(depth, full_depth, -1), counts[1:], strict=True):
        row = F.pad(((node >> 3).diff() != 0).cumsum(0), (1, 0))  # parent of every node
        parent = node.new_empty(count).scatter_(0, row, node >> 3)
        octants = torch.arange(8, device=batch.device)
        octree.keys[level] = _ocnn_key((parent.unsqueeze(1) << 3) + octants, level).view(-1)
        octree.nnum[level] = 8 * count
        _set_children(octree, level, (row << 3) | (node & 7))
        node = parent
    _set_children(octree, full_depth, node)
    return octree


def _sorted_keys(points: torch.Tensor, batch: PointBatch, depth: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(N,) ascending keys of the points, cloud first, then ocnn's shuffled key; and the point of every key."""
    x, y, z = points.long().unbind(1)
    key = xyz2key(x, y, z, None, depth) | (batch.batch_id << 3 * depth)
    if batch.batch_size << 3 * depth < 2**31:
        key = key.int()  # is sorted in less time
    return tuple(key.sort(stable=True))


def _ocnn_key(key: torch.Tensor, depth: int) -> torch.Tensor:
    """ocnn keeps the cloud of a node in the bits from 48 on."""
    return ((key >> 3 * depth) << 48) | (key & ((1 << 3 * depth) - 1))


def _set_children(octree: BatchOctree, depth: int, node: torch.Tensor) -> None:
    """Number the non-empty nodes of a depth, given their (L,) positions among all nodes of the depth."""
    children = torch.full((int(octree.nnum[depth]),), -1, dtype=torch.int32, device=node.device)
    octree.children[depth] = children.scatter_(0, node, torch.arange(len(node), dtype=torch.int32, device=node.device))
    octree.nnum_nempty[depth] = len(node)
    octree.nempty_indices[depth] = node


def _sum(values: torch.Tensor, row: torch.Tensor, count: int) -> torch.Tensor:
    """(L, C) sum of the (N, C) values of each row."""
    return values.new_zeros(count, values.shape[1]).index_add_(0, row, values)


def build_neighbors(octree: BatchOctree, nempty: bool) -> None:
    """Fill the 3³ neighbor tables of the octree in place, from its full depth down to the leaves.

    With ``nempty`` only non-empty nodes get a row, looked up through their parents' rows: the tables that
    ``octree.get_neigh(depth, nempty=True)`` returns, without ever building those of all nodes.
    """
    top = max(octree.full_depth, 1)
    octree.construct_neigh(top)
    if nempty:
        octree.nempty_neighs[top] = _non_empty(octree, top, octree.neighs[top][octree.nempty_index(top)])
    for depth in range(top + 1, octree.depth + 1):
        if nempty:
            octree.nempty_neighs[depth] = _non_empty_neighbors(octree, depth)
        else:
            octree.neighs[depth] = _all_neighbors(octree, depth)


def _all_neighbors(octree: BatchOctree, depth: int) -> torch.Tensor:
    """(N, 27) int64 neighbors among the N nodes of ``depth``, -1 where there is none."""
    parent_neighbor = octree.neighs[depth - 1][octree.nempty_index(depth - 1)][:, octree.lut_parent]
    parent = _non_empty(octree, depth - 1, parent_neighbor)
    neighbor: torch.Tensor = (parent << 3) + octree.lut_child
    return neighbor.masked_fill_(parent < 0, -1).view(-1, 27)


def _non_empty_neighbors(octree: BatchOctree, depth: int) -> torch.Tensor:
    """(L, 27) int64 neighbors among the L non-empty nodes of ``depth``, -1 where there is none."""
    node, parents = octree.nempty_index(depth), octree.nempty_neighs[depth - 1]
    if cpu_kernels.use_for(node):
        table: torch.Tensor = node.new_empty(len(node), 27)
        luts = octree.lut_parent, octree.lut_child
        cpu_kernels.call("child_neighbors", table, parents, octree.children[depth], node, *luts, len(node))
        return table
    octant = node & 7
    parent = parents[node >> 3].gather(1, octree.lut_parent[octant])
    return _non_empty(octree, depth, (parent << 3) + octree.lut_child[octant]).masked_fill_(parent < 0, -1)


def _non_empty(octree: BatchOctree, depth: int, node: torch.Tensor) -> torch.Tensor:
    """Positions among the non-empty nodes from positions among all nodes; -1 for negative positions and empty nodes."""
    position: torch.Tensor = octree.children[depth].long()[node.clamp(min=0)]
    return position.masked_fill_(node < 0, -1)


def interpolate_to_children(data: torch.Tensor, octree: BatchOctree, depth: int, nempty: bool) -> torch.Tensor:
    """Interpolate from the nodes of ``depth`` to the centers of the non-empty nodes of ``depth`` + 1.

    Args:
        data: (M, C) features of the nodes of ``depth``, or of the non-empty ones if ``nempty``.
        octree: an octree with neighbor tables.
        depth: depth of ``data``.
        nempty: whether ``data`` has rows for non-empty nodes only.

    Returns:
        (L, C) features of the non-empty nodes of ``depth`` + 1.
    """
    child = octree.nempty_index(depth + 1)
    quarter = (_corner_steps(data.device) * 2 - 1) / 4  # of the parent's side, from the parent's center to a child's
    return _interpolate(data, octree, depth, child >> 3, quarter[child & 7], nempty)


def interpolate_at_points(data: torch.Tensor, octree: BatchOctree, depth: int, nempty: bool) -> torch.Tensor:
    """Interpolate from the nodes of ``depth`` at the points that the octree was built from.

    Args:
        data: (M, C) features of the nodes of ``depth``, or of the non-empty ones if ``nempty``.
        octree: an octree with neighbor tables.
        depth: ``octree.depth`` - 1, one above the leaves.
        nempty: whether ``data`` has rows for non-empty nodes only.

    Returns:
        (N, C) features of the points.
    """
    parent = octree.nempty_index(depth + 1)[octree.leaf_of_point] >> 3
    position = (octree.input_points.clamp(-1, BELOW_ONE) + 1) * 2 ** (depth - 1)  # in nodes
    return _interpolate(data, octree, depth, parent, position - position.floor() - 0.5, nempty)


def _interpolate(
    data: torch.Tensor, octree: BatchOctree, depth: int, node: torch.Tensor, offset: torch.Tensor, nempty: bool
) -> torch.Tensor:
    """Interpolate at places inside non-empty nodes.

    The eight nodes around a place are the one that it lies in and seven of its 26 neighbors, looked up in the neighbor
    table. Nodes that do not exist are left out and the other weights rescaled.

    Args:
        node: (P,) int64 node that a place lies in, counted among the non-empty ones.
        offset: (P, 3) float32 place relative to the node's center, in sides of the node, in [-0.5, 0.5].
    """
    check_nodes(data, octree, depth, nempty)
    row = node if nempty else octree.nempty_index(depth)[node]
    table = octree.get_neigh(depth, "333", 1, nempty)
    if cpu_kernels.use_for(data):
        index, weight = torch.empty(len(row), 8, dtype=torch.int32), torch.empty(len(row), 8)
        cpu_kernels.call("corners", index, weight, table.long().contiguous(), row, offset.contiguous(), len(row))
        return weighted_sum(data, index, weight)
    step = _corner_steps(data.device)
    toward = torch.where(offset < 0, -1, 1).unsqueeze(1) * step  # (P, 8, 3)
    x, y, z = (toward + 1).unbind(dim=2)
    share = offset.abs().unsqueeze(1)
    weight = torch.where(step == 1, share, 1 - share).prod(dim=2)
    neighbor = table[row].gather(1, 9 * x + 3 * y + z)
    weight = torch.where(neighbor >= 0, weight, 0)
    return weighted_sum(data, neighbor.clamp(min=0).int(), weight / weight.sum(dim=1, keepdim=True))


def _corner_steps(device: torch.device) -> torch.Tensor:
    """(8, 3) int64 in [0, 1]: the corners of a cube, x slowest."""
    corner = torch.arange(8, device=device)
    return torch.stack([corner >> 2 & 1, corner >> 1 & 1, corner & 1], dim=1)

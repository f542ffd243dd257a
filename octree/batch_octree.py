"""One octree for a whole batch, with just the neighbour tables that a network visits.

ocnn's reference path builds an octree per sample and merges them. Here the batch id is a part of every node's key
from the start, so sorting the points once gives the merged octree.
"""

from __future__ import annotations

import torch
from ocnn.octree import Octree, Points

from octree.point_batch import PointBatch

BELOW_ONE = 1 - 2**-20  # ocnn's cube is half open: a coordinate of exactly 1 would wrap round to the other side
_ROUNDING = 1e-4


def build_octree(batch: PointBatch, depth: int, full_depth: int = 2) -> tuple[Octree, torch.Tensor]:
    """Build the octree of a batch on the batch's device.

    Args:
        batch: clouds inside the cube [-1, 1]³.
        depth: depth of the leaves, at most 16; a leaf is a cube of side 2 / 2**depth.
        full_depth: every node exists down to this depth.

    Returns:
        The octree, and the (N,) int64 non-empty leaf of every point. Leaves are ordered by cloud, then along
        ocnn's shuffled key. ``octree.points``, ``.normals`` at ``depth`` hold the means over a leaf.

    Raises:
        ValueError: the batch has no points, or one lies outside the cube.
    """
    if len(batch.points) == 0:
        raise ValueError("an octree needs at least one point; the batch has none")
    if not (batch.points.abs() <= 1 + _ROUNDING).all():
        raise ValueError("points must lie in [-1, 1]; normalise the shapes, and clip after an augmentation")
    points = Points(
        batch.points.clamp(-1, BELOW_ONE),
        batch.normals,
        batch_id=batch.batch_id,
        batch_size=int(batch.batch_id[-1]) + 1,  # what Points checks; the last clouds may own no point
    )
    points.batch_size = batch.batch_size
    octree = Octree(depth, full_depth, batch.batch_size, batch.points.device)
    leaf_of_point = octree.build_octree(points)
    return octree, leaf_of_point


def build_neighbours(octree: Octree, nempty: bool) -> None:
    """Fill the 3³ neighbour tables of the octree in place, from its full depth down to the leaves.

    With ``nempty`` only non-empty nodes get a row, looked up through their parents' rows: the tables that
    ``octree.get_neigh(depth, nempty=True)`` returns, without ever building those of all nodes.
    """
    top = max(octree.full_depth, 1)
    octree.construct_neigh(top)
    if not nempty:
        for depth in range(top + 1, octree.depth + 1):
            octree.construct_neigh(depth)
        return
    octree.nempty_neigh(top)
    for depth in range(top + 1, octree.depth + 1):
        octree.nempty_neighs[depth] = _neighbours_by_parent(octree, depth)


def _neighbours_by_parent(octree: Octree, depth: int) -> torch.Tensor:
    """(L, 27) int64 neighbours among the L non-empty nodes of ``depth``, -1 where there is none."""
    node = octree.nempty_index(depth)
    parent, octant = node >> 3, node & 7
    parent_neighbour = octree.nempty_neighs[depth - 1][parent].gather(1, octree.lut_parent[octant])
    neighbour_node = (parent_neighbour << 3) + octree.lut_child[octant]
    neighbour = octree.children[depth].long()[neighbour_node.clamp_(min=0)]
    return neighbour.masked_fill_(parent_neighbour < 0, -1)


def leaf_patches(leaf_of_point: torch.Tensor, patches: torch.Tensor, leaves: int) -> torch.Tensor:
    """The patch that most points of a leaf belong to; the lowest id among equals.

    Args:
        leaf_of_point: (N,) int64 leaf of every point, as :func:`build_octree` returns.
        patches: (N,) int64 patch of every point.
        leaves: number of non-empty leaves L.

    Returns:
        (L,) int64.
    """
    span = int(patches.max()) + 1
    pair, votes = torch.unique(leaf_of_point * span + patches, return_counts=True)
    leaf, patch = pair // span, pair % span
    ballot = votes * span + (span - 1 - patch)  # most votes first, then the lowest patch
    best = torch.zeros(leaves, dtype=torch.long, device=patches.device)
    best.scatter_reduce_(0, leaf, ballot, reduce="amax")
    return span - 1 - best % span

"""One octree for a batch, against voxels counted by hand."""

from dataclasses import replace

import ocnn
import pytest
import torch

from octree.batch_octree import build_neighbors, build_octree
from octree.point_batch import PointBatch
from pcrq import InputError

DEPTH = 4


def voxels(batch, depth):
    """The set of (cloud, x, y, z) cells that contain a point."""
    cell = ((batch.points + 1) * 2 ** (depth - 1)).floor().long()
    return {(int(b), *map(int, xyz)) for b, xyz in zip(batch.batch_id, cell, strict=True)}


def nodes(octree, depth):
    x, y, z, b = octree.xyzb(depth, nempty=True)
    return list(zip(b.tolist(), x.tolist(), y.tolist(), z.tolist(), strict=True))


def test_non_empty_nodes_are_the_occupied_voxels(batch):
    octree = build_octree(batch, DEPTH)
    for depth in (2, 3, 4):
        found = nodes(octree, depth)
        assert len(found) == len(set(found))
        assert set(found) == voxels(batch, depth)


def test_a_point_knows_its_leaf(batch):
    octree = build_octree(batch, DEPTH)
    leaves = nodes(octree, DEPTH)
    cell = ((batch.points + 1) * 2 ** (DEPTH - 1)).floor().long()
    for i in range(0, len(cell), 7):
        assert leaves[int(octree.leaf_of_point[i])] == (int(batch.batch_id[i]), *cell[i].tolist())


def test_leaves_hold_the_mean_of_their_points(batch):
    octree = build_octree(batch, DEPTH)
    for leaf in range(0, int(octree.nnum_nempty[DEPTH]), 11):
        mine = octree.leaf_of_point == leaf
        mean = (batch.points[mine].mean(dim=0) + 1) * 2 ** (DEPTH - 1)
        torch.testing.assert_close(octree.points[DEPTH][leaf], mean, atol=1e-4, rtol=0)
        normal = torch.nn.functional.normalize(batch.normals[mine].mean(dim=0), dim=0)
        torch.testing.assert_close(octree.normals[DEPTH][leaf], normal, atol=1e-4, rtol=0)


def test_normals_that_cancel_out_leave_that_of_the_first_point():
    """The two sides of a sheet, as O-CNN has them: a sum of length below 1e-6 is replaced by the first normal."""
    tilted, up = torch.tensor([0.6, 0.0, 0.8]), torch.tensor([0.0, 0.0, 1.0])
    points = torch.tensor([[0.51, 0.5, 0.5], [-0.5, -0.5, -0.5], [0.5, 0.5, 0.51], [-0.49, -0.5, -0.5]])
    octree = build_octree(PointBatch.from_points(points, normals=torch.stack([tilted, -up, -tilted, up])), DEPTH)
    assert torch.equal(octree.normals[DEPTH], torch.stack([-up, tilted]))


def test_it_equals_octrees_built_one_by_one_and_merged(batch):
    octree = build_octree(batch, DEPTH)
    single = []
    for i in range(3):
        mine = batch.batch_id == i
        one = ocnn.octree.Octree(DEPTH, 2)
        one.build_octree(ocnn.octree.Points(batch.points[mine], batch.normals[mine]))
        single.append(one)
    merged = ocnn.octree.Octree.init_like(single[0]).merge_octrees(single)
    for depth in range(2, DEPTH + 1):
        assert torch.equal(octree.keys[depth], merged.keys[depth])
        assert torch.equal(octree.children[depth], merged.children[depth])


@pytest.mark.parametrize("nempty", [True, False])
def test_neighbors_are_those_found_by_coordinates(batch, nempty):
    octree = build_octree(batch, DEPTH)
    build_neighbors(octree, nempty)
    offsets = [(i, j, k) for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)]
    for depth in (2, 3, 4):
        x, y, z, b = octree.xyzb(depth, nempty)
        node = list(zip(b.tolist(), x.tolist(), y.tolist(), z.tolist(), strict=True))
        where = {key: row for row, key in enumerate(node)}
        table = octree.get_neigh(depth, "333", 1, nempty)
        assert table.shape == (len(node), 27)
        for row in range(0, len(node), 5):
            b, x, y, z = node[row]
            expected = [where.get((b, x + i, y + j, z + k), -1) for i, j, k in offsets]
            assert table[row].tolist() == expected


def test_points_on_the_border_stay_on_their_side(batch):
    points = torch.tensor([[1.0, 1.0, 1.0], [-1.0, -1.0, -1.0]])
    pair = replace(
        batch, points=points, normals=points / 3**0.5, batch_id=torch.tensor([0, 0]), labels=None, patches=None
    )
    octree = build_octree(pair, DEPTH)
    assert set(nodes(octree, DEPTH)) == {(0, 15, 15, 15), (0, 0, 0, 0)}


def test_clouds_without_points_are_allowed(batch):
    for missing in range(3):
        octree = build_octree(batch.select(batch.batch_id != missing), DEPTH)
        assert octree.batch_size == 3
        assert set(octree.batch_id(DEPTH, nempty=True).tolist()) == {0, 1, 2} - {missing}


def test_points_outside_the_cube_and_no_points_are_refused(batch):
    with pytest.raises(InputError, match=r"must be in \[-1, 1\]"):
        build_octree(replace(batch, points=batch.points * 2), DEPTH)
    with pytest.raises(InputError, match="no points"):
        build_octree(batch.select(batch.batch_id > 5), DEPTH)


@pytest.mark.parametrize("nempty", [True, False])
def test_a_copy_on_another_device_is_complete(batch, nempty):
    octree = build_octree(batch, DEPTH)
    build_neighbors(octree, nempty)
    copy = octree.to("meta")
    assert type(copy) is type(octree) and octree.to("cpu") is octree
    assert copy.leaf_of_point.shape == octree.leaf_of_point.shape and copy.input_points.is_meta
    for depth in (3, 4):
        table = copy.get_neigh(depth, "333", 1, nempty)
        assert table.is_meta and table.shape == octree.get_neigh(depth, "333", 1, nempty).shape

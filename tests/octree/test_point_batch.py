"""Ragged batches."""

from dataclasses import replace

import torch

from octree.point_batch import collate


def test_collate_concatenates_in_order(make_shape):
    shapes = [make_shape(i, points=10 + i) for i in range(4)]
    batch = collate(shapes)
    assert batch.batch_size == 4
    assert torch.bincount(batch.batch_id).tolist() == [10, 11, 12, 13]
    for i, shape in enumerate(shapes):
        mine = batch.batch_id == i
        assert torch.equal(batch.points[mine], torch.from_numpy(shape.points))
        assert batch.patches[mine].tolist() == shape.patches.tolist()
    assert batch.category.tolist() == [0, 1, 0, 1]
    assert (batch.points.dtype, batch.patches.dtype, batch.index.dtype) == (torch.float32, torch.int64, torch.int64)


def test_labels_are_dropped_unless_every_shape_has_them(make_shape):
    batch = collate([make_shape(0), replace(make_shape(1), labels=None)])
    assert batch.labels is None and batch.patches is not None


def test_select_keeps_the_number_of_clouds(batch):
    first = batch.select(batch.batch_id == 0)
    assert len(first.points) == len(first.normals) == len(first.patches) == 200
    assert first.batch_size == 3 and len(first.category) == 3

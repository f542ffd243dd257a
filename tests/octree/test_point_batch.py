"""Ragged batches."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch.utils.data import DataLoader

import octree
from octree import ShapeDataset, ShapeStore, collate


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


def test_a_dataset_numbers_its_shapes(make_shape, store_path):
    shapes = [make_shape(i, points=10) for i in range(4)]
    assert [shape.index for shape in ShapeDataset(shapes)] == [0, 1, 2, 3]
    subset = ShapeDataset(ShapeStore(store_path), indices=[7, 3])
    assert [(shape.id, shape.index) for shape in subset] == [("shape7", 0), ("shape3", 1)]
    loader = DataLoader(subset, batch_size=2, collate_fn=collate)
    assert next(iter(loader)).index.tolist() == [0, 1]


def test_public_names_are_imported_on_first_use():
    code = "import octree, sys; print('torch' in sys.modules, all(hasattr(octree, n) for n in octree.__all__))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False True\n"
    assert set(octree.__all__) <= set(dir(octree))
    with pytest.raises(AttributeError, match="no attribute 'Distort'"):
        octree.Distort  # noqa: B018

"""Wrong input raises an InputError that names the value and what is allowed."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from octree import (
    HRNet,
    MIDFeatures,
    MIDLoss,
    MIDNet,
    PartSegmenter,
    PointBatch,
    RandomAffine,
    ShapeClassifier,
    build_octree,
    collate,
    quantize,
)
from pcrq import InputError

SMALL = {"depth": 4, "full_depth": 1, "width": 16, "blocks": 1, "nempty": True}
POINTS = torch.rand(6, 3) - 0.5
IDS = torch.tensor([0, 0, 0, 1, 1, 1])


@pytest.fixture(scope="module")
def network():
    return MIDNet(**SMALL)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points": POINTS.long()}, r"points are \(6, 3\) torch.int64, but must be \(N, 3\) floating point"),
        ({"points": POINTS[:, :2]}, r"points is \(6, 2\)"),
        ({"points": POINTS[0]}, r"points are \(3,\)"),
        ({"points": POINTS[:0]}, "N > 0"),
        ({"points": POINTS * float("nan")}, "NaN or infinity"),
        ({"points": POINTS / 0}, "NaN or infinity"),
        ({"normals": POINTS[:3]}, r"normals is \(3, 3\)"),
        ({"normals": POINTS * float("nan")}, "normals contain NaN"),
        ({"batch_id": IDS[:3]}, r"batch_id is \(3,\)"),
        ({"batch_id": IDS.flip(0)}, "not ascending; sort"),
        ({"batch_id": IDS - 1}, "batch_id runs from -1 to 0"),
        ({"batch_id": IDS, "batch_size": 1}, "batch_id runs from 0 to 1"),
        ({"batch_id": IDS.float()}, "batch_id is torch.float32, but must be integers"),
        ({"batch_id": IDS, "index": [3]}, r"index is \(1,\) .* must be \(2,\)"),
        ({"patches": IDS[:2]}, r"patches is \(2,\)"),
    ],
)
def test_batches_are_checked_when_they_are_made(options, message):
    with pytest.raises(InputError, match=message):
        PointBatch.from_points(**{"points": POINTS, **options})


def test_from_points_converts_arrays_and_other_types():
    batch = PointBatch.from_points(
        POINTS.double().numpy(), IDS.int(), POINTS.half().numpy(), patches=np.arange(6, dtype=np.uint8)
    )
    assert (batch.points.dtype, batch.normals.dtype) == (torch.float32, torch.float32)
    assert (batch.batch_id.dtype, batch.patches.dtype) == (torch.int64, torch.int64)
    assert batch.batch_size == 2 and batch.index.tolist() == [-1, -1]
    torch.testing.assert_close(batch.points, POINTS)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("points", POINTS.double(), "points is .* torch.float64 on cpu, but must be .* torch.float32"),
        ("batch_id", IDS.int(), "batch_id is .* torch.int32"),
        ("patches", IDS.to("meta"), "patches is .* on meta, but must be .* on cpu"),
        ("index", None, "index is None"),
    ],
)
def test_the_constructor_checks_types_sizes_and_devices(name, value, message):
    with pytest.raises(InputError, match=message):
        replace(PointBatch.from_points(POINTS, IDS), **{name: value})


def test_collate_names_the_shape(make_shape):
    with pytest.raises(InputError, match="no shapes"):
        collate([])
    bad = replace(make_shape(1), normals=make_shape(1).normals * np.nan)
    with pytest.raises(InputError, match=r"shape1: .* NaN"):
        collate([make_shape(0), bad])
    with pytest.raises(InputError, match=r"normals is \(500, 3\)"):
        collate([make_shape(0), replace(make_shape(1), normals=make_shape(1).normals[:200])])


def test_points_outside_the_cube_and_depths_out_of_range(batch):
    with pytest.raises(InputError, match=r"absolute value 1\.\d+, but points must be in \[-1, 1\]"):
        build_octree(replace(batch, points=batch.points * 2), 4)
    with pytest.raises(InputError, match="NaN"):
        build_octree(replace(batch, points=batch.points * float("nan")), 4)
    with pytest.raises(InputError, match="not ascending"):
        build_octree(replace(batch, batch_id=batch.batch_id.flip(0)), 4)
    for depths in ((17, 2), (2, 3)):
        with pytest.raises(InputError, match="full_depth <= depth <= 16"):
            build_octree(batch, *depths)


@pytest.mark.parametrize("make", [lambda c: MIDNet(c), lambda c: ShapeClassifier(c, 4), lambda c: PartSegmenter(c, 4)])
def test_octrees_of_another_depth_or_device_and_other_types(network, batch, make):
    other = make(network.config)
    with pytest.raises(InputError, match="octree has depth 6 and full_depth 1, but the network needs 4 and 1"):
        other(build_octree(batch, 6, full_depth=1))
    with pytest.raises(InputError, match="full_depth 2"):
        other(build_octree(batch, 4))
    with pytest.raises(InputError, match="the batch is on meta and the network on cpu"):
        other(batch.to("meta"))
    with pytest.raises(InputError, match="input is Tensor, but must be a PointBatch"):
        other(batch.points)
    with pytest.raises(InputError, match="no normals"):
        other(replace(batch, normals=None))
    with pytest.raises(InputError, match="no points"):
        other(batch.select(batch.batch_id > 5))


def test_networks_take_a_batch_or_its_octree(network, batch):
    network.eval()
    expected = network(network.octree(batch))
    for data in (batch, build_octree(batch, 4, full_depth=1)):
        features = network(data)
        assert torch.equal(features.global_feature, expected.global_feature)
        assert torch.equal(features.local_of_point, expected.local_of_point)
        assert torch.equal(network.embed(data), network.embed(batch))
    for other in (ShapeClassifier(network.config, 4).eval(), PartSegmenter(network.config, 4).eval()):
        assert torch.equal(other(batch), other(build_octree(batch, 4, full_depth=1)))


def test_unknown_options_of_a_network():
    assert MIDNet(**SMALL).config.width == 16
    with pytest.raises(TypeError, match="dept"):
        MIDNet(dept=5)
    assert HRNet(16).channels == [16, 32, 64]


@pytest.mark.parametrize("options", [{"angle": 181}, {"shift": -0.1}, {"scale": 1}])
def test_ranges_of_the_affine_map(options):
    with pytest.raises(InputError, match=next(iter(options))):
        RandomAffine(**options)


@pytest.mark.parametrize("bins", [0, -1, 2.5])
def test_bins_below_one(batch, bins):
    with pytest.raises(InputError, match=f"bins={bins}"):
        quantize(batch, bins)


@pytest.mark.parametrize("p", [-0.1, 1.1])
def test_a_probability_out_of_range(batch, p):
    with pytest.raises(InputError, match=f"p={p}: must be a probability"):
        quantize(batch, 5, p=p)


def features_of(batch, channels=(128, 64), local=None):
    rows = len(batch.points) if local is None else int(local.max()) + 1
    return MIDFeatures(torch.rand(batch.batch_size, channels[0]), torch.rand(rows, channels[1]), local)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patches": None}, "no patches"),
        ({"index": torch.tensor([0, -1, 1])}, "index -1: .* which of the 5 training shapes .*ShapeDataset"),
        ({"index": torch.tensor([-1, -1, -1])}, "index -1"),
        ({"index": torch.tensor([0, 5, 1])}, r"index 5 is too large for MIDLoss\(shapes=5\)"),
    ],
)
def test_the_loss_needs_patches_and_index(batch, change, message):
    changed = replace(batch, **change)
    with pytest.raises(InputError, match=message):
        MIDLoss(shapes=5, patches=10)(features_of(batch), changed)


def test_the_loss_needs_patches_in_range(batch):
    with pytest.raises(InputError, match=r"patch 9 is too large for MIDLoss\(patches=9\)"):
        MIDLoss(shapes=3, patches=9)(features_of(batch), batch)
    with pytest.raises(InputError, match="patch -1"):
        MIDLoss(shapes=3, patches=10)(features_of(batch), replace(batch, patches=batch.patches - 1))
    with pytest.raises(InputError, match="at least 1"):
        MIDLoss(shapes=0)


def test_the_loss_needs_features_that_fit(batch):
    loss, good = MIDLoss(shapes=3, patches=10), features_of(batch)
    few = replace(good, local_feature=good.local_feature[:7])
    row = torch.zeros(len(batch.points), dtype=torch.int64)
    for features, message in [
        (features_of(batch, (120, 64)), r"global_feature is \(3, 120\), but must be \(3, 128\)"),
        (features_of(batch, (128, 60)), r"local_feature is \(750, 60\), but must be \(750, 64\)"),
        (few, r"local_feature is \(7, 64\), but must be \(750, 64\)"),
        (replace(few, local_of_point=row[:9]), r"local_of_point is \(9,\)"),
        (replace(few, local_of_point=row + 7), r"local_of_point runs from 7 to 7, but must be in \[0, 7\)"),
        (replace(few, local_of_point=row - 1), "local_of_point runs from -1"),
        (replace(good, global_feature=good.global_feature.to("meta")), "features are on meta"),
    ]:
        with pytest.raises(InputError, match=message):
            loss(features, batch)


def test_a_batch_of_all_shapes_in_order_needs_no_index(batch):
    losses = []
    for index in (batch.index, torch.full((3,), -1)):
        loss, features = MIDLoss(shapes=3, patches=10), features_of(batch)
        torch.manual_seed(0)
        features = features_of(batch)
        losses.append(loss(features, replace(batch, index=index)).total)
        loss.update(features, replace(batch, index=index))
        losses.append(loss.shape_memory.memory)
    assert torch.equal(losses[0], losses[2]) and torch.equal(losses[1], losses[3])

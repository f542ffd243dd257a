"""Classifier and segmenter: what they take over, and features at points against the plain formulation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import ocnn
import pytest
import torch
from ocnn.nn.octree_interp import octree_linear_pts, octree_nearest_pts
from sklearn.metrics import jaccard_score

from octree.batch_octree import build_neighbors, build_octree, interpolate_at_points
from octree.downstream import PartSegmenter, ShapeClassifier, part_iou
from octree.hrnet import upsample_to
from octree.midnet import MIDNet, MIDNetConfig, leaf_features

SMALL = {"depth": 4, "full_depth": 1, "width": 16, "blocks": 1}


def in_nodes(batch, depth):
    """(N, 4) coordinates in nodes of a depth, and the cloud, as ocnn wants them."""
    return torch.cat([(batch.points + 1) * 2 ** (depth - 1), batch.batch_id.unsqueeze(1).float()], dim=1)


@pytest.mark.parametrize("nempty", [True, False])
def test_interpolation_at_points_equals_ocnn_with_bounds_checked(batch, nempty):
    octree = build_octree(batch, 4)
    build_neighbors(octree, nempty)
    data = torch.randn(int((octree.nnum_nempty if nempty else octree.nnum)[3]), 5)
    expected = octree_linear_pts(data, octree, 3, in_nodes(batch, 3), nempty, bound_check=True)
    interpolated = interpolate_at_points(data, octree, 3, nempty)
    torch.testing.assert_close(interpolated, expected, atol=1e-5, rtol=1e-4)


def test_a_point_on_the_border_of_the_cube_is_interpolated_in_its_own_node(batch):
    points = batch.points.clone()
    points[0] = 1.0
    points[1] = torch.tensor([0.6, 0.9, 0.9])  # in the node beside it, which the features must not lean to
    octree = build_octree(replace(batch, points=points), 4)
    build_neighbors(octree, True)
    data = torch.randn(int(octree.nnum_nempty[3]), 5)
    interpolated = interpolate_at_points(data, octree, 3, True)
    inward = points.clone()
    inward[0] = 1 - 1e-4
    octree.input_points = inward
    near = interpolate_at_points(data, octree, 3, True)
    torch.testing.assert_close(interpolated[0], near[0], atol=1e-2, rtol=0)


@pytest.mark.parametrize("nempty", [True, False])
def test_points_are_segmented_from_features_interpolated_first_and_joined(batch, nempty):
    """O-CNN's formulation: linear interpolation one level above the leaves, nearest at the leaves, then two layers."""
    torch.manual_seed(0)
    network = PartSegmenter(MIDNetConfig(**SMALL, nempty=nempty), parts=3)
    octree = build_octree(batch, 4, full_depth=1)
    build_neighbors(octree, nempty)
    for _ in range(20):
        network(octree)
    network.eval()
    features = network.backbone(leaf_features(octree, nempty), octree)
    joined = torch.cat([upsample_to(b, octree, 3 - i, 3, nempty) for i, b in enumerate(features.branches)], dim=1)
    above = octree_linear_pts(joined, octree, 3, in_nodes(batch, 3), nempty, bound_check=True)
    leaves = features.leaves if nempty else ocnn.nn.octree_depad(features.leaves, octree, 4)
    here = octree_nearest_pts(leaves, octree, 4, in_nodes(batch, 4), nempty=True)
    head = network.head
    expected = head.out(torch.relu(head.norm(head.hidden(torch.cat([above, here], dim=1)))))
    logits = network(octree)
    assert logits.shape == (len(batch.points), 3)
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)


@pytest.fixture
def pretrained(batch):
    torch.manual_seed(1)
    network = MIDNet(MIDNetConfig(**SMALL, nempty=True))
    octree = network.octree(batch)
    for _ in range(5):
        network(octree)
    return network.eval()


def test_a_classifier_takes_over_all_but_its_linear_layer(pretrained, batch):
    classifier = ShapeClassifier(pretrained.config, classes=4)
    before = classifier.head.fc2.weight.clone()
    classifier.load_backbone(pretrained)
    octree = pretrained.octree(batch)
    fc2 = classifier.eval().head.fc2
    torch.testing.assert_close(classifier(octree), fc2(pretrained.embed(octree)))
    assert torch.equal(fc2.weight, before)


def test_a_segmenter_takes_over_all_but_its_last_layer(pretrained):
    segmenter = PartSegmenter(pretrained.config, parts=5)
    segmenter.load_backbone(pretrained)
    mine = {**segmenter.backbone.state_dict(), **segmenter.head.state_dict()}
    theirs = {**pretrained.backbone.state_dict(), **pretrained.point_head.state_dict()}
    different = {name for name in mine if not torch.equal(mine[name], theirs[name])}
    assert different == {"out.weight", "out.bias"}


@pytest.fixture
def points():
    """Six shapes with 4 parts: the fourth part is rare, the last shape has one part alone."""
    rng = np.random.default_rng(0)
    batch_id = np.repeat(np.arange(6), rng.integers(20, 60, 6))
    label = rng.choice(4, len(batch_id), p=[0.4, 0.3, 0.29, 0.01])
    label[batch_id == 5] = 2
    prediction = np.where(rng.random(len(label)) < 0.7, label, rng.choice(4, len(label), p=[0.4, 0.3, 0.29, 0.01]))
    return prediction, label, batch_id


def found(prediction, label, batch_id, shapes=6, parts=4):
    return part_iou(*map(torch.from_numpy, (prediction, label, batch_id)), shapes, parts)


def test_parts_of_the_ground_truth_are_averaged_as_by_scikit_learn(points):
    prediction, label, batch_id = points
    for shape in range(6):
        mine = batch_id == shape
        expected = jaccard_score(label[mine], prediction[mine], labels=np.unique(label[mine]), average="macro")
        assert found(*points).present[shape].item() == pytest.approx(expected)


def test_with_all_parts_an_absent_one_counts_1_unless_it_is_predicted(points):
    for shape, (prediction, label) in enumerate((p[points[2] == i] for p in points[:2]) for i in range(6)):
        ious = []
        for part in range(4):
            union = ((prediction == part) | (label == part)).sum()
            ious.append(((prediction == part) & (label == part)).sum() / union if union else 1.0)
        assert found(*points).all_parts[shape].item() == pytest.approx(np.mean(ious))


def test_the_conventions_differ_where_parts_are_absent():
    label, batch_id = np.zeros(10, int), np.zeros(10, int)
    half = (np.arange(10) < 5).astype(int)
    iou = found(half, label, batch_id, shapes=1, parts=4)
    assert iou.present.item() == pytest.approx(0.5)  # of the one part that is there
    assert iou.all_parts.item() == pytest.approx((0.5 + 0 + 1 + 1) / 4)
    perfect = found(label, label, batch_id, shapes=1, parts=4)
    assert perfect.present.item() == perfect.all_parts.item() == 1

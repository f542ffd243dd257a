"""Overlap of predicted and true parts, against scikit-learn and loops."""

import numpy as np
import pytest
import torch
from sklearn.metrics import jaccard_score

from octree.part_iou import part_iou


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

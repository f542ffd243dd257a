"""Probes on frozen features, against scikit-learn and loops."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from octree.midnet import MIDNet, MIDNetConfig
from octree.pretrained import embed
from pcrq import InputError
from pcrq.evaluation import LabelledFeatures, knn_accuracy, logistic_probe, nearest_neighbors, sgd_probe
from pcrq.stores import ShapeStore


def clusters(shapes=120, spread=0.6, seed=0):
    rng = np.random.default_rng(seed)
    category = np.arange(shapes) % 3
    centres = np.random.default_rng(99).normal(size=(3, 8))
    features = centres[category] + spread * rng.normal(size=(shapes, 8))
    return LabelledFeatures(features.astype(np.float32), category)


@pytest.mark.parametrize("spread", [0.1, 1.5])
def test_knn_votes_like_scikit_learn(spread):
    train, test = clusters(spread=spread), clusters(spread=spread, seed=1)
    votes = KNeighborsClassifier(
        n_neighbors=7, metric="cosine", algorithm="brute", weights=lambda distance: np.exp((1 - distance) / 0.1)
    )
    expected = votes.fit(train.features, train.category).score(test.features, test.category)
    found = knn_accuracy(*map(torch.from_numpy, (test.features, test.category, train.features, train.category)), 7)
    assert found == pytest.approx(expected, abs=0.01)


def test_knn_without_a_gallery_leaves_each_shape_out():
    train = clusters(shapes=60, spread=1.5)
    features, category = torch.from_numpy(train.features), torch.from_numpy(train.category)
    hits = []
    for i in range(60):
        others = torch.arange(60) != i
        hits.append(knn_accuracy(features[i : i + 1], category[i : i + 1], features[others], category[others], 5))
    assert knn_accuracy(features, category, neighbours=5) == pytest.approx(np.mean(hits))


def test_knn_does_not_depend_on_how_many_are_asked_at_once(monkeypatch):
    from pcrq.evaluation import knn

    train = clusters(spread=1.5)
    features, category = torch.from_numpy(train.features), torch.from_numpy(train.category)
    whole = knn_accuracy(features, category)
    monkeypatch.setattr(knn, "_QUERIES", 7)
    assert knn_accuracy(features, category) == whole


def test_neighbors_are_ranked_as_by_sorting_all_distances():
    queries = torch.from_numpy(clusters(shapes=30, spread=1.5).features)
    gallery = torch.from_numpy(clusters(shapes=60, spread=1.5, seed=1).features)
    unit = [x.numpy() / np.linalg.norm(x.numpy(), axis=1, keepdims=True) for x in (queries, gallery)]
    expected = np.argsort(((unit[0][:, None] - unit[1]) ** 2).sum(axis=2), axis=1)
    cosine, rows = nearest_neighbors(queries, gallery, 4)
    assert np.array_equal(rows.numpy(), expected[:, :4])
    np.testing.assert_allclose(cosine.numpy(), np.take_along_axis(unit[0] @ unit[1].T, expected[:, :4], 1), atol=1e-6)
    excluded = nearest_neighbors(queries, gallery, 3, exclude=rows[:, 0])[1]
    assert np.array_equal(excluded.numpy(), expected[:, 1:4])
    assert nearest_neighbors(queries, gallery[:2], 5)[1].shape == (30, 2)


def test_both_linear_probes_separate_what_is_separable():
    train, test = clusters(spread=0.2), clusters(spread=0.2, seed=1)
    assert logistic_probe(train, test) == 1
    assert sgd_probe(train, test, classes=3, steps=300, seed=0) == 1


def test_the_sgd_probe_is_a_function_of_its_seed():
    train, test = clusters(spread=2.0), clusters(spread=2.0, seed=1)
    accuracies = [sgd_probe(train, test, classes=3, steps=5, seed=seed) for seed in (0, 0, 1, 2, 3)]
    assert accuracies[0] == accuracies[1]
    assert len(set(accuracies)) > 1


def test_one_category_cannot_be_probed():
    one = LabelledFeatures(np.zeros((4, 3), np.float32), np.zeros(4, int))
    for probe in (lambda: logistic_probe(one, one), lambda: sgd_probe(one, one, classes=2, steps=1)):
        with pytest.raises(InputError, match="two categories"):
            probe()


def test_embedding_no_shapes_gives_no_rows(store_path):
    network = MIDNet(MIDNetConfig(depth=4, full_depth=1, width=16, blocks=1))
    assert embed(network, ShapeStore(store_path), []).shape == (0, 128)


def test_embedding_keeps_order_and_mode_whatever_the_batch_size(store_path):
    store = ShapeStore(store_path)
    network = MIDNet(MIDNetConfig(depth=4, full_depth=1, width=16, blocks=1, nempty=True)).train()
    five = embed(network, store, [5, 3, 1, 0, 2], batch_size=2)
    assert network.training
    torch.testing.assert_close(five, embed(network, store, [5, 3, 1, 0, 2], batch_size=5), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(five[1], embed(network, store, [3])[0], atol=1e-5, rtol=1e-4)

"""MID-Net: its sizes, its independence of the batch, and its heads against the plain formulation."""

from dataclasses import replace

import numpy as np
import ocnn
import pytest
import torch
import torch.nn.functional as F
from ocnn.nn.octree_interp import octree_linear_pts

from octree import PointBatch
from octree.batch_octree import build_neighbors, build_octree, interpolate_to_children
from octree.downstream import PartSegmenter, ShapeClassifier
from octree.hrnet import upsample_to
from octree.midnet import MIDNet, MIDNetConfig, leaf_features
from pcrq import InputError

SMALL = {"depth": 4, "full_depth": 1, "width": 16, "blocks": 1, "shape_channels": 12, "point_channels": 6}


@pytest.fixture(params=[True, False], ids=["non-empty nodes", "all nodes"])
def network(request):
    torch.manual_seed(0)
    return MIDNet(MIDNetConfig(**SMALL, nempty=request.param))


def settle(network, batch):
    """A few passes so that batch normalisation has statistics; then evaluation mode."""
    octree = network.octree(batch)
    for _ in range(20):
        network(octree)
    return network.eval()


def test_outputs_are_unit_vectors_per_shape_and_per_leaf(network, batch):
    octree = network.octree(batch)
    features = network(octree)
    assert features.global_feature.shape == (3, 12)
    assert features.local_feature.shape == (int(octree.nnum_nempty[4]), 6)
    for feature in (features.global_feature, features.local_feature):
        torch.testing.assert_close(feature.norm(dim=1), torch.ones(len(feature)))
    assert network.embed(octree).shape == (3, 8 * 16)


def test_a_shape_has_the_same_features_alone_and_in_a_batch(network, batch):
    settle(network, batch)
    together = network(batch)
    alone = []
    for i in range(3):
        mine = batch.select(batch.batch_id == i)
        alone.append(network(PointBatch.from_points(mine.points, normals=mine.normals)))
    for name in ("global_feature", "local_feature"):
        parts = torch.cat([getattr(features, name) for features in alone])
        torch.testing.assert_close(getattr(together, name), parts, atol=1e-4, rtol=1e-4)


def test_batch_normalization_follows_the_formulas_of_tensorflow(batch):
    """Decay 0.99 of O-CNN is a momentum of 0.01. TensorFlow's fused kernel also keeps the unbiased variance."""
    network = MIDNet(MIDNetConfig(**SMALL, nempty=True, bn_momentum=0.01, bn_eps=1e-3))
    seen: dict[str, list] = {}
    norms = {name: module for name, module in network.named_modules() if isinstance(module, torch.nn.BatchNorm1d)}
    for name, norm in norms.items():
        norm.register_forward_hook(
            lambda _, inputs, out, name=name: seen.setdefault(name, []).append((inputs[0], out.clone()))
        )
    for _ in range(4):
        network(batch)
        batch = replace(batch, points=batch.points * 0.9)
    assert len(seen) == len(norms) > 10
    for name, steps in seen.items():
        mean, variance = 0.0, 1.0
        for inputs, output in steps:
            values = inputs.detach().double().numpy()
            expected = (values - values.mean(axis=0)) / np.sqrt(values.var(axis=0) + 1e-3)
            np.testing.assert_allclose(output.detach().numpy(), expected, atol=1e-3, rtol=1e-3)
            mean = 0.99 * mean + (1 - 0.99) * values.mean(axis=0)
            variance = 0.99 * variance + (1 - 0.99) * values.var(axis=0, ddof=1)
        np.testing.assert_allclose(norms[name].running_mean.numpy(), mean, atol=1e-6)
        np.testing.assert_allclose(norms[name].running_var.numpy(), variance, rtol=1e-5)


def test_xavier_weights_have_the_spread_of_tensorflows_matrices():
    """TensorFlow's Xavier is uniform with variance 2 / (rows + columns); O-CNN's kernels are C_out x 27 C_in."""
    torch.manual_seed(0)
    network = MIDNet(width=64, blocks=1, depth=5, init="xavier")
    first, last, hidden = network.backbone.front_leaves.conv, network.shape_head.fc2, network.point_head.hidden
    spread = {first.weights: 2 / (32 + 27 * 4), last.weight: 2 / (512 + 128), hidden.weight: 2 / (7 * 64 + 32 + 128)}
    for weight, variance in spread.items():
        assert weight.std().item() == pytest.approx(variance**0.5, rel=0.05)
        assert weight.abs().max().item() == pytest.approx((3 * variance) ** 0.5, rel=0.01)
    assert first.weights.std() > 2 * MIDNet(width=64, blocks=1, depth=5).backbone.front_leaves.conv.weights.std()
    assert last.bias.abs().max() == 0
    assert network.point_head.out.bias.abs().max().item() == pytest.approx((6 / 65) ** 0.5, rel=0.1)


def test_new_layers_of_downstream_networks_have_the_initialization_of_their_config():
    config = MIDNetConfig(**SMALL, init="xavier")
    classifier, segmenter = ShapeClassifier(config, 3), PartSegmenter(config, 3)
    assert classifier.head.fc2.bias.abs().max() == 0 and segmenter.head.out.bias.abs().max() > 0
    with pytest.raises(InputError, match="init 'kaiming': choose default or xavier"):
        MIDNetConfig(init="kaiming")


def test_downstream_networks_have_the_batch_normalization_of_their_config():
    config = MIDNetConfig(**SMALL, bn_momentum=0.02, bn_eps=1e-2)
    for network in (MIDNet(config), ShapeClassifier(config, 3), PartSegmenter(config, 3)):
        norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm1d)]
        assert {(norm.momentum, norm.eps) for norm in norms} == {(0.02, 1e-2)}


@pytest.mark.parametrize("options", [{"bn_momentum": 0.0}, {"bn_momentum": 1.5}, {"bn_eps": 0.0}])
def test_batch_normalization_out_of_range_is_refused(options):
    with pytest.raises(InputError, match=r"bn_momentum .*, bn_eps .*: must be in"):
        MIDNetConfig(**options)


def test_features_do_not_depend_on_the_order_of_points(network, batch):
    settle(network, batch)
    order = torch.argsort(batch.batch_id * 1000 + torch.randint(1000, batch.batch_id.shape), stable=True)
    shuffled = type(batch)(**{**batch.__dict__, "points": batch.points[order], "normals": batch.normals[order]})
    torch.testing.assert_close(network(batch).global_feature, network(shuffled).global_feature, atol=1e-5, rtol=1e-4)


def test_the_point_head_equals_joining_all_features_at_the_leaves_first(network, batch):
    """The formulation of the paper: upsample, concatenate, interpolate, concatenate, then one hidden layer."""
    settle(network, batch)
    octree = network.octree(batch)
    nempty, head = network.config.nempty, network.point_head
    features = network.backbone(leaf_features(octree, nempty), octree)
    joined = torch.cat([upsample_to(b, octree, 3 - i, 3, nempty) for i, b in enumerate(features.branches)], dim=1)
    points = torch.stack(octree.xyzb(4, nempty=True), dim=1).float()
    points[:, :3] = (points[:, :3] + 0.5) / 2
    at_leaves = octree_linear_pts(joined, octree, 3, points, nempty, bound_check=True)
    leaves = features.leaves if nempty else ocnn.nn.octree_depad(features.leaves, octree, 4)
    expected = head.out(torch.relu(head.norm(head.hidden(torch.cat([at_leaves, leaves], dim=1)))))
    torch.testing.assert_close(head(features, octree), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("nempty", [True, False])
def test_interpolation_equals_ocnn_with_bounds_checked(batch, nempty):
    octree = build_octree(batch, 4)
    build_neighbors(octree, nempty)
    data = torch.randn(int((octree.nnum_nempty if nempty else octree.nnum)[3]), 5)
    points = torch.stack(octree.xyzb(4, nempty=True), dim=1).float()
    points[:, :3] = (points[:, :3] + 0.5) / 2
    expected = octree_linear_pts(data, octree, 3, points, nempty, bound_check=True)
    torch.testing.assert_close(interpolate_to_children(data, octree, 3, nempty), expected)


def test_leaf_features_are_absolute_normals_and_displacement(batch):
    octree = build_octree(batch, 4)
    features = leaf_features(octree, nempty=True)
    for leaf in range(0, len(features), 13):
        mine = octree.leaf_of_point == leaf
        normal = F.normalize(batch.normals[mine].mean(dim=0), dim=0)
        mean = (batch.points[mine].mean(dim=0) + 1) * 8
        displacement = ((mean - mean.floor() - 0.5) * normal).sum() * 2 / 3**0.5
        expected = torch.cat([normal, displacement[None]]).abs()
        torch.testing.assert_close(features[leaf], expected, atol=1e-3, rtol=1e-3)


def test_every_weight_gets_a_gradient(network, batch):
    features = network(batch)
    (features.global_feature[:, 0].sum() + features.local_feature[:, 0].sum()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_the_default_network_has_the_sizes_of_the_paper():
    network = MIDNet()
    assert network.backbone.channels == [128, 256, 512]
    assert network.backbone.front_leaves.conv.weights.shape == (27, 4, 64)
    assert network.backbone.front.conv.weights.shape == (27, 64, 128)
    assert network.shape_head.fc1.conv.linear.out_features == 1024
    assert network.shape_head.fc2.out_features == 128
    assert network.point_head.hidden.out_features == 256
    assert network.point_head.out.out_features == 64
    bottlenecks = [blocks.resblks[0].bottleneck for blocks in network.backbone.stages[2]]
    assert bottlenecks == [4, 8, 8] and network.backbone.stages[2][0].resblk_num == 3


def test_an_empty_cloud_in_a_batch_does_not_spoil_the_others(network, batch):
    settle(network, batch)
    octree = network.octree(batch.select(batch.batch_id != 1))
    features = network(octree)
    assert features.global_feature.shape == (3, 12)
    assert features.global_feature.isfinite().all() and features.local_feature.isfinite().all()


@pytest.mark.parametrize(
    ("options", "word"),
    [({"depth": 4}, "depth"), ({"width": 20}, "width"), ({"blocks": 0}, "blocks"), ({"depth": 12}, "depth")],
)
def test_architectures_that_cannot_be_built_are_refused(options, word):
    with pytest.raises(InputError, match=word):
        MIDNetConfig(**options)

"""The base augmentation against a loop over clouds and matrices, written from its description."""

import math
from dataclasses import replace

import numpy as np
import torch

from octree import Affine, RandomAffine, build_octree, clip, quantize


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_an_affine_map_equals_rotating_shifting_and_scaling_each_cloud(batch):
    affine = RandomAffine().sample(3, generator=generator())
    result = affine(batch)
    for i in range(3):
        angle, mine = float(affine.angle[i]), batch.batch_id == i
        rotation = np.array([[math.cos(angle), 0, math.sin(angle)], [0, 1, 0], [-math.sin(angle), 0, math.cos(angle)]])
        scale = affine.scale[i].numpy()
        points = (batch.points[mine].numpy() @ rotation.T + affine.shift[i].numpy()) * scale
        np.testing.assert_allclose(result.points[mine].numpy(), points, atol=1e-6)
        normals = batch.normals[mine].numpy() @ rotation.T @ np.diag(1 / scale)
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        np.testing.assert_allclose(result.normals[mine].numpy(), normals, atol=1e-5)


def test_normals_stay_perpendicular_to_the_surface(batch):
    """A tangent moved like the points stays at a right angle to the moved normal."""
    axis = torch.tensor([0.3, 0.5, -0.8]).expand_as(batch.normals)
    tangent = torch.cross(batch.normals, axis, dim=1)
    affine = RandomAffine(shift=0).sample(3, generator=generator())
    moved_tangent = affine(type(batch)(**{**batch.__dict__, "points": tangent})).points
    assert ((moved_tangent * affine(batch).normals).sum(dim=1).abs() < 1e-5).all()


def test_draws_fill_the_ranges_of_the_paper():
    affine = RandomAffine().sample(20_000, generator=generator())
    degrees = torch.rad2deg(affine.angle)
    assert torch.allclose(degrees, degrees.round(), atol=1e-3)
    assert degrees.round().min() == -180 and degrees.round().max() == 179
    for values, low, high in [(affine.shift, -0.5, 0.5), (affine.scale, 0.75, 1.25)]:
        assert low <= values.min() < low + 0.01 and high - 0.01 < values.max() <= high
        assert values.shape == (20_000, 3)


def test_a_uniform_scale_is_one_factor_for_three_axes():
    scale = RandomAffine(uniform_scale=True).sample(10, generator=generator()).scale
    assert (scale == scale[:, :1]).all() and len(scale.unique()) == 10


def test_the_same_generator_gives_the_same_view(batch):
    views = [quantize(RandomAffine()(batch, g), 30, g) for g in (generator(1), generator(1))]
    assert torch.equal(views[0].points, views[1].points)


def test_clip_drops_points_with_everything_that_belongs_to_them(batch):
    moved = Affine(torch.zeros(3), torch.tensor([[0.5, 0, 0]] * 3), torch.ones(3, 3))(batch)
    clipped = clip(moved)
    inside = (moved.points.abs() < 1).all(dim=1)
    assert 0 < inside.sum() < len(inside)
    assert torch.equal(clipped.points, moved.points[inside])
    assert torch.equal(clipped.patches, moved.patches[inside])


def test_quantization_touches_coordinates_only_and_each_cloud_by_itself(batch):
    quantized = quantize(batch, 5, generator())
    assert torch.equal(quantized.normals, batch.normals)
    assert torch.equal(quantized.batch_id, batch.batch_id)
    for i in range(3):
        for axis in range(3):
            assert len(quantized.points[batch.batch_id == i, axis].unique()) <= 5


def test_a_cloud_is_quantized_as_a_whole_with_probability_p(batch):
    assert torch.equal(quantize(batch, 5, generator(), p=0).points, batch.points)
    counts = torch.zeros(3)
    for seed in range(200):
        quantized = quantize(batch, 5, generator(seed), p=0.3).points
        for i in range(3):
            points, original = quantized[batch.batch_id == i], batch.points[batch.batch_id == i]
            changed = [len(points[:, axis].unique()) <= 5 for axis in range(3)]
            assert all(changed) or torch.equal(points, original)
            counts[i] += all(changed)
    assert ((counts / 200 - 0.3).abs() < 0.12).all()  # more than 3.5 standard deviations


def test_p_of_one_takes_no_random_numbers(batch):
    assert torch.equal(quantize(batch, 5, generator()).points, quantize(batch, 5, generator(), p=1.0).points)


def test_calling_a_random_affine_map_is_sampling_applying_and_clipping(batch):
    augment = RandomAffine(angle=30, shift=0.4)
    expected = clip(augment.sample(3, generator=generator(2))(batch))
    found = augment(batch, generator(2))
    assert torch.equal(found.points, expected.points) and torch.equal(found.normals, expected.normals)
    assert (found.points.abs() < 1).all() and len(found.points) < len(batch.points)


def test_clouds_without_normals_are_augmented_too(batch):
    bare = replace(batch, normals=None)
    found = quantize(RandomAffine()(bare, generator(3)), generator=generator(4))
    expected = quantize(RandomAffine()(batch, generator(3)), generator=generator(4))
    assert found.normals is None and torch.equal(found.points, expected.points)
    assert torch.equal(build_octree(found, 4).keys[4], build_octree(expected, 4).keys[4])

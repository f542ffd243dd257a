"""Normalising, thinning out, clustering, and the whole way from a mesh to a shape."""

from itertools import combinations

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize
from scipy.spatial import ConvexHull
from sklearn.cluster import KMeans

from data_prep.bounding_sphere import bounding_sphere
from data_prep.mesh import Mesh
from data_prep.pipeline import Pipeline, cluster_patches, make_shape, simplify
from data_prep.point_cloud import PointCloud
from pcrq import InputError


def test_bounding_sphere_agrees_with_a_numerical_minimum():
    for seed in range(5):
        points = np.random.default_rng(seed).normal(size=(50, 3)) * (1, 2, 5)
        center, radius = bounding_sphere(points)
        # the convex problem itself: the least r² such that |p - c|² <= r² for all points
        best = minimize(
            lambda ball: ball[3],
            [0, 0, 0, 200],
            constraints={
                "type": "ineq",
                "fun": lambda ball, p: ball[3] - ((p - ball[:3]) ** 2).sum(1),
                "args": (points,),
            },
        )
        assert radius == pytest.approx(np.sqrt(best.x[3]), rel=1e-5)
        np.testing.assert_allclose(center, best.x[:3], atol=1e-3)


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.float64, st.tuples(st.integers(1, 12), st.just(3)), elements=st.sampled_from([-2.0, 0.0, 0.5, 1.0, 3.0]))
)
def test_bounding_sphere_holds_degenerate_points_and_no_smaller_ball_does(points):
    center, radius = bounding_sphere(points)
    assert (np.linalg.norm(points - center, axis=1) <= radius).all()
    # Jung's theorem bounds the smallest ball by the largest distance of two points
    widest = max((np.linalg.norm(a - b) for a, b in combinations(points, 2)), default=0)
    assert widest / 2 - 1e-9 <= radius <= widest * np.sqrt(3 / 8) + 1e-9


def test_bounding_sphere_of_many_points_equals_that_of_their_hull():
    points = np.random.default_rng(0).normal(size=(20_000, 3)) * (1, 2, 1.5)
    center, radius = bounding_sphere(points)
    hull_center, hull_radius = bounding_sphere(points[ConvexHull(points).vertices])
    np.testing.assert_allclose([*center, radius], [*hull_center, hull_radius], atol=1e-8)
    assert (np.linalg.norm(points - center, axis=1) <= radius).all()


def random_cloud(count: int, labels: int | None = None) -> PointCloud:
    random = np.random.default_rng(0)
    points, normals = random.uniform(-1, 1, (count, 3)), random.normal(size=(count, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return PointCloud(points, normals, None if labels is None else random.integers(0, labels, count))


def test_simplify_agrees_with_a_loop_over_cells():
    cloud, grid = random_cloud(3000, labels=4), 8
    cells: dict[tuple, list[int]] = {}
    for index, point in enumerate(cloud.points):
        cells.setdefault(tuple(np.floor((point + 1) / 2 * grid).clip(0, grid - 1).astype(int)), []).append(index)
    thin = simplify(cloud, grid, offset=0)
    assert len(thin.points) == len(cells)
    for row, cell in enumerate(sorted(cells)):
        inside = cells[cell]
        np.testing.assert_allclose(thin.points[row], cloud.points[inside].mean(0))
        mean = cloud.normals[inside].mean(0)
        np.testing.assert_allclose(thin.normals[row], mean / np.linalg.norm(mean))
        assert thin.labels[row] == np.bincount(cloud.labels[inside]).argmax()


def test_simplify_with_an_offset_agrees_with_a_loop_over_points():
    """In the words of O-CNN: enlarge the sphere, displace, fit a grid to the sphere, average, displace back."""
    cloud, dim, offset = random_cloud(3000), 16, 0.55
    cloud = PointCloud(cloud.points / np.linalg.norm(cloud.points, axis=1).max(), cloud.normals)
    radius = 1.001
    displacement = offset * 2 * radius / dim
    radius += displacement * 1.001
    cells: dict[tuple, list[tuple[np.ndarray, np.ndarray]]] = {}
    for point, normal in zip(cloud.points, cloud.normals, strict=True):
        moved = point + displacement * normal
        cell = tuple(int((moved[axis] + radius) * dim / (2 * radius)) for axis in range(3))
        cells.setdefault(cell, []).append((moved, normal))
    thin = simplify(cloud, dim, offset)
    assert len(thin.points) == len(cells)
    for row, cell in enumerate(sorted(cells)):
        point, normal = (np.mean(values, axis=0) for values in zip(*cells[cell], strict=True))
        normal /= np.linalg.norm(normal)
        np.testing.assert_allclose(thin.normals[row], normal, atol=1e-12)
        np.testing.assert_allclose(thin.points[row], point - displacement * normal, atol=1e-12)


def test_the_offset_keeps_the_sides_of_a_thin_sheet_apart():
    sides = np.repeat([-0.001, 0.001], 20_000)
    flat = np.random.default_rng(0).uniform(-0.7, 0.7, (40_000, 2))
    cloud = PointCloud(np.c_[flat, sides + 0.01], np.c_[np.zeros((40_000, 2)), np.sign(sides)])
    thin = simplify(cloud)
    np.testing.assert_allclose(thin.points[:, 2], 0.01 + 0.001 * thin.normals[:, 2], atol=1e-12)
    assert 0.4 < (thin.normals[:, 2] > 0).mean() < 0.6
    assert len(simplify(cloud, offset=0).points) < 0.6 * len(thin.points)


def test_opposite_normals_in_a_cell_leave_a_unit_normal():
    up = np.array([0, 0, 1.0])
    thin = simplify(PointCloud(np.zeros((2, 3)), np.stack([up, -up])), offset=0)
    np.testing.assert_array_equal(thin.normals, [up])
    sides = np.array([[0.1, 0.1, 0.1 - 1 / 60], [0.1, 0.1, 0.1 + 1 / 60]])  # moved into one cell
    thin = simplify(PointCloud(sides, np.stack([up, -up])))
    np.testing.assert_allclose([*thin.points, *thin.normals], [sides.mean(0), up])
    cells = np.repeat([[-0.5], [0.5]], 3, axis=1)[[1, 0, 1, 0]]
    thin = simplify(PointCloud(cells, np.stack([-up, up, up, -up])), offset=0)
    np.testing.assert_array_equal(thin.normals, [up, -up])  # of the first point of each cell


def test_patches_are_near_their_own_centre_and_repeat_themselves():
    points = random_cloud(2000).points
    patches = cluster_patches(points, 20, seed=7)
    centers = np.stack([points[patches == patch].mean(0) for patch in range(20)])
    nearest = np.linalg.norm(points[:, None] - centers, axis=2).argmin(1)
    assert patches.dtype == np.uint8 and np.mean(nearest == patches) > 0.97  # k-means stops within a tolerance
    assert np.array_equal(patches, cluster_patches(points, 20, seed=7))


def test_patches_are_as_compact_as_those_of_scikit_learn():
    """Within 1 % on average; one clustering differs from another of the same library by as much."""
    ratios = []
    for seed in range(8):
        random = np.random.default_rng(seed)
        points = random.normal(size=(5000, 3)) * random.uniform(0.2, 1, 3)
        points /= np.linalg.norm(points / random.uniform(0.3, 1, 3), axis=1, keepdims=True)
        patches = cluster_patches(points, 100, seed)
        spread = sum(((points[patches == patch] - points[patches == patch].mean(0)) ** 2).sum() for patch in range(100))
        ratios.append(spread / KMeans(100, n_init=1, random_state=seed).fit(points).inertia_)
    assert np.mean(ratios) < 1.01 and max(ratios) < 1.03


def test_every_patch_has_points_even_if_most_points_are_the_same():
    points = np.concatenate([np.zeros((2000, 3)), random_cloud(120).points])
    assert len(set(cluster_patches(points, 100, 0))) == 100


@pytest.mark.parametrize("grid", [64, 200])
def test_simplify_does_not_depend_on_the_way_cells_are_numbered(grid):
    cloud = random_cloud(3000)
    cells = {tuple(cell) for cell in np.floor((cloud.points + 1) / 2 * grid).astype(int)}
    assert len(simplify(cloud, grid, offset=0).points) == len(cells)


@pytest.mark.parametrize("count", [1, 5, 99])
def test_fewer_points_than_patches_get_a_patch_each(count):
    assert sorted(cluster_patches(random_cloud(count).points, 100, 0)) == list(range(count))
    assert len(set(cluster_patches(np.repeat(random_cloud(count).points, 3, axis=0), 100, 0))) == count


@pytest.fixture(scope="module")
def box() -> Mesh:
    shape = trimesh.creation.box((2, 4, 6))
    shape.apply_translation((7, 8, 9))
    return Mesh(np.asarray(shape.vertices), np.asarray(shape.faces, np.int64), np.arange(12) % 2)


@pytest.mark.parametrize("method", ["scan", "sample"])
def test_a_prepared_shape_is_normalised_and_can_be_put_back(box, method):
    shape = make_shape(box, "box", Pipeline(method=method, resolution=64))
    np.testing.assert_allclose(bounding_sphere(shape.points)[0], 0, atol=1e-5)
    assert 1 - 1e-5 < np.linalg.norm(shape.points, axis=1).max() <= 1
    assert shape.points.dtype == np.float32 and set(shape.labels.tolist()) == {0, 1}
    np.testing.assert_allclose(np.linalg.norm(shape.normals, axis=1), 1, atol=1e-6)
    assert len(np.unique(shape.patches)) == 100
    assert shape.radius == pytest.approx(np.sqrt(1 + 4 + 9), rel=0.02)
    back = np.abs(shape.points * shape.radius + shape.center - (7, 8, 9)) / (1, 2, 3)
    # every point on the surface, but for cells at an edge that average two faces
    assert np.mean(np.isclose(back.max(1), 1, atol=1e-3)) > 0.85


def test_a_point_cloud_is_not_scanned(box):
    cloud = random_cloud(500, labels=3)
    shape = make_shape(cloud, "cloud", Pipeline(grid=None, patches=0))
    np.testing.assert_allclose(shape.points * shape.radius + shape.center, cloud.points, atol=1e-6)
    np.testing.assert_array_equal(shape.labels, cloud.labels)
    assert shape.patches is None


def test_unusable_point_clouds_are_refused():
    cloud = random_cloud(5)
    for bad, reason in [
        (PointCloud(cloud.points), "without normals"),
        (PointCloud(cloud.points * np.nan, cloud.normals), "not finite"),
        (PointCloud(cloud.points, cloud.normals * 0), "no point has a normal"),
        (PointCloud(cloud.points[:1], cloud.normals[:1]), "all points are the same"),
        (PointCloud(cloud.points[:0], cloud.normals[:0]), "no point"),
    ]:
        with pytest.raises(InputError, match=f"x: .*{reason}"):
            make_shape(bad, "x")


def test_options_out_of_range_are_refused():
    for wrong in ({"method": "guess"}, {"patches": 257}, {"grid": 0}, {"resolution": 0}, {"points": 0}, {"offset": -1}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            Pipeline(**wrong)

"""The scanner and the sampler, against geometry that is known."""

import shutil

import numpy as np
import pytest
import trimesh
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from data_prep import sampling
from data_prep.mesh import TO_Y_UP, Mesh, face_normals
from data_prep.sampling import sample, scan


@pytest.fixture(params=["compiled", "Open3D"], autouse=True)
def scanner(request, monkeypatch):
    """The compiled rasterizer, or Open3D's ray casting in its place: all tests hold for both."""
    if request.param == "Open3D":
        monkeypatch.setattr(sampling, "_rasterizer", None)
    elif sampling._rasterizer is None:
        pytest.skip("the rasterizer is not compiled here")


def as_mesh(shape: trimesh.Trimesh, labels=None) -> Mesh:
    return Mesh(np.asarray(shape.vertices, float), np.asarray(shape.faces, np.int64), labels)


@pytest.fixture(scope="module")
def sphere() -> Mesh:
    ball = trimesh.creation.icosphere(4, radius=3.0)
    ball.apply_translation((10, 20, 30))
    return as_mesh(ball)


def test_scan_of_a_sphere_lies_on_it_with_outward_normals(sphere):
    hits = scan(sphere, 64)
    outward = (hits.points - (10, 20, 30)) / 3
    np.testing.assert_allclose(np.linalg.norm(outward, axis=1), 1, atol=5e-3)
    assert ((hits.normals * outward).sum(1) > 0.99).all()
    np.testing.assert_allclose(np.linalg.norm(hits.normals, axis=1), 1, atol=1e-9)
    # each view is a disc in a square: π/4 of its rays hit
    assert len(hits.points) == pytest.approx(14 * 64**2 * np.pi / 4, rel=0.02)


def every_ray(mesh: Mesh, resolution: int) -> tuple[np.ndarray, np.ndarray]:
    """Points and normals of O-CNN's virtual scanner, every ray cast in float64 by the plane of each triangle.

    Rays start at the center of the bounding box plus half its diagonal towards the viewer, on a grid whose axes are
    x and y, turned by the least rotation that turns z towards the viewer. The view along -z has the grid of z.
    """
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    step = (high - low).max() / resolution
    corners = [(high - low) * (x, y, z) for x in (1, -1) for y in (1, -1) for z in (1, -1)]
    first, second, third = (mesh.vertices[mesh.faces[:, corner]] for corner in range(3))
    facing = np.cross(second - first, third - first)
    points, normals = [], []
    for towards in [*np.eye(3), *-np.eye(3), *corners]:
        viewer = towards / np.linalg.norm(towards)
        turn, axis = np.arccos(viewer[2]), np.cross((0, 0, 1), viewer)
        grid = np.eye(3) if not axis.any() else Rotation.from_rotvec(turn * axis / np.linalg.norm(axis)).as_matrix()
        for row in range(resolution):
            for column in range(resolution):
                across, up = (step * (cell - (resolution - 1) / 2) for cell in (column, row))
                start = (low + high) / 2 + np.linalg.norm(high - low) / 2 * viewer + grid[:, :2] @ (across, up)
                with np.errstate(divide="ignore", invalid="ignore"):
                    depth = ((first - start) * facing).sum(1) / (-viewer * facing).sum(1)
                    at = start - depth[:, None] * viewer
                    inside = np.isfinite(depth)
                    for one, other in ((first, second), (second, third), (third, first)):
                        inside &= (np.cross(other - one, at - one) * facing).sum(1) >= 0
                if inside.any():
                    nearest = np.where(inside, depth, np.inf).argmin()
                    normal = facing[nearest] / np.linalg.norm(facing[nearest])
                    points.append(at[nearest])
                    normals.append(normal if normal @ viewer > 0 else -normal)
    return np.array(points), np.array(normals)


@pytest.fixture(scope="module")
def tilted() -> Mesh:
    """A flat box beside a ball; the longest side of their bounding box is less than its diagonal views need."""
    tilt = trimesh.transformations.euler_matrix(0.5, 1, 2)
    flat = trimesh.creation.box((0.31, 1.7, 0.9)).apply_transform(tilt).apply_translation((0.4, -3, 8))
    ball = trimesh.creation.icosphere(1, 0.6).apply_transform(tilt).apply_translation((0.1, -2, 9))
    return as_mesh(trimesh.util.concatenate([flat, ball]))


@pytest.mark.parametrize("resolution", [16, 17])
def test_scan_equals_casting_every_ray(tilted, resolution):
    hits = scan(tilted, resolution)
    found, expected = np.hstack([hits.points, hits.normals]), np.hstack(every_ray(tilted, resolution))
    assert len(found) == len(expected)
    np.testing.assert_allclose(KDTree(expected).query(found)[0], 0, atol=1e-5)
    np.testing.assert_allclose(KDTree(found).query(expected)[0], 0, atol=1e-5)


@pytest.mark.parametrize("up", ["x", "z"])
def test_the_rays_depend_on_the_axes_of_the_source(tilted, up):
    turned = Mesh(tilted.vertices[:, TO_Y_UP[up]], tilted.faces, up=up)
    np.testing.assert_allclose(scan(turned, 32).points, scan(tilted, 32).points[:, TO_Y_UP[up]], atol=1e-5)
    assert len(scan(Mesh(turned.vertices, turned.faces), 32).points) != len(scan(turned, 32).points)


def test_a_flat_sheet_is_seen_from_both_sides():
    sheet = Mesh(np.array([[0, 0, 5.0], [2, 0, 5], [2, 1, 5], [0, 1, 5]]), np.array([[0, 1, 2], [0, 2, 3]]))
    hits = scan(sheet, 8)
    assert sorted(hits.normals.tolist()) == [[0, 0, -1]] * 32 + [[0, 0, 1]] * 32  # 8 × 4 rays of either view along z
    np.testing.assert_allclose(hits.points[:, 2], 5)


def test_rasterizer_and_ray_casting_agree(monkeypatch):
    if sampling._rasterizer is None:
        pytest.skip("the rasterizer is not compiled here")
    shapes = [
        trimesh.creation.torus(1, 0.3),
        trimesh.creation.box((3, 0.01, 0.2)),  # long, thin triangles
        trimesh.creation.icosphere(3, 0.7).apply_translation((1, 0.2, 0)),
    ]
    mesh = as_mesh(trimesh.util.concatenate(shapes))
    drawn = scan(mesh, 101)
    monkeypatch.setattr(sampling, "_rasterizer", None)
    cast = scan(mesh, 101)
    assert len(drawn.points) == len(cast.points) > 10_000
    assert (np.abs(drawn.points - cast.points).max(1) > 1e-5).mean() < 1e-3  # where surfaces meet
    assert (drawn.triangles != cast.triangles).mean() < 1e-2  # on common edges


def test_the_rasterizer_is_compiled_where_a_compiler_is():
    if shutil.which("c++") is None:
        pytest.skip("no C++ compiler")
    assert sampling._load_rasterizer() is not None


def test_a_rod_between_the_rays_is_missed_from_every_side():
    rod = as_mesh(trimesh.creation.box((1e-5, 1e-5, 1)))
    assert len(scan(rod, 2).points) == 0


def test_normals_face_the_viewer_however_the_faces_are_wound(sphere):
    turned = Mesh(
        sphere.vertices, np.where(np.arange(len(sphere.faces))[:, None] % 2, sphere.faces[:, ::-1], sphere.faces)
    )
    np.testing.assert_allclose(scan(turned, 16).normals, scan(sphere, 16).normals, atol=1e-6)


def test_scanner_sees_the_outside_only_and_the_sampler_all():
    inner, outer = trimesh.creation.box((1, 1, 1)), trimesh.creation.box((2, 2, 2))
    nested = Mesh(
        np.vstack([inner.vertices, outer.vertices]),
        np.vstack([inner.faces, outer.faces + 8]),
        np.repeat([0, 1], 12),
    )
    hits, drawn = scan(nested, 32), sample(nested, 20_000, seed=0)
    assert set(hits.as_cloud(nested).labels.tolist()) == {1}
    assert np.mean(drawn.as_cloud(nested).labels == 0) == pytest.approx(6 / 30, abs=0.01)  # by area


def test_every_point_lies_on_its_triangle(sphere):
    for surface in (scan(sphere, 32), sample(sphere, 5000, seed=1)):
        corners = sphere.vertices[sphere.faces[surface.triangles]]
        weights = trimesh.triangles.points_to_barycentric(corners, surface.points)
        rebuilt = (weights[:, :, None] * corners).sum(1)
        assert weights.min() > -1e-3
        np.testing.assert_allclose(rebuilt, surface.points, atol=1e-4)


def test_units_and_position_do_not_change_a_scan(sphere):
    small = Mesh(sphere.vertices * 1e-6, sphere.faces)
    np.testing.assert_allclose(scan(small, 32).points, scan(sphere, 32).points * 1e-6, rtol=1e-4)


def test_scan_and_sample_repeat_themselves(sphere):
    assert np.array_equal(scan(sphere, 32).points, scan(sphere, 32).points)
    assert np.array_equal(sample(sphere, 100, seed=5).points, sample(sphere, 100, seed=5).points)
    assert not np.array_equal(sample(sphere, 100, seed=5).points, sample(sphere, 100, seed=6).points)


def test_sampling_is_even_by_area_and_ignores_faces_without_any():
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [3, 0, 0], [0, 0, 3.0]])
    mesh = Mesh(corners, np.array([[0, 1, 2], [0, 3, 4]]))
    areas = np.linalg.norm(face_normals(mesh.vertices, mesh.faces), axis=1)
    drawn = sample(mesh, 50_000, seed=0)
    np.testing.assert_allclose(np.bincount(drawn.triangles) / 50_000, areas / areas.sum(), atol=0.01)
    first = drawn.points[drawn.triangles == 0]
    np.testing.assert_allclose(first.mean(0), [1 / 3, 1 / 3, 0], atol=0.01)  # the centroid, so even inside too
    np.testing.assert_allclose(drawn.normals[drawn.triangles == 0], [[0, 0, 1]] * len(first), atol=1e-12)

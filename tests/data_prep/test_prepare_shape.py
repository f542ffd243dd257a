"""``data_prep.prepare_shape`` and the public names of ``data_prep``."""

import subprocess
import sys

import numpy as np
import pytest
import trimesh

import data_prep
from pcrq import InputError
from pcrq.stores.shape_store import ShapeStore


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("meshes")
    tilt = trimesh.transformations.euler_matrix(0.1, 0.2, 0.3)  # no ray meets an edge in a plane of symmetry
    trimesh.creation.annulus(0.3, 0.5, 0.2, transform=tilt).export(folder / "ring.obj")
    trimesh.creation.capsule(1, 0.3).export(folder / "capsule.stl")
    return folder


@pytest.mark.parametrize("options", [{}, {"method": "sample", "points": 5000, "patches": 20, "seed": 3}])
def test_a_prepared_shape_equals_the_one_in_the_store(folder, tmp_path, options):
    found = data_prep.collect_meshes(folder, up="z")
    out = tmp_path / "store.h5"
    data_prep.prepare(found.items, out, classes=found.classes, pipeline=data_prep.Pipeline(**options), jobs=1)
    for expected in ShapeStore(out):
        shape = data_prep.prepare_shape(folder / expected.id, up="z", **options)
        assert shape.id == expected.id
        np.testing.assert_array_equal(shape.points, expected.points)
        np.testing.assert_array_equal(shape.patches, expected.patches)
        np.testing.assert_allclose(shape.normals, expected.normals, atol=0.01)  # int8 in the store
        np.testing.assert_array_equal(np.float32(shape.center), np.float32(expected.center))
        assert np.float32(shape.radius) == np.float32(expected.radius)


def test_a_trimesh_and_a_scene_equal_their_file(folder):
    expected = data_prep.prepare_shape(str(folder / "ring.obj"))
    mesh = trimesh.load(folder / "ring.obj", process=False)
    moved = trimesh.transformations.translation_matrix([1, 2, 3])
    scene = trimesh.Scene(mesh.copy().apply_transform(moved))
    scene.apply_transform(np.linalg.inv(moved))
    for source in (mesh, scene):
        shape = data_prep.prepare_shape(source, id="ring.obj")
        assert len(shape.points) == len(expected.points)
        np.testing.assert_allclose(shape.points, expected.points, atol=1e-5)
    assert data_prep.prepare_shape(mesh).id == "shape"


def test_a_point_cloud_file_with_normals_is_not_scanned(tmp_path):
    points = np.random.default_rng(0).standard_normal((500, 3))
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    np.savetxt(tmp_path / "ball.xyz", np.hstack([unit, unit]))
    shape = data_prep.prepare_shape(tmp_path / "ball.xyz", patches=0)
    assert 400 < len(shape.points) <= 500
    assert shape.patches is None
    np.testing.assert_allclose(shape.points, shape.normals, atol=0.05)


def test_unusable_sources_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"ndarray is not a mesh; pass a path, a trimesh\.Trimesh"):
        data_prep.prepare_shape(np.zeros((3, 3)))
    with pytest.raises(InputError, match="no such file"):
        data_prep.prepare_shape(tmp_path / "none.obj")
    with pytest.raises(InputError, match="method 'both' is not one of"):
        data_prep.prepare_shape(trimesh.creation.box(), method="both")
    with pytest.raises(InputError, match="up='up' is not one of 'x', 'y' and 'z'"):
        data_prep.prepare_shape(trimesh.creation.box(), up="up")


def test_every_public_name_is_importable_and_listed():
    for name in data_prep.__all__:
        assert getattr(data_prep, name) is not None
        assert name in dir(data_prep)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        data_prep.nothing  # noqa: B018


def test_importing_the_package_loads_no_library():
    code = (
        "import sys, data_prep; print([name for name in ('numpy', 'trimesh', 'open3d', 'h5py') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "[]\n"

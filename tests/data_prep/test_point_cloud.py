"""Reading point clouds: every format, with and without normals, and what is refused."""

import numpy as np
import pytest
import trimesh

from data_prep.mesh import Mesh
from data_prep.pipeline import load_shape_file
from data_prep.point_cloud import load_point_cloud
from pcrq import InputError


@pytest.fixture
def points():
    return np.random.default_rng(0).normal(size=(20, 3))


@pytest.fixture
def normals(points):
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def ply_text(table: np.ndarray, columns: str) -> str:
    header = "".join(f"property double {name}\n" for name in columns.split())
    rows = "\n".join(" ".join(map(repr, row)) for row in table.tolist())
    return f"ply\nformat ascii 1.0\nelement vertex {len(table)}\n{header}end_header\n{rows}\n"


def test_formats_with_normals(tmp_path, points, normals):
    both = np.hstack([points, normals])
    (tmp_path / "a.ply").write_text(ply_text(both, "x y z nx ny nz"))
    np.savez(tmp_path / "a.npz", points=points, normals=normals * 3)
    np.savetxt(tmp_path / "a.xyz", both)
    np.savetxt(tmp_path / "a.txt", np.hstack([both, np.ones((20, 1))]))  # ShapeNet Part: the label comes last
    for name in ("a.ply", "a.npz", "a.xyz", "a.txt"):
        cloud = load_point_cloud(tmp_path / name)
        np.testing.assert_allclose(cloud.points, points, atol=1e-6)
        np.testing.assert_allclose(cloud.normals, normals, atol=1e-6)


def test_formats_without_normals(tmp_path, points):
    (tmp_path / "a.ply").write_bytes(trimesh.PointCloud(points).export(file_type="ply"))
    np.savez(tmp_path / "a.npz", points)
    colours = np.random.default_rng(1).integers(0, 255, (20, 4))
    np.savetxt(tmp_path / "a.pts", np.hstack([points, colours]), header="20", comments="")
    for name in ("a.ply", "a.npz", "a.pts"):
        cloud = load_point_cloud(tmp_path / name)
        np.testing.assert_allclose(cloud.points, points, atol=1e-6)
        assert cloud.normals is None


def test_pickled_arrays_are_refused_unread(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was loaded",))

    np.savez(tmp_path / "trap.npz", points=np.array([Trap()], object))
    with pytest.raises(InputError, match=r"trap\.npz: .*pickled"):
        load_point_cloud(tmp_path / "trap.npz")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.xyz", "", "empty"),
        ("a.xyz", "a b c\n", "not a readable point cloud"),
        ("a.xyz", "1 2\n", "lines of"),
        ("a.xyz", "1 2 3\n4 5\n", "lines of"),
        ("a.xyz", "nan 0 0\n", "not finite"),
        ("a.npz", "nonsense", "does not begin like"),
        ("a.npz", "PK\x03\x04 cut", "truncated"),
        ("a.ply", "nonsense", "not a readable"),
        ("a.las", "LASF", "not one of"),
    ],
)
def test_unusable_files_are_refused_with_the_reason(tmp_path, name, content, reason):
    path = tmp_path / name
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=rf"{name}: .*{reason}"):
        load_point_cloud(path)


def test_points_that_are_not_finite_are_left_out(tmp_path):
    (tmp_path / "a.xyz").write_text("0 0 0\nnan 0 0\n1 inf 0\n1 2 3\n")
    assert load_point_cloud(tmp_path / "a.xyz").points.tolist() == [[0, 0, 0], [1, 2, 3]]


def test_shape_file_tells_a_ply_with_faces_from_one_without(tmp_path, points):
    trimesh.creation.box().export(tmp_path / "mesh.ply")
    (tmp_path / "cloud.ply").write_bytes(trimesh.PointCloud(points).export(file_type="ply"))
    assert isinstance(load_shape_file(tmp_path / "mesh.ply"), Mesh)
    assert len(load_shape_file(tmp_path / "cloud.ply").points) == 20

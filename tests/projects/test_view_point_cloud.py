"""Point-cloud files that ``pcrq view`` can show."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import trimesh

from pcrq.errors import InputError
from projects.cli import main
from projects.point_cloud.view.point_cloud_file import is_point_cloud, read_point_cloud
from projects.point_cloud.view.shape_source import load_shape

NORMALS = np.random.default_rng(0).normal(size=(500, 3))
NORMALS /= np.linalg.norm(NORMALS, axis=1, keepdims=True)
POINTS = 2 * NORMALS + 5


def write_ply(path: Path, columns: np.ndarray, binary: bool = True) -> None:
    names = ("x", "y", "z", "nx", "ny", "nz")[: columns.shape[1]]
    kind = "binary_little_endian" if binary else "ascii"
    header = [f"ply\nformat {kind} 1.0\nelement vertex {len(columns)}", *(f"property float {name}" for name in names)]
    body = columns.astype("<f4").tobytes() if binary else "\n".join(" ".join(map(str, row)) for row in columns).encode()
    path.write_bytes("\n".join([*header, "end_header\n"]).encode() + body)


def write(path: Path, columns: np.ndarray) -> None:
    if path.suffix == ".ply":
        write_ply(path, columns, binary="ascii" not in path.stem)
    else:
        np.savetxt(path, columns, delimiter="," if path.suffix == ".txt" else " ")


FILES = ["cloud.ply", "ascii.ply", "cloud.xyz", "cloud.xyzn", "cloud.txt"]


@pytest.mark.parametrize("name", FILES)
def test_points_and_normals_arrive(name, tmp_path):
    write(tmp_path / name, np.hstack([POINTS, NORMALS]))
    assert is_point_cloud(tmp_path / name)
    cloud = read_point_cloud(tmp_path / name)
    np.testing.assert_allclose(cloud.points, POINTS, atol=1e-5)
    np.testing.assert_allclose(cloud.normals, NORMALS, atol=1e-5)


@pytest.mark.parametrize("name", FILES)
def test_missing_normals_are_estimated_and_look_outward(name, tmp_path, caplog):
    write(tmp_path / name, POINTS)
    with caplog.at_level(logging.INFO):
        cloud = read_point_cloud(tmp_path / name)
    assert (np.sum(cloud.normals * NORMALS, axis=1) > 0.9).mean() > 0.95
    assert "no normals" in caplog.text


def test_colours_in_a_text_file_are_not_normals(tmp_path):
    np.savetxt(tmp_path / "cloud.xyz", np.hstack([POINTS, np.full((500, 3), 255.0)]))
    normals = read_point_cloud(tmp_path / "cloud.xyz").normals
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-6)


def test_a_ply_with_faces_is_a_mesh(tmp_path):
    trimesh.creation.icosphere().export(tmp_path / "ball.ply")
    assert not is_point_cloud(tmp_path / "ball.ply")


def test_points_that_are_not_finite_are_left_out(tmp_path):
    columns = np.hstack([POINTS, NORMALS])
    columns[3, 0] = np.nan
    write(tmp_path / "cloud.xyz", columns)
    assert len(read_point_cloud(tmp_path / "cloud.xyz").points) == 499


def test_a_cloud_becomes_a_shape_in_the_unit_ball(tmp_path):
    write(tmp_path / "cloud.ply", np.hstack([POINTS, NORMALS]))
    shape, parts = load_shape(str(tmp_path / "cloud.ply"))
    assert (shape.id, parts, shape.labels) == ("cloud", [], None)
    np.testing.assert_allclose(np.linalg.norm(shape.points, axis=1), 1, atol=0.01)


@pytest.mark.parametrize("name", ["cloud.ply", "ascii.ply"])
def test_a_file_cut_short_is_refused(name, tmp_path):
    write(tmp_path / name, np.hstack([POINTS, NORMALS]))
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(InputError, match=name):
        read_point_cloud(tmp_path / name)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", [b"", b"hello world\n", b"\x00\xff\x80", b"ply\nformat ascii 1.0\nend_header\n"])
def test_a_file_that_is_something_else_is_refused_in_one_line(name, content, tmp_path, capsys):
    (tmp_path / name).write_bytes(content)
    assert main(["view", str(tmp_path / name), "--save", str(tmp_path / "x.png")]) == 2
    error = capsys.readouterr().err
    assert name in error.splitlines()[-1]
    assert not (tmp_path / "x.png").exists()

"""Point-cloud files in ``pcrq view``; reading them is tested where it lives, in ``data_prep``."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import trimesh

from projects.cli import main
from projects.point_cloud.view.cloud import estimate_normals, load_shape

NORMALS = np.random.default_rng(0).normal(size=(500, 3))
NORMALS /= np.linalg.norm(NORMALS, axis=1, keepdims=True)
POINTS = 2 * NORMALS + 5


def write_ply(path: Path, columns: np.ndarray) -> None:
    names = ("x", "y", "z", "nx", "ny", "nz")[: columns.shape[1]]
    header = ["ply\nformat binary_little_endian 1.0", f"element vertex {len(columns)}"]
    header += [*(f"property float {name}" for name in names), "end_header\n"]
    path.write_bytes("\n".join(header).encode() + columns.astype("<f4").tobytes())


@pytest.mark.parametrize("name", ["cloud.ply", "cloud.xyz"])
def test_a_cloud_becomes_a_shape_in_the_unit_ball(name, tmp_path):
    columns = np.hstack([POINTS, NORMALS])
    write_ply(tmp_path / name, columns) if name.endswith("ply") else np.savetxt(tmp_path / name, columns)
    shape, parts = load_shape(str(tmp_path / name))
    assert (shape.id, parts, shape.labels) == ("cloud", [], None)
    np.testing.assert_allclose(np.linalg.norm(shape.points, axis=1), 1, atol=0.01)
    np.testing.assert_allclose(shape.normals, shape.points, atol=0.05)  # on a sphere they are the same


def test_a_ply_with_faces_is_a_mesh_and_is_scanned(tmp_path):
    trimesh.creation.icosphere(subdivisions=1).export(tmp_path / "ball.ply")
    shape, _ = load_shape(str(tmp_path / "ball.ply"))
    assert len(shape.points) > 3000  # of 42 vertices


def test_missing_normals_are_estimated_and_look_outward(tmp_path, caplog):
    assert (np.sum(estimate_normals(POINTS) * NORMALS, axis=1) > 0.9).mean() > 0.95
    np.savetxt(tmp_path / "cloud.xyz", POINTS)
    with caplog.at_level(logging.INFO):
        load_shape(str(tmp_path / "cloud.xyz"))
    assert "no normals" in caplog.text


@pytest.mark.parametrize("name", ["cloud.ply", "cloud.xyz", "cloud.npz", "cloud.txt"])
@pytest.mark.parametrize("content", [b"", b"hello world\n", b"\x00\xff\x80", b"ply\nformat ascii 1.0\nend_header\n"])
def test_a_file_that_is_something_else_is_refused_in_one_line(name, content, tmp_path, capsys):
    (tmp_path / name).write_bytes(content)
    assert main(["view", str(tmp_path / name), "--save", str(tmp_path / "x.png")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert name in error
    assert not (tmp_path / "x.png").exists()

"""``pcrq prep meshes`` as a user meets it: what it prints and its exit status."""

import pytest
import trimesh

from data_prep import prepare_shape
from pcrq.stores.shape_store import ShapeStore
from projects.cli import main


@pytest.fixture
def meshes(tmp_path):
    for name in ("chair/a.off", "chair/b.obj", "table/c.stl"):
        path = tmp_path / "meshes" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        trimesh.creation.box((1, 2, 3)).export(path)
    return tmp_path / "meshes"


def prep(source, out, *options) -> int:
    return main(["prep", "meshes", str(source), "--out", str(out), "--jobs", "1", *options])


def test_a_folder_becomes_a_store_and_the_summary_says_what_happened(meshes, tmp_path, capsys):
    (meshes / "chair" / "broken.obj").write_bytes(b"\x89PNG")
    assert prep(meshes, tmp_path / "s.h5") == 0
    printed = capsys.readouterr().out
    assert "3 shapes" in printed and "bytes per point" in printed and "per second" in printed
    assert "refused 1" in printed and "s.h5.refused.csv" in printed and "chair/broken.obj: is a PNG image" in printed
    store = ShapeStore(tmp_path / "s.h5")
    assert store.id == ["chair/a.off", "chair/b.obj", "table/c.stl"]
    assert [store.classes[c] for c in store.category] == ["chair", "chair", "table"]
    assert (tmp_path / "s.h5").stat().st_size / store.counts.sum() < 25  # small store: tables weigh in

    assert prep(meshes, tmp_path / "s.h5") == 0
    printed = capsys.readouterr().out
    assert "up to date" in printed and "refused 1" in printed


def test_changed_options_need_force(meshes, tmp_path, capsys):
    assert prep(meshes, tmp_path / "s.h5", "--method", "sample", "--points", "3000") == 0
    assert prep(meshes, tmp_path / "s.h5") == 2
    assert "--force" in capsys.readouterr().err
    assert prep(meshes, tmp_path / "s.h5", "--force") == 0
    assert ShapeStore(tmp_path / "s.h5").parameters["method"] == "scan"


def test_resolution_is_that_of_the_scanner_and_recorded(meshes, tmp_path):
    assert prep(meshes, tmp_path / "s.h5", "--resolution", "16") == 0
    store = ShapeStore(tmp_path / "s.h5")
    assert store.parameters["resolution"] == 16
    shape = prepare_shape(meshes / "chair" / "b.obj", id="chair/b.obj", resolution=16)
    assert store[1].points.tolist() == shape.points.tolist()


def test_offset_is_that_of_the_simplification_and_recorded(meshes, tmp_path):
    for offset in (0.55, 0.0):
        options = ["--offset", str(offset)] if offset != 0.55 else []
        assert prep(meshes, tmp_path / "s.h5", "--resolution", "64", "--force", *options) == 0
        store = ShapeStore(tmp_path / "s.h5")
        assert (store.parameters["offset"], store.parameters["preparation"]) == (offset, 3)
        shape = prepare_shape(meshes / "chair" / "b.obj", id="chair/b.obj", resolution=64, offset=offset)
        assert store[1].points.tolist() == shape.points.tolist()


def test_up_axis_is_brought_to_y(meshes, tmp_path):
    assert prep(meshes, tmp_path / "z.h5", "--up", "z") == 0
    points = ShapeStore(tmp_path / "z.h5")[0].points
    assert abs(points[:, 1]).max() / abs(points[:, 2]).max() == pytest.approx(3, rel=0.05)


def test_a_folder_of_broken_meshes_is_an_error(tmp_path, capsys):
    (tmp_path / "meshes").mkdir()
    for name in ("a.obj", "b.off"):
        (tmp_path / "meshes" / name).write_text("broken")
    assert prep(tmp_path / "meshes", tmp_path / "s.h5") == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("pcrq: error:") and "none of the 2" in error and "s.h5.refused.csv" in error
    assert (tmp_path / "s.h5.refused.csv").read_text().count("\n") == 3


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--points", "10"], "--points"),
        (["--method", "sample", "--points", "0"], "points 0"),
        (["--method", "sample", "--resolution", "64"], "--resolution"),
        (["--resolution", "1"], "resolution 1"),
        (["--offset", "-0.1"], "offset -0.1 is not in [0, 1]"),
        (["--labels", "no.csv"], "no.csv"),
    ],
)
def test_wrong_options_are_named(meshes, tmp_path, capsys, options, named):
    assert prep(meshes, tmp_path / "s.h5", *options) == 2
    assert named in capsys.readouterr().err


def test_help_shows_an_example(capsys):
    with pytest.raises(SystemExit):
        main(["prep", "meshes", "--help"])
    assert "pcrq prep meshes furniture.zip --out furniture.h5" in capsys.readouterr().out

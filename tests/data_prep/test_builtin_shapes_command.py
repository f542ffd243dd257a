"""``pcrq prep shapes`` as a user meets it."""

import pytest

from pcrq.stores.shape_store import ShapeStore
from projects.cli import main


def test_store_has_the_chosen_categories_parts_and_splits(tmp_path):
    out = tmp_path / "s.h5"
    words = ["prep", "shapes", "--count", "5", "--categories", "mug, knife", "--method", "sample", "--points", "2000"]
    assert main([*words, "--jobs", "1", "--out", str(out)]) == 0
    store = ShapeStore(out)
    assert store.classes == ["mug", "knife"]
    assert store.parts == ["mug/handle", "mug/body", "knife/blade", "knife/handle"]
    assert len(store) == 10 and [len(store.indices(split)) for split in ("train", "test")] == [8, 2]


def test_layout_is_written_instead_of_a_store(tmp_path, capsys):
    words = ["prep", "shapes", "--layout", "modelnet40", "--count", "5", "--categories", "mug"]
    assert main([*words, "--out", str(tmp_path / "m")]) == 0
    assert len(list((tmp_path / "m" / "mug").rglob("*.off"))) == 5
    assert "5 shapes of 1 categories" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--categories", "chair,spoon", "--out", "s.h5"], "'spoon'; available: airplane"),
        (["--count", "0", "--out", "s.h5"], "count 0"),
        (["--out", "s.txt"], "must end in .h5"),
        (["--layout", "modelnet40", "--out", "s.h5"], "writes a folder"),
        (
            ["--layout", "modelnet40", "--points", "9", "--out", "m"],
            "leave --method, --resolution, --points, --offset, --jobs out",
        ),
        (["--layout", "shapenet-part", "--categories", "vase", "--out", "m"], "no category 'vase'"),
        (["--layout", "shapenetcore-v1", "--out", "missing/m"], "does not exist"),
    ],
)
def test_bad_options_end_in_one_line_and_status_2(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    assert main(["prep", "shapes", *words]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error and "\n" not in error
    assert list(tmp_path.iterdir()) == []

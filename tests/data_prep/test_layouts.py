"""The written layouts, read back by a few lines that know the published formats and nothing of the writers."""

import json
import os
import re
import zipfile

import numpy as np
import pytest
from packing import pack

from data_prep.builtin_shapes import CATEGORIES, builtin_items, generate, part_names
from data_prep.layouts import write_modelnet40, write_shapenet_part, write_shapenetcore
from pcrq import InputError

pytestmark = pytest.mark.medium


def read_obj(file):
    """Vertices and zero-based faces of an OBJ file without textures."""
    rows = [line.split() for line in file.read_text().splitlines()]
    vertices = np.array([[float(word) for word in row[1:]] for row in rows if row[0] == "v"])
    return vertices, np.array([[int(word) - 1 for word in row[1:]] for row in rows if row[0] == "f"])


def read_off(file):
    """Vertices and faces of an OFF file, whose counts may stand on the line of the word OFF."""
    numbers = file.read_text().removeprefix("OFF").split()
    vertices, faces = int(numbers[0]), int(numbers[1])
    values = np.array(numbers[3:], float)
    assert len(values) == 3 * vertices + 4 * faces
    assert (values[3 * vertices :].reshape(-1, 4)[:, 0] == 3).all()
    return values[: 3 * vertices].reshape(-1, 3), values[3 * vertices :].reshape(-1, 4)[:, 1:].astype(int)


@pytest.mark.parametrize(("version", "pattern"), [(1, "*/*/model.obj"), (2, "*/*/models/model_normalized.obj")])
def test_shapenetcore(tmp_path, version, pattern):
    write_shapenetcore(tmp_path / "core", builtin_items(2, ["chair", "monitor"]), version=version)
    files = sorted((tmp_path / "core").glob(pattern))
    assert [file.relative_to(tmp_path / "core").parts[0] for file in files] == ["03001627"] * 2 + ["03211117"] * 2
    assert all(re.fullmatch("[0-9a-f]{32}", file.relative_to(tmp_path / "core").parts[1]) for file in files)
    extents = sorted(np.ptp(generate("chair", index).vertices, axis=0).tolist() for index in range(2))
    found = []
    for file in files[:2]:
        vertices, faces = read_obj(file)
        assert faces.min() == 0 and faces.max() < len(vertices)
        extent = np.ptp(vertices, axis=0)
        assert np.linalg.norm(extent) == pytest.approx(1, abs=1e-5)
        assert np.abs(vertices.max(0) + vertices.min(0)).max() < 1e-5
        found.append(extent)
    for extent in extents:  # y stays up: some file has the very proportions of the shape
        assert min(np.abs(other - extent / np.linalg.norm(extent)).max() for other in found) < 1e-5
    taxonomy = json.loads((tmp_path / "core" / "taxonomy.json").read_text())
    assert taxonomy == [
        {"synsetId": "03001627", "name": "chair", "children": [], "numInstances": 2},
        {"synsetId": "03211117", "name": "monitor", "children": [], "numInstances": 2},
    ]


def test_modelnet40(tmp_path):
    write_modelnet40(tmp_path / "m", builtin_items(10, ["chair", "lamp"]))
    for name in ("chair", "lamp"):
        train = sorted(file.name for file in (tmp_path / "m" / name / "train").iterdir())
        test = sorted(file.name for file in (tmp_path / "m" / name / "test").iterdir())
        assert train == [f"{name}_{number:04d}.off" for number in range(1, 9)]
        assert test == [f"{name}_{number:04d}.off" for number in (9, 10)]  # numbered on, as in the published data
    first_lines = [file.open().readline().strip() for file in sorted((tmp_path / "m" / "chair").rglob("*.off"))]
    assert first_lines.count("OFF") == 7 and sum(bool(re.fullmatch(r"OFF\d+ \d+ 0", line)) for line in first_lines) == 3

    order = [index for index in range(10) if index % 5 != 4] + [4, 9]
    for number in (1, 3, 9):  # the third has its counts on the line of OFF
        folder = "train" if number <= 8 else "test"
        vertices, faces = read_off(tmp_path / "m" / "chair" / folder / f"chair_{number:04d}.off")
        mesh = generate("chair", order[number - 1])
        x, y, z = vertices.T
        np.testing.assert_allclose(np.stack([y, z, x], 1), mesh.vertices, atol=1e-6)  # z up to y up
        np.testing.assert_array_equal(faces, mesh.faces)


# Published: the categories in the order of their synsets, and where each one's labels start.
OFFSETS = {"airplane": 0, "bag": 4, "cap": 6, "car": 8, "chair": 12, "earphone": 16, "guitar": 19, "knife": 22}
OFFSETS |= {"lamp": 24, "laptop": 28, "motorbike": 30, "mug": 36, "pistol": 38, "rocket": 41}
OFFSETS |= {"skateboard": 44, "table": 47}


@pytest.fixture(scope="module")
def shapenet_part(tmp_path_factory):
    """All 16 categories, ten shapes each; the items number their labels over other categories too."""
    folder = tmp_path_factory.mktemp("layouts") / "part"
    chosen = ["bed", *reversed(OFFSETS)]
    items = [item for item in builtin_items(10, chosen, validation=True) if item.category != "bed"]
    write_shapenet_part(folder, items, parts=part_names(chosen), points=800)
    return folder


def synsets(folder):
    lines = (folder / "synsetoffset2category.txt").read_text().splitlines()
    return dict(line.split("\t") for line in lines)


def test_shapenet_part_rows_hold_points_normals_and_labels(shapenet_part):
    table = synsets(shapenet_part)
    assert list(table) == [name.capitalize() for name in OFFSETS] and list(table.values()) == sorted(table.values())
    assert (table["Airplane"], table["Table"]) == ("02691156", "04379243")
    for name, offset in OFFSETS.items():
        files = list((shapenet_part / table[name.capitalize()]).iterdir())
        assert len(files) == 10
        seen = set()
        for file in files:
            rows = np.loadtxt(file)
            assert rows.shape[1] == 7 and 200 < len(rows) <= 800
            assert np.linalg.norm(rows[:, :3], axis=1).max() == pytest.approx(1, abs=1e-5)
            np.testing.assert_allclose(np.linalg.norm(rows[:, 3:6], axis=1), 1, atol=1e-3)
            seen |= set(rows[:, 6].astype(int))
        assert seen == set(range(offset, offset + len(CATEGORIES[name])))


def test_shapenet_part_labels_and_normals_are_those_of_the_surface(shapenet_part):
    tables = (shapenet_part / synsets(shapenet_part)["Table"]).iterdir()
    for rows in map(np.loadtxt, tables):
        desktop = rows[rows[:, 6] == OFFSETS["table"]]
        upper = desktop[desktop[:, 1] > desktop[:, 1].max() - 1e-4]
        assert desktop[:, 1].mean() > rows[rows[:, 6] == OFFSETS["table"] + 1][:, 1].mean(), "legs above the top"
        assert len(upper) > 50
        np.testing.assert_allclose(upper[:, 4], 1, atol=0.1)  # the top is seen from above


def test_shapenet_part_lists_name_every_file_once(shapenet_part):
    lists = {
        split: json.loads((shapenet_part / "train_test_split" / f"shuffled_{split}_file_list.json").read_text())
        for split in ("train", "val", "test")
    }
    assert {split: len(entries) for split, entries in lists.items()} == {"train": 112, "val": 16, "test": 32}
    entries = [entry for members in lists.values() for entry in members]
    files = {f"shape_data/{file.parent.name}/{file.stem}" for file in shapenet_part.glob("0*/*.txt")}
    assert len(entries) == len(set(entries)) and set(entries) == files
    first = [entry.split("/")[1] for entry in lists["train"][:20]]
    assert len(set(first)) > 5, "the lists are shuffled over the categories"


def test_packing_gives_a_zip_or_a_zip_of_zips(tmp_path):
    write_modelnet40(tmp_path / "m", builtin_items(5, ["mug", "vase"]))
    files = {str(file.relative_to(tmp_path)) for file in (tmp_path / "m").rglob("*") if file.is_file()}
    pack(tmp_path / "m", tmp_path / "flat.zip")
    with zipfile.ZipFile(tmp_path / "flat.zip") as flat:
        assert set(flat.namelist()) == files and flat.testzip() is None
    pack(tmp_path / "m", tmp_path / "nested.zip", nested=True)
    with zipfile.ZipFile(tmp_path / "nested.zip") as outer:
        assert set(outer.namelist()) == {"m/README.txt", "m/mug.zip", "m/vase.zip"}
        with outer.open("m/mug.zip") as inner:
            assert {f"m/{name}" for name in zipfile.ZipFile(inner).namelist()} == {f for f in files if "/mug/" in f}


def test_a_layout_appears_whole_or_not_at_all(tmp_path):
    def breaks_off(items):
        yield items[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_modelnet40(tmp_path / "m", builtin_items(5, ["mug"]), progress=breaks_off)
    assert os.listdir(tmp_path) == []  # noqa: PTH208  (hidden files too)


def test_only_a_folder_of_its_own_is_replaced(tmp_path):
    items, own, foreign = builtin_items(5, ["mug"]), tmp_path / "own", tmp_path / "foreign"
    write_modelnet40(own, builtin_items(5, ["vase"]))
    with pytest.raises(InputError, match=r"not empty.*--force"):
        write_modelnet40(own, items)
    write_modelnet40(own, items, force=True)
    assert {entry.name for entry in own.iterdir()} == {"README.txt", "mug"}
    foreign.mkdir()
    (foreign / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="not written by this command"):
        write_modelnet40(foreign, items, force=True)
    assert (foreign / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("no category 'bed'", lambda to: write_shapenet_part(to, builtin_items(1, ["bed"]), parts=part_names(["bed"]))),
        ("split 'val'", lambda to: write_modelnet40(to, builtin_items(4, ["mug"], validation=True))),
        ("version 3", lambda to: write_shapenetcore(to, builtin_items(1, ["mug"]), version=3)),
        (
            "1 parts; ShapeNet Part has 2",
            lambda to: write_shapenet_part(to, builtin_items(1, ["mug"]), parts=["mug/x"]),
        ),
        ("does not exist", lambda to: write_modelnet40(to / "deeper", builtin_items(1, ["mug"]))),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, message, call):
    with pytest.raises(InputError, match=message):
        call(tmp_path / "m")
    assert list(tmp_path.iterdir()) == []

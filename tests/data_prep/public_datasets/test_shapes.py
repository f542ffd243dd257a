"""The public data sets, from their layouts as their authors publish them to a store.

The layouts are written by ``data_prep.layouts``, whose own tests read them back by other means.
"""

import io
import json
import logging
import math
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from packing import pack

from data_prep.builtin_shapes import builtin_items, generate, part_names
from data_prep.layouts import SYNSETS, model_id, write_modelnet40, write_shapenet_part, write_shapenetcore
from data_prep.public_datasets import (
    collect_modelnet10,
    collect_modelnet40,
    collect_shapenet_part,
    collect_shapenetcore,
)
from pcrq import InputError
from pcrq.evaluation.features import label_subset
from pcrq.stores.shape_store import ShapeStore
from projects.cli import main

CATEGORIES = ["chair", "lamp"]


@pytest.fixture(scope="session")
def published(tmp_path_factory) -> Path:
    """The folders core1, core2, ModelNet40 and part, six shapes of each category: none is prepared yet."""
    folder = tmp_path_factory.mktemp("published")
    items = builtin_items(6, CATEGORIES)
    write_shapenetcore(folder / "core1", items, version=1)
    write_shapenetcore(folder / "core2", items, version=2)
    write_modelnet40(folder / "ModelNet40", items)
    items = builtin_items(6, CATEGORIES, validation=True)
    write_shapenet_part(folder / "part", items, parts=part_names(CATEGORIES), points=500)
    return folder


@pytest.fixture
def copy(published, tmp_path):
    """``copy(name)``: a published folder to break."""
    return lambda name: Path(shutil.copytree(published / name, tmp_path / name))


def prep(command: str, source, out, *options) -> int:
    return main(["prep", command, str(source), "--out", str(out), "--jobs", "1", *options])


def in_all_packings(folder: Path, target: Path, *, nested: bool) -> dict[str, Path]:
    """The folder itself, in a zip, in a zip of zips, and as a folder of zips."""
    pack(folder, target / "flat.zip")
    packings = {"folder": folder, "zip": target / "flat.zip"}
    if nested:
        pack(folder, target / "nested.zip", nested=True)
        zipfile.ZipFile(target / "nested.zip").extractall(target / "zips")
        packings |= {"zip of zips": target / "nested.zip", "folder of zips": target / "zips"}
    return packings


def same_mesh(mesh, vertices, faces) -> bool:
    """Whether two meshes have the same corners of their faces, in whatever order they number them."""
    mine = np.sort(mesh.vertices[mesh.faces].reshape(-1, 9).round(4), axis=0)
    theirs = np.sort(vertices[faces].reshape(-1, 9).round(4), axis=0)
    return mine.shape == theirs.shape and np.abs(mine - theirs).max() < 1e-3


# ------------------------------------------------------------------------------------------------ ShapeNetCore


@pytest.mark.parametrize("version", [1, 2])
def test_shapenetcore_is_the_same_in_every_packing(published, tmp_path, version):
    packings = in_all_packings(published / f"core{version}", tmp_path, nested=True)
    expected = sorted(f"{SYNSETS[item.category]}/{model_id(item)}" for item in builtin_items(6, CATEGORIES))
    for name, source in packings.items():
        found = collect_shapenetcore(source)
        assert [item.id for item in found.items] == expected, name
        assert found.name == f"ShapeNetCore v{version}" and found.classes == ["chair", "lamp"]
        assert {item.split for item in found.items} == {""}
        assert all(item.category == ("chair" if item.id.startswith("03001627") else "lamp") for item in found.items)
        mesh = found.items[0].load()
        index = next(i for i in range(6) if expected[0].endswith(model_id(builtin_items(6, ["chair"])[i])))
        original = generate("chair", index)
        low, high = original.vertices.min(0), original.vertices.max(0)
        normalised = (original.vertices - (low + high) / 2) / np.linalg.norm(high - low)
        assert np.ptp(mesh.vertices, axis=0) == pytest.approx(np.ptp(normalised, axis=0), abs=1e-5)


def test_folders_that_are_linked_from_another_disk_are_part_of_the_data_set(published, copy, tmp_path, caplog):
    folder = copy("core2")
    synset = next(path for path in folder.iterdir() if path.is_dir())
    synset.rename(tmp_path / "other disk")
    synset.symlink_to(tmp_path / "other disk")
    (tmp_path / "other disk/round").symlink_to(folder)
    found, whole = collect_shapenetcore(folder), collect_shapenetcore(published / "core2")
    assert [(item.id, item.category) for item in found.items] == [(item.id, item.category) for item in whole.items]
    assert f"{synset / 'round'}: a link to a folder above it, not followed" in caplog.text
    np.testing.assert_array_equal(found.items[0].load().vertices, whole.items[0].load().vertices)


def test_shapenetcore_becomes_a_store(published, tmp_path, capsys):
    pack(published / "core1", tmp_path / "core.zip", nested=True)
    assert prep("shapenet", tmp_path / "core.zip", tmp_path / "s.h5") == 0
    assert "12 shapes" in capsys.readouterr().out
    store = ShapeStore(tmp_path / "s.h5")
    assert store.classes == ["chair", "lamp"] and store.category.tolist() == [0] * 6 + [1] * 6
    assert store.source == "ShapeNetCore v1, core.zip" and store.parts is None and store.has_patches
    for shape, item in zip(store, collect_shapenetcore(published / "core1").items, strict=True):
        assert shape.id == item.id
        extent = np.ptp(shape.points * shape.radius + shape.center, axis=0)
        assert extent == pytest.approx(np.ptp(item.load().vertices, axis=0), abs=0.05)  # y is still up


def test_names_come_from_the_taxonomy_and_are_unique(copy, caplog):
    core = copy("core1")
    names = [
        {"synsetId": "03001627", "name": "chair,seat"},
        {"synsetId": "02691156", "name": "airplane,aeroplane,plane"},
    ]
    (core / "taxonomy.json").write_text(json.dumps(names))
    assert collect_shapenetcore(core).classes == ["chair", "03636649"]
    assert "1 synsets are not in taxonomy.json and named by their number; the first is 03636649" in caplog.text
    names = [{"synsetId": "03001627", "name": "thing"}, {"synsetId": "03636649", "name": "thing"}]
    (core / "taxonomy.json").write_text(json.dumps(names))
    assert collect_shapenetcore(core).classes == ["thing (03001627)", "thing (03636649)"]
    (core / "taxonomy.json").unlink()
    assert collect_shapenetcore(core).classes == ["03001627", "03636649"]
    assert "no taxonomy.json" in caplog.text
    for broken in ("[{}]", "[", "3", '[{"synsetId": "03001627", "name": 3}]'):
        (core / "taxonomy.json").write_text(broken)
        with pytest.raises(InputError, match="not ShapeNet's taxonomy"):
            collect_shapenetcore(core)


def test_splits_come_from_all_csv_or_from_the_option(copy, tmp_path, caplog):
    core = copy("core2")
    ids = [item.id for item in collect_shapenetcore(core).items]
    rows = ["id,synsetId,subSynsetId,modelId,split"]
    rows += [
        f"{number},{id.split('/')[0].lstrip('0')},0,{id.split('/')[1]},{split}"
        for number, (id, split) in enumerate(zip(ids, ["train"] * 6 + ["val", "test"], strict=False))
    ]
    (core / "all.csv").write_text("\n".join([*rows, "9,3001627,0,gone,train"]))
    found = {item.id: item.split for item in collect_shapenetcore(core).items}
    assert list(found.values()) == ["train"] * 6 + ["val", "test"] + [""] * 4
    assert "1 of its models are missing; the first is 03001627/gone" in caplog.text
    assert f"4 models are not in it and have no split; the first is {ids[8]}" in caplog.text
    (tmp_path / "mine.csv").write_text("synsetId,modelId,split\n" + ids[0].replace("/", ",") + ",test\n")
    assert collect_shapenetcore(core, splits=tmp_path / "mine.csv").items[0].split == "test"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("synset,model,split\n", "expected 'synsetId'"),
        ("synsetId,modelId,split\n03001627,a,training\n", "split 'training'"),
        ("synsetId,modelId,split\n03001627,a,train\n3001627,a,test\n", "two splits"),
        ("synsetId,modelId,split\n03001627,a,train\n", "none of its 1 models"),
        (b"synsetId,modelId,split\n\xff", "UTF-8"),
    ],
)
def test_unusable_split_lists_are_refused(published, tmp_path, content, reason):
    table = tmp_path / "all.csv"
    table.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=rf"all\.csv: .*{reason}"):
        collect_shapenetcore(published / "core1", splits=table)


def test_models_without_a_mesh_are_counted_and_broken_ones_refused_while_the_run_goes_on(copy, tmp_path, caplog):
    core = copy("core1")
    first, second, *others = sorted(core.glob("*/*/model.obj"))
    (first.parent / "images").mkdir()
    first.unlink()
    second.write_text("v 0 0 0\n")
    assert prep("shapenet", core, tmp_path / "s.h5") == 0
    assert f"1 folders of models contain no mesh; the first is 03001627/{first.parent.name}" in caplog.text
    assert len(ShapeStore(tmp_path / "s.h5")) == len(others)
    assert f"03001627/{second.parent.name},1 points but no faces" in (tmp_path / "s.h5.refused.csv").read_text()


def test_a_zip_beside_its_unpacked_half_is_read_instead(copy, tmp_path):
    core = copy("core1")
    pack(core, tmp_path / "nested.zip", nested=True)
    (core / "zips").mkdir()
    with zipfile.ZipFile(tmp_path / "nested.zip") as outer:
        (core / "zips/03001627.zip").write_bytes(outer.read("core1/03001627.zip"))
    models = sorted(core.glob("03001627/*/model.obj"))
    models[0].write_text("v 0 0 0\n")
    models[1].unlink()
    found = collect_shapenetcore(core)
    assert len(found.items) == 12 and all(len(item.load().faces) for item in found.items)


def test_both_versions_or_a_model_twice_are_refused(published, tmp_path):
    with pytest.raises(InputError, match="contains version 1 and version 2"):
        collect_shapenetcore(published)
    for name in ("a", "b"):
        shutil.copytree(published / "core1", tmp_path / name)
    with pytest.raises(InputError, match="the same shape twice"):
        collect_shapenetcore(tmp_path)


def test_broken_archives_in_archives_are_named(published, tmp_path):
    pack(published / "core1", tmp_path / "whole.zip", nested=True)
    with zipfile.ZipFile(tmp_path / "whole.zip") as whole:
        inner = whole.read("core1/03001627.zip")
    broken = {
        "cut": (inner[: len(inner) // 2], zipfile.ZIP_STORED, "03001627.zip: not a readable zip"),
        "packed": (inner, zipfile.ZIP_DEFLATED, "03001627.zip is compressed once more; extract the outer archive"),
        "hostile": (_with_member(inner, "../../evil/model.obj"), zipfile.ZIP_STORED, "03001627.zip: .*hostile"),
    }
    for name, (content, method, reason) in broken.items():
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as outer:
            outer.writestr("core1/03001627.zip", content, method)
        with pytest.raises(InputError, match=reason):
            collect_shapenetcore(tmp_path / f"{name}.zip")
    data = (tmp_path / "whole.zip").read_bytes()
    (tmp_path / "half.zip").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"half\.zip: not a readable zip archive .*truncated"):
        collect_shapenetcore(tmp_path / "half.zip")


def _with_member(archive: bytes, name: str) -> bytes:
    buffer = io.BytesIO(archive)
    with zipfile.ZipFile(buffer, "a") as file:
        file.writestr(name, "v 0 0 0")
    return buffer.getvalue()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_member_of_an_archive_in_an_archive_is_refused_alone(tmp_path, method):
    inner, obj = io.BytesIO(), "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"
    with zipfile.ZipFile(inner, "w", method) as archive:
        archive.writestr("03001627/a/model.obj", obj)
        archive.writestr("03001627/b/model.obj", obj)
    data = bytearray(inner.getvalue())
    data[data.index(b"model.obj") + len("model.obj") + 10] ^= 1  # stored, that is still an OBJ file
    with zipfile.ZipFile(tmp_path / "core.zip", "w") as outer:
        outer.writestr("core/03001627.zip", data)
    bad, good = collect_shapenetcore(tmp_path / "core.zip").items
    with pytest.raises(InputError, match=r"^03001627/a: damaged in the archive"):
        bad.load()
    assert len(good.load().faces) == 1


@pytest.mark.parametrize(
    ("content", "method", "reason"),
    [
        (b"v 0 0 0\n" + b"\0" * 40_000_000, zipfile.ZIP_DEFLATED, "zip bomb"),
        (b"v 0 0 0\n", zipfile.ZIP_LZMA, "unusual way"),
    ],
)
def test_bombs_and_unusual_members_in_inner_archives_are_not_unpacked(tmp_path, content, method, reason):
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("03001627/a/model.obj", content, method)
    with zipfile.ZipFile(tmp_path / "core.zip", "w") as outer:
        outer.writestr("core/03001627.zip", inner.getvalue())
    (item,) = collect_shapenetcore(tmp_path / "core.zip").items
    with pytest.raises(InputError, match=rf"^03001627/a: .*{reason}"):
        item.load()


def test_items_load_from_any_working_folder_and_without_their_archive_s_directory(published, tmp_path, monkeypatch):
    pack(published / "core1", tmp_path / "core.zip", nested=True)
    monkeypatch.chdir(tmp_path)
    items = pickle.dumps(collect_shapenetcore("core.zip").items)
    monkeypatch.chdir("/")
    monkeypatch.setattr(zipfile, "ZipFile", None)  # a worker that lists 50,000 members is a slow one
    assert all(len(item.load().faces) for item in pickle.loads(items))


# -------------------------------------------------------------------------------------------------- ModelNet40


@pytest.mark.parametrize("packing", ["folder", "zip"])
def test_modelnet40_becomes_a_store_with_y_up(published, tmp_path, packing):
    source = in_all_packings(published / "ModelNet40", tmp_path, nested=False)[packing]
    assert prep("modelnet40", source, tmp_path / "m.h5") == 0
    store = ShapeStore(tmp_path / "m.h5")
    assert store.classes == ["chair", "lamp"] and store.source.startswith("ModelNet40, ")
    assert store.id == [
        f"{name}/{split}/{name}_{number:04d}.off"
        for name in CATEGORIES
        for split, numbers in (("train", range(1, 6)), ("test", [6]))
        for number in numbers
    ]
    assert store.split == (["train"] * 5 + ["test"]) * 2 and store.category.tolist() == [0] * 6 + [1] * 6
    for shape, index in zip(store, [0, 1, 2, 3, 5, 4], strict=False):  # shape 4 is the test shape
        original = generate("chair", index)
        size = np.ptp(shape.points * shape.radius + shape.center, axis=0)
        assert size == pytest.approx(np.ptp(original.vertices, axis=0), rel=0.05)


def test_modelnet10_has_its_own_command_and_classes(copy, tmp_path, capsys):
    folder = copy("ModelNet40")
    assert prep("modelnet10", folder, tmp_path / "m.h5") == 2
    assert "the class 'lamp' is not one of ModelNet10; use 'pcrq prep modelnet40'" in capsys.readouterr().err
    (folder / "lamp").rename(folder / "night_stand")
    for file in folder.glob("night_stand/*/*.off"):
        file.rename(file.with_name(file.name.replace("lamp", "night_stand")))
    assert prep("modelnet10", folder, tmp_path / "m.h5", "--resolution", "32") == 0
    store = ShapeStore(tmp_path / "m.h5")
    assert store.classes == ["chair", "night_stand"] and store.source == "ModelNet10, ModelNet40"
    assert (store.id[6], store.split[6]) == ("night_stand/train/night_stand_0001.off", "train")
    assert store.id == [item.id for item in collect_modelnet10(folder).items]


def test_modelnet40_turns_x_y_z_to_y_z_x(published):
    for item, index in zip(collect_modelnet40(published / "ModelNet40").items, [0, 1, 2, 3, 5, 4], strict=False):
        lines = (published / "ModelNet40" / item.id).read_text().removeprefix("OFF").split()
        vertices = np.array(lines[3 : 3 + 3 * int(lines[0])], float).reshape(-1, 3)
        mesh, original = item.load(), generate("chair", index)
        np.testing.assert_allclose(mesh.vertices.min(0), vertices[:, [1, 2, 0]].min(0))
        np.testing.assert_allclose(mesh.vertices.max(0), vertices[:, [1, 2, 0]].max(0))
        assert same_mesh(mesh, original.vertices, original.faces)  # the writer made z up; so y is again


def test_the_first_of_a_class_are_those_of_the_published_subsets(tmp_path):
    """As in O-CNN's list: the first ⌈ratio·n⌉ of the sorted names in every class folder."""
    for name, count in {"chair": 11, "car": 4, "vase": 120}.items():
        folder = tmp_path / "ModelNet40" / name / "train"
        folder.mkdir(parents=True)
        for number in range(count, 0, -1):
            (folder / f"{name}_{number:04d}.off").write_text("OFF")
    found = collect_modelnet40(tmp_path)
    category = np.array([found.classes.index(item.category) for item in found.items])
    for ratio in (0.01, 0.2, 0.5):
        expected = set()
        for folder in tmp_path.glob("ModelNet40/*/train"):
            names = sorted(file.name for file in folder.iterdir())
            expected |= {f"{folder.parent.name}/train/{name}" for name in names[: math.ceil(ratio * len(names))]}
        assert {found.items[index].id for index in label_subset(category, ratio)} == expected


def test_modelnet40_counts_and_names_what_is_missing_or_surplus(copy, caplog):
    folder = copy("ModelNet40")
    with caplog.at_level(logging.INFO):
        collect_modelnet40(folder)
    assert caplog.messages == [f"{folder}: 10 training and 2 test shapes of 2 classes"]
    (folder / "chair/train/chair_0002.off").unlink()
    (folder / "chair/train/copy of chair_0001.off").write_text("OFF")
    shutil.rmtree(folder / "lamp/test")
    (folder / "sofa/train").mkdir(parents=True)
    for shadow in ("__MACOSX/chair/train/chair_0009.off", "chair/train/._chair_0001.off", "chair/.DS_Store"):
        (folder / shadow).parent.mkdir(parents=True, exist_ok=True)
        (folder / shadow).write_text("OFF")
    caplog.clear()
    found = collect_modelnet40(folder)
    assert len(found.items) == 10 and found.classes == CATEGORIES
    for message in (
        "1 OFF files are not <class>/train|test/<class>_<number>.off and not used; the first is ModelNet40/chair",
        "1 folders of classes are empty; the first is sofa",
        "1 classes have no test shapes; the first is lamp",
        "1 numbers do not occur, so files may be missing; the first is chair_0002.off",
    ):
        assert message in caplog.text


def test_the_whole_of_modelnet40_is_recognised_by_its_counts(tmp_path, caplog):
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        for number in range(12311):
            name, split = f"class{number % 40:02d}", "train" if number < 9843 else "test"
            archive.writestr(f"ModelNet40/{name}/{split}/{name}_{number // 40:04d}.off", "")
    with caplog.at_level(logging.INFO):
        assert len(collect_modelnet40(tmp_path / "m.zip").items) == 12311
    assert caplog.messages == [
        f"{tmp_path / 'm.zip'}: 9843 training and 2468 test shapes of 40 classes, all of ModelNet40"
    ]


# ------------------------------------------------------------------------------------------------ ShapeNet Part


@pytest.mark.parametrize("packing", ["folder", "zip"])
def test_shapenet_part_becomes_a_store_with_its_labels_and_order(published, tmp_path, packing):
    source = in_all_packings(published / "part", tmp_path, nested=False)[packing]
    assert prep("shapenet-part", source, tmp_path / "p.h5") == 0
    store = ShapeStore(tmp_path / "p.h5")
    listed, splits = [], []
    for split in ("train", "val", "test"):
        entries = json.loads((published / f"part/train_test_split/shuffled_{split}_file_list.json").read_text())
        listed += [entry.removeprefix("shape_data/") for entry in entries]
        splits += [split] * len(entries)
    assert store.id == listed and store.split == splits and len(listed) == 12
    assert len(store.classes) == 16 and store.classes[4] == "chair" and store.classes[8] == "lamp"
    assert len(store.parts) == 50 and store.parts[0] == "airplane/body" and store.parts[47] == "table/desktop"
    assert store.parts[12:16] == ["chair/back", "chair/seat", "chair/leg", "chair/arm"] and store.has_patches
    for shape in store:
        rows = np.loadtxt(published / "part" / f"{shape.id}.txt")
        np.testing.assert_array_equal(shape.labels, rows[:, 6])  # every point, in the order of the file
        np.testing.assert_allclose(shape.points * shape.radius + shape.center, rows[:, :3], atol=1e-5)
        np.testing.assert_allclose(shape.normals, rows[:, 3:6], atol=0.02)
        assert np.linalg.norm(shape.points, axis=1).max() == pytest.approx(1, abs=1e-4)
        assert store.classes[shape.category] == ("chair" if shape.id.startswith("03001627") else "lamp")


def part_file(folder: Path) -> Path:
    """The chair that stands first in the training list."""
    entries = json.loads((folder / "train_test_split/shuffled_train_file_list.json").read_text())
    entry = next(entry for entry in entries if "03001627" in entry)
    return folder / f"{entry.removeprefix('shape_data/')}.txt"


def load_first_chair(folder: Path):
    file = part_file(folder)
    id = f"{file.parent.name}/{file.stem}"
    return next(item for item in collect_shapenet_part(folder).items if item.id == id).load()


def test_points_without_a_normal_take_that_of_their_neighbour_and_blank_lines_do_not_count(copy):
    folder = copy("part")
    part_file(folder).write_text(
        "0 0 0 0 2 0 12.000000\n\n1 0 0 0 0 0 13\n1.1 0 0 0.6 0.8 0 14.0\n   \n0 0.1 0 nan nan nan 15\n"
    )
    cloud = load_first_chair(folder)
    np.testing.assert_array_equal(cloud.labels, [12, 13, 14, 15])
    np.testing.assert_allclose(cloud.normals, [[0, 1, 0], [0.6, 0.8, 0], [0.6, 0.8, 0], [0, 1, 0]])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("0 0 0 0 1 0 12\n0 0 1 0 1 0 49\n", "label 49, but those of 'chair' are 12 to 15"),
        ("0 0 0 0 1 0 12.5\n", "label 12.5, but"),
        ("0 0 0 0 1 0 nan\n", "label nan, but"),
        ("0 0 0 0 1 0\n", "rows of 6 numbers, expected 7"),
        ("0 0 0 0 1 0 12\n0 0 0 0\n", "damaged or truncated"),
        ("0 0 0 0 1 zero 12\n", "damaged or truncated"),
        ("", "the file is empty"),
        ("version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
    ],
)
def test_unusable_clouds_are_refused_by_name(copy, content, reason):
    folder = copy("part")
    part_file(folder).write_text(content)
    with pytest.raises(InputError, match=rf"^03001627/{part_file(folder).stem}: .*{reason}"):
        load_first_chair(folder)


def test_a_refused_cloud_does_not_stop_the_run(copy, tmp_path):
    folder = copy("part")
    part_file(folder).write_text("0 0 0 0 1 0 49\n")
    assert prep("shapenet-part", folder, tmp_path / "p.h5") == 0
    assert len(ShapeStore(tmp_path / "p.h5")) == 11
    assert f"03001627/{part_file(folder).stem},label 49" in (tmp_path / "p.h5.refused.csv").read_text().replace('"', "")


def test_shapenet_part_counts_and_names_what_is_missing_or_in_no_list(copy, caplog):
    folder = copy("part")
    missing = part_file(folder)
    missing.rename(missing.with_name("unlisted.txt"))
    with caplog.at_level(logging.INFO):
        found = collect_shapenet_part(folder)
    assert len(found.items) == 11
    assert "7 train, 2 val, 2 test shapes of 2 categories; ShapeNet Part has 16881" in caplog.text
    assert f"1 listed shapes are missing; the first is 03001627/{missing.stem}" in caplog.text
    assert "1 files are in no list and not used; the first is 03001627/unlisted" in caplog.text
    shutil.rmtree(folder / "03636649")
    collect_shapenet_part(folder)
    assert "1 listed categories have no shape; the first is lamp" in caplog.text


def test_lists_that_are_missing_or_broken_are_named(copy):
    folder = copy("part")
    table = folder / "train_test_split/shuffled_val_file_list.json"
    for content, reason in (
        ("[", "not a list in JSON"),
        ('{"a": 1}', "not a list in JSON"),
        ("[7]", "the entry 7"),
        ('["shape_data/99999999/a"]', "the entry 'shape_data/99999999/a'"),
    ):
        table.write_text(content)
        with pytest.raises(InputError, match=rf"shuffled_val_file_list\.json: {reason}"):
            collect_shapenet_part(folder)
    table.unlink()
    with pytest.raises(InputError, match=r"shuffled_val_file_list\.json is missing"):
        collect_shapenet_part(folder)
    for split in ("train", "val", "test"):
        (folder / f"train_test_split/shuffled_{split}_file_list.json").write_text('["shape_data/03001627/gone"]')
    with pytest.raises(InputError, match="none of the 1 listed shapes was found"):
        collect_shapenet_part(folder)


# ---------------------------------------------------------------------------------- what the commands share


@pytest.mark.parametrize(
    ("command", "folder", "advice"),
    [
        ("shapenet", "ModelNet40", "looks like ModelNet40 or ModelNet10, .*'pcrq prep modelnet40'"),
        ("shapenet", "part", "looks like ShapeNet Part, .*'pcrq prep shapenet-part'"),
        ("modelnet40", "core1", "looks like ShapeNetCore v1, .*'pcrq prep shapenet'"),
        ("modelnet40", "part", "looks like ShapeNet Part, .*'pcrq prep shapenet-part'"),
        ("shapenet-part", "core2", "looks like ShapeNetCore v2, .*'pcrq prep shapenet'"),
        ("shapenet-part", "ModelNet40", "looks like ModelNet40 or ModelNet10, .*'pcrq prep modelnet40'"),
    ],
)
def test_the_wrong_data_set_is_recognised(published, tmp_path, command, folder, advice, capsys):
    collect = {"shapenet": collect_shapenetcore, "modelnet40": collect_modelnet40}.get(command, collect_shapenet_part)
    for source in in_all_packings(published / folder, tmp_path, nested=folder.startswith("core")).values():
        with pytest.raises(InputError, match=advice):
            collect(source)
    assert prep(command, published / folder, tmp_path / "s.h5") == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("files", "advice"),
    [
        (["a/x.obj", "a/y.obj"], "but 2 meshes in another layout; .* use 'pcrq prep meshes'"),
        (["ModelNet40.zip"], r"an archive .*ModelNet40\.zip; pass the archive itself"),
        (["README.txt"], "may be incomplete"),
        (["chair/chair_0001.txt"], "looks like ModelNet40 as resampled points"),
        (["03001627/points/a.pts"], "looks like ShapeNet Part without normals"),
    ],
)
def test_what_is_no_public_data_set_gets_advice(tmp_path, files, advice):
    for name in files:
        (tmp_path / "d" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "d" / name).write_text("x")
    for collect in (collect_shapenetcore, collect_modelnet40, collect_shapenet_part):
        with pytest.raises(InputError, match=advice):
            collect(tmp_path / "d")


def test_stamps_follow_the_content(copy, tmp_path):
    folder = copy("ModelNet40")
    before = {item.id: item.stamp for item in collect_modelnet40(folder).items}
    pack(folder, tmp_path / "before.zip")
    changed = folder / "chair/train/chair_0001.off"
    changed.write_text(changed.read_text().replace("1", "2"))
    pack(folder, tmp_path / "after.zip")
    after = {item.id: item.stamp for item in collect_modelnet40(folder).items}
    assert [id for id in before if before[id] != after[id]] == ["chair/train/chair_0001.off"]
    zips = [{i.id: i.stamp for i in collect_modelnet40(tmp_path / f"{n}.zip").items} for n in ("before", "after")]
    assert [id for id in zips[0] if zips[0][id] != zips[1][id]] == ["chair/train/chair_0001.off"]


@pytest.mark.parametrize(
    ("command", "published_at"),
    [
        ("modelnet40", "http://modelnet.cs.princeton.edu/ModelNet40.zip"),
        ("modelnet10", "http://3dvision.princeton.edu/projects/2014/3DShapeNets/ModelNet10.zip"),
    ],
)
def test_download_fetches_what_is_not_there_yet(command, published_at, copy, tmp_path, monkeypatch, capsys):
    asked, folder = [], copy("ModelNet40")
    shutil.rmtree(folder / "lamp")

    def download(url, target, *, sha256=None, size=None):
        asked.append((url, sha256))
        pack(folder, target)
        return target

    monkeypatch.setattr("data_prep.download.download", download)
    for _ in range(2):
        assert prep(command, tmp_path / "M.zip", tmp_path / "m.h5", "--download", "--resolution", "32") == 0
    ((url, checksum),) = asked
    assert url == published_at and len(checksum) == 64
    assert prep(command, tmp_path / "folder", tmp_path / "m.h5", "--download") == 2
    assert "must end in .zip" in capsys.readouterr().err
    assert prep(command, tmp_path / "other.zip", tmp_path / "m.h5") == 2
    assert f"add --download to get ModelNet{command[-2:]}" in capsys.readouterr().err


def test_a_failed_download_says_where_else_to_look(tmp_path, monkeypatch, capsys):
    def download(url, target, *, sha256=None, size=None):
        raise InputError(f"{url}: not found (404)")

    monkeypatch.setattr("data_prep.download.download", download)
    assert prep("shapenet-part", tmp_path / "p.zip", tmp_path / "p.h5", "--download") == 2
    error = capsys.readouterr().err
    assert "v0_normal.zip: not found (404); " in error and "huggingface.co/datasets/wangps" in error


def test_shapenetcore_is_not_downloaded_but_told_where_to_get(tmp_path, capsys):
    for options in (["--download"], []):
        assert prep("shapenet", tmp_path / "core.zip", tmp_path / "s.h5", *options) == 2
        assert "registration" in (error := capsys.readouterr().err) and "https://shapenet.org" in error


def test_options_of_scanning_do_not_fit_point_clouds(published, tmp_path, capsys):
    for options in (["--method", "sample"], ["--points", "9"]):
        with pytest.raises(SystemExit) as stop:
            prep("shapenet-part", published / "part", tmp_path / "p.h5", *options)
        error = capsys.readouterr().err
        assert stop.value.code == 2 and f"pcrq prep shapenet-part: error: unknown option {options[0]}" in error
    with pytest.raises(SystemExit):
        main(["prep", "shapenet-part", "--help"])
    text = capsys.readouterr().out
    assert "--seed" in text and "--method" not in text and "--points" not in text


@pytest.mark.parametrize("command", ["shapenet", "modelnet40", "modelnet10", "shapenet-part"])
def test_help_states_the_terms_and_an_example(command, capsys):
    with pytest.raises(SystemExit):
        main(["prep", command, "--help"])
    printed = capsys.readouterr().out
    assert f"pcrq prep {command} " in printed and ("non-commercial" in printed or "academic" in printed)

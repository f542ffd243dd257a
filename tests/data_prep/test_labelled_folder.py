"""Folders and archives of meshes as items, with hostile and careless ones among them."""

import logging
import zipfile
from pathlib import Path

import pytest
import trimesh

from data_prep.labelled_folder import collect_meshes
from pcrq import InputError

BOX = trimesh.creation.box().export(file_type="off").encode()


def write(source: Path, files: dict[str, bytes | str]) -> Path:
    """A folder, or a zip archive where the name says so."""
    if source.suffix == ".zip":
        with zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return source
    for name, content in files.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return source


@pytest.fixture(params=["things", "things.zip"], ids=["folder", "zip"])
def source(request, tmp_path):
    return tmp_path / request.param


def test_categories_come_from_the_top_folders(source):
    names = ["table/b.off", "chair/deep/down/a.OFF", "loose.off", "chair/z.off"]
    ignored = {"chair/readme.txt": "", "chair/.a.off": BOX, "__MACOSX/chair/a.off": BOX, "chair/a.mtl": ""}
    found = collect_meshes(write(source, dict.fromkeys(names, BOX) | ignored))
    assert [(item.id, item.category) for item in found.items] == [
        ("chair/deep/down/a.OFF", "chair"), ("chair/z.off", "chair"), ("loose.off", ""), ("table/b.off", "table"),
    ]  # fmt: skip
    assert found.classes == ["chair", "table"]
    assert all(len(item.load().faces) == 12 for item in found.items)


def test_linked_folders_are_followed_but_not_in_circles(tmp_path, caplog):
    other = write(tmp_path / "other disk", {"sofas/a.off": BOX, "sofas/old/b.off": BOX})
    folder = write(tmp_path / "things", {"chair/c.off": BOX})
    (folder / "sofa").symlink_to(other / "sofas")
    (folder / "again").symlink_to(other / "sofas/old")  # under two names
    (folder / "chair/up").symlink_to(folder)
    (other / "sofas/old/round").symlink_to(other / "sofas")
    (folder / "dangling").symlink_to(tmp_path / "none")
    with caplog.at_level(logging.WARNING):
        found = collect_meshes(folder)
    assert [(item.id, item.category) for item in found.items] == [
        ("again/b.off", "again"), ("again/round/a.off", "again"), ("chair/c.off", "chair"), ("sofa/a.off", "sofa"),
        ("sofa/old/b.off", "sofa"),
    ]  # fmt: skip
    assert all(len(item.load().faces) == 12 for item in found.items)
    for circle in ("chair/up", "again/round/old", "sofa/old/round"):
        assert f"{folder / circle}: a link to a folder above it, not followed" in caplog.text


def test_a_table_of_labels_wins_and_differences_are_told(source, caplog):
    table = "\ufefffile,fold,label\nx/a.off,crease,chair\nx\\b.off,2,\nnone.off,3,sofa\n"
    write(source, {"labels.csv": table, "x/a.off": BOX, "x/b.off": BOX, "x/c.off": BOX})
    with caplog.at_level(logging.WARNING):
        found = collect_meshes(source)
    assert {item.id: item.category for item in found.items} == {"x/a.off": "chair", "x/b.off": "", "x/c.off": ""}
    assert found.classes == ["chair"]
    assert "1 of its files do not exist; the first is none.off" in caplog.text
    assert "1 meshes have no row" in caplog.text and "x/c.off" in caplog.text


def test_a_table_may_tell_the_split(source):
    table = {"labels.csv": "file,label,split\na.off,x,train\nb.off,x,test\nc.off,y,\n"}
    write(source, table | dict.fromkeys(["a.off", "b.off", "c.off"], BOX))
    assert [item.split for item in collect_meshes(source).items] == ["train", "test", ""]


def test_an_unknown_split_is_named(source):
    write(source, {"labels.csv": "file,label,split\na.off,x,training\n", "a.off": BOX})
    with pytest.raises(InputError, match=r"a\.off has the split 'training'"):
        collect_meshes(source)


def test_a_table_can_be_named(source, tmp_path):
    write(source, {"labels.csv": "file,label\na.off,wrong\n", "a.off": BOX})
    (tmp_path / "mine.csv").write_text("file,label\na.off,right\n")
    assert collect_meshes(source, labels=tmp_path / "mine.csv").classes == ["right"]


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("name,label\na.off,x\n", "expected 'file' and 'label'"),
        ("", "expected 'file' and 'label'"),
        ("file,label\na.off,x\na.off,y\n", "two labels"),
        (b"file,label\na.off,\xff\n", "UTF-8"),
    ],
)
def test_unusable_tables_are_refused(source, table, reason):
    write(source, {"labels.csv": table, "a.off": BOX})
    with pytest.raises(InputError, match=rf"labels\.csv: .*{reason}"):
        collect_meshes(source)


def test_a_source_without_meshes_is_refused(source):
    with pytest.raises(InputError, match="no such"):
        collect_meshes(source)
    write(source, {"readme.txt": "nothing here"})
    with pytest.raises(InputError, match="no mesh"):
        collect_meshes(source)


def test_stamps_follow_the_content(source):
    before = collect_meshes(write(source, {"a.off": BOX, "b.off": BOX})).items
    after = collect_meshes(write(source, {"a.off": BOX.replace(b"0.5", b"0.7"), "b.off": BOX + b"\n"})).items
    assert all(old.stamp != new.stamp for old, new in zip(before, after, strict=True))


def test_an_archive_may_wrap_everything_in_a_folder_of_its_name(tmp_path):
    found = collect_meshes(write(tmp_path / "things.zip", {"things/chair/a.off": BOX, "things/table/b.off": BOX}))
    assert [item.id for item in found.items] == ["chair/a.off", "table/b.off"]
    assert found.classes == ["chair", "table"]


@pytest.mark.parametrize("name", ["../a.off", "x/../../a.off", "/a.off", "C:\\a.off", "..\\a.off"])
def test_archives_with_names_that_lead_outside_are_refused_whole(tmp_path, name):
    with pytest.raises(InputError, match=r"things\.zip: .*hostile"):
        collect_meshes(write(tmp_path / "things.zip", {"good.off": BOX, name: BOX}))


def test_no_archive_encrypted_and_truncated_archives_are_refused(tmp_path):
    path = tmp_path / "things.zip"
    path.write_bytes(b"not a zip")
    with pytest.raises(InputError, match="not a readable zip"):
        collect_meshes(path)
    write(path, {"a.off": BOX})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="not a readable zip"):
        collect_meshes(path)
    encrypted = bytearray(whole)
    encrypted[whole.index(b"PK\x01\x02") + 8] |= 1  # the flag in the central directory
    path.write_bytes(encrypted)
    with pytest.raises(InputError, match="encrypted"):
        collect_meshes(path)


def test_a_damaged_member_is_refused_alone(tmp_path):
    path = write(tmp_path / "things.zip", {"a.off": BOX, "b.off": BOX})
    damaged = bytearray(path.read_bytes())
    damaged[60] ^= 0xFF  # inside the compressed a.off
    path.write_bytes(damaged)
    bad, good = collect_meshes(path).items
    with pytest.raises(InputError, match=r"^a\.off: damaged"):
        bad.load()
    assert len(good.load().faces) == 12


def test_a_zip_bomb_is_not_unpacked(tmp_path):
    items = collect_meshes(
        write(tmp_path / "things.zip", {"a.off": BOX, "bomb.off": b"OFF\n" + b"\0" * 40_000_000})
    ).items
    with pytest.raises(InputError, match=r"^bomb\.off: .*zip bomb"):
        items[1].load()


def test_a_member_larger_than_any_mesh_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("data_prep.archives.MAX_MEMBER", 100)
    (item,) = collect_meshes(write(tmp_path / "things.zip", {"a.off": BOX})).items
    with pytest.raises(InputError, match="the limit is"):
        item.load()


def test_gltf_in_an_archive_finds_its_buffers_beside_it_and_nothing_outside(tmp_path):
    files = trimesh.Scene(trimesh.creation.box()).export(file_type="gltf")
    tree = files.pop("model.gltf")
    outside = tree.replace(b'"uri":"', b'"uri":"../').replace(b'"uri": "', b'"uri": "../')
    assert outside != tree
    buffers = {f"{folder}/{name}": content for folder in "ab" for name, content in files.items()}
    archive = write(tmp_path / "x.zip", {"a/m.gltf": tree, "b/c/m.gltf": outside, **buffers})
    good, bad = collect_meshes(archive).items
    assert len(good.load().faces) == 12
    with pytest.raises(InputError, match=r"b/c/m\.gltf: .*outside"):
        bad.load()


def test_other_sources_are_refused(tmp_path):
    for name, reason in [("a.off", "a single mesh"), ("a.tar.gz", "neither a folder nor a .zip")]:
        (tmp_path / name).write_bytes(BOX)
        with pytest.raises(InputError, match=reason):
            collect_meshes(tmp_path / name)

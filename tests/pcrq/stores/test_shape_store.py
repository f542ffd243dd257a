"""The shape store: what is written comes back, and nothing else passes for a store."""

import multiprocessing
import pickle

import h5py
import numpy as np
import pytest

from pcrq import InputError
from pcrq.stores.shape_store import Shape, ShapeStore, ShapeStoreWriter


def write(path, shapes, **options):
    with ShapeStoreWriter(path, classes=["a", "b"], parts=["low", "high"], **options) as writer:
        for shape in shapes:
            writer.append(shape)
    return ShapeStore(path)


def test_shapes_come_back(tmp_path, make_shape):
    shapes = [make_shape(i, points=50 + i, split="test") for i in range(5)]
    store = write(tmp_path / "s.h5", shapes, source="made up", parameters={"grid": 64})
    assert len(store) == 5 and store.classes == ["a", "b"] and store.parts == ["low", "high"]
    assert (store.source, store.parameters) == ("made up", {"grid": 64})
    assert store.counts.tolist() == [50, 51, 52, 53, 54]
    for index in (0, 3, -1):
        read, written = store[index], shapes[index]
        np.testing.assert_array_equal(read.points, written.points)
        np.testing.assert_allclose(read.normals, written.normals, atol=0.01)
        np.testing.assert_allclose(np.linalg.norm(read.normals, axis=1), 1, atol=1e-6)
        np.testing.assert_array_equal(read.labels, written.labels)
        np.testing.assert_array_equal(read.patches, written.patches)
        assert (read.id, read.category, read.split) == (written.id, written.category, written.split)
        assert read.index == index % 5


def test_plain_h5py_opens_a_store_that_is_in_use(store_path):
    store = ShapeStore(store_path)
    with h5py.File(store_path, "r") as file:
        assert len(file["points"]) == len(store[0].points) * len(store)
    store.close()


def test_plain_h5py_reads_the_documented_layout(store_path):
    with h5py.File(store_path) as file:
        start, stop = file["shapes/offsets"][3:5]
        assert file["points"][start:stop].shape == (300, 3)
        assert file["shapes/id"][3] == b"shape3"
        assert file.attrs["format"] == "pcrq-shapes"


def test_a_point_takes_at_most_20_bytes(tmp_path, make_shape):
    store = write(tmp_path / "s.h5", [make_shape(i, points=5600) for i in range(20)])
    assert store.path.stat().st_size <= 20 * store.counts.sum()


def test_the_same_shapes_give_the_same_bytes(tmp_path, make_shape):
    for name in ("a", "b"):
        write(tmp_path / name, [make_shape(i) for i in range(3)])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_splits_are_selected(store_path):
    store = ShapeStore(store_path)
    assert store.indices("test").tolist() == [8, 9, 10, 11]
    assert len(store.indices()) == 12 and len(store.indices("val")) == 0
    assert store.select("auto")[0] == "train" and store.select("all")[1].tolist() == list(range(12))
    with pytest.raises(InputError, match="no shape of split 'val'; available: all, test, train"):
        store.select("val")


def _read_in_worker(pickled):
    store = pickle.loads(pickled)
    return float(store[2].points.sum())


def test_a_worker_process_opens_its_own_handle(store_path):
    store = ShapeStore(store_path)
    expected = float(store[2].points.sum())
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(_read_in_worker, [pickle.dumps(store)] * 4) == [expected] * 4


def test_an_exception_leaves_the_old_store_and_no_litter(tmp_path, make_shape):
    path = tmp_path / "s.h5"
    write(path, [make_shape(0)])
    before = path.read_bytes()
    with pytest.raises(RuntimeError), ShapeStoreWriter(path, classes=["a", "b"], parts=["x", "y"]) as writer:
        writer.append(make_shape(1))
        raise RuntimeError
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"points": np.zeros((0, 3))}, "points"),
        ({"points": np.full((300, 3), np.nan)}, "finite"),
        ({"normals": np.zeros((5, 3))}, "normals"),
        ({"category": 2}, "category"),
        ({"labels": np.full(300, 2)}, "part label"),
        ({"labels": None}, "labels"),
        ({"patches": np.full(300, 256)}, "patches"),
        ({"split": "training"}, "split"),
    ],
)
def test_a_shape_that_does_not_fit_is_refused_by_name(tmp_path, make_shape, change, word):
    shape = Shape(**{**make_shape(0).__dict__, **change})
    with pytest.raises(InputError, match=f"shape0.*{word}"):
        write(tmp_path / "s.h5", [shape])


def test_an_id_is_unique(tmp_path, make_shape):
    with pytest.raises(InputError, match="twice"):
        write(tmp_path / "s.h5", [make_shape(0), make_shape(0)])


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        ShapeStoreWriter(tmp_path / "nowhere" / "s.h5", classes=[])


@pytest.mark.parametrize("index", [12, -13])
def test_an_index_outside_the_store_raises(store_path, index):
    with pytest.raises(IndexError):
        ShapeStore(store_path)[index]


def test_files_that_are_no_store_say_what_they_are(tmp_path, store_path):
    whole = store_path.read_bytes()
    cases = {
        "missing": (None, "no such file"),
        "text": (b"hello", "not an HDF5 file"),
        "empty": (b"", "not an HDF5 file"),
        "truncated": (whole[: len(whole) // 2], "cut short"),
    }
    for name, (content, message) in cases.items():
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(InputError, match=f"{name}.*{message}"):
            ShapeStore(path)
    with pytest.raises(InputError, match="folder"):
        ShapeStore(tmp_path)


def change(store_path, copy, edit):
    copy.write_bytes(store_path.read_bytes())
    with h5py.File(copy, "r+") as file:
        edit(file)
    return copy


def test_foreign_unfinished_newer_and_inconsistent_files_are_told_apart(tmp_path, store_path):
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["data"] = [1, 2, 3]
    with pytest.raises(InputError, match="not a shape store"):
        ShapeStore(tmp_path / "foreign.h5")
    edits = {
        "not written to its end": lambda file: file.attrs.__delitem__("complete"),
        "update pcrq": lambda file: file.attrs.__setitem__("version", 99),
        "damaged": lambda file: file.__delitem__("shapes/id"),
        "differ in length": lambda file: file["points"].resize(10, axis=0),
    }
    for message, edit in edits.items():
        with pytest.raises(InputError, match=message):
            ShapeStore(change(store_path, tmp_path / "copy.h5", edit))


def test_verify_finds_a_single_changed_value(tmp_path, store_path):
    ShapeStore(store_path).verify()
    changed = change(store_path, tmp_path / "copy.h5", lambda file: file["points"].__setitem__((7, 1), 0.123))
    with pytest.raises(InputError, match="differs"):
        ShapeStore(changed).verify()

"""The preparation run: order, resumption, refusals, crashes, kills, a full disk, two runs at once."""

import csv
import ctypes
import errno
import fcntl
import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import trimesh
from joblib.externals.loky import get_reusable_executor
from killed_preparation import kill_preparation

from data_prep import run
from data_prep.mesh import load_mesh
from data_prep.pipeline import Pipeline, make_shape
from data_prep.point_cloud import PointCloud
from data_prep.recipes import SoundRecipe
from data_prep.run import Item, prepare, prepare_store
from pcrq import InputError
from pcrq.stores.shape_store import ShapeStore
from projects.cli import main

pytestmark = pytest.mark.medium

QUICK = Pipeline(resolution=16, patches=5)


def write_meshes(folder: Path, count: int) -> list[Path]:
    folder.mkdir()
    paths = [folder / f"{index:02}.off" for index in range(count)]
    for index, path in enumerate(paths):
        shape = trimesh.creation.icosphere(2)
        shape.apply_scale((1, 1 + index, 2))
        shape.export(path)
    return paths


@pytest.fixture
def items(tmp_path):
    return [
        Item(path.name, partial(load_mesh, path), "even" if index % 2 == 0 else "", "train", str(index))
        for index, path in enumerate(write_meshes(tmp_path / "meshes", 5))
    ]


@pytest.fixture
def prepare_quickly(tmp_path):
    return partial(prepare, out=tmp_path / "store.h5", classes=["even"], pipeline=QUICK, jobs=1)


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "meshes")


def test_shapes_stand_in_the_order_of_the_items(items, prepare_quickly, tmp_path):
    summary = prepare_quickly(items)
    store = ShapeStore(tmp_path / "store.h5")
    store.verify()
    assert store.id == [item.id for item in items]
    assert store.category.tolist() == [0, -1, 0, -1, 0]
    assert set(store.split) == {"train"} and store.parameters["resolution"] == 16
    for shape, item in zip(store, items, strict=True):
        expected = make_shape(item.load(), item.id, QUICK)
        np.testing.assert_array_equal(shape.points, expected.points)
        np.testing.assert_array_equal(shape.patches, expected.patches)
        np.testing.assert_allclose(shape.normals, expected.normals, atol=0.01)
    assert (summary.entries, summary.values, summary.refused, summary.prepared) == (5, store.counts.sum(), [], 5)
    assert left_in(tmp_path) == ["store.h5"]


def test_only_workers_keep_their_memory(tmp_path, monkeypatch):
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)  # Dask sets it
    get_reusable_executor().shutdown(wait=True)  # its workers have the environment of their start
    items = [Item("a", _refuse_with_allocation), Item("b", _refuse_with_allocation)]
    with pytest.raises(InputError, match=r"the first is: a: 268435456"):
        prepare(items, tmp_path / "store.h5", classes=[], pipeline=QUICK, jobs=2)
    assert "MALLOC_TRIM_THRESHOLD_" not in os.environ


def _refuse_with_allocation():
    raise InputError(os.environ.get("MALLOC_TRIM_THRESHOLD_", "unset"))


def test_the_number_of_workers_does_not_change_a_byte(items, prepare_quickly, tmp_path):
    prepare_quickly(items)
    prepare_quickly(items, out=tmp_path / "other.h5", jobs=2)
    assert (tmp_path / "store.h5").read_bytes() == (tmp_path / "other.h5").read_bytes()


def test_bad_meshes_are_listed_and_do_not_stop_the_run(items, prepare_quickly, tmp_path):
    (tmp_path / "meshes/01.off").write_bytes(b"\x89PNG")
    items[3] = Item("no mesh", partial(dict))
    summary = prepare_quickly(items)
    assert ShapeStore(tmp_path / "store.h5").id == ["00.off", "02.off", "04.off"]
    with (tmp_path / "store.h5.refused.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == ["01.off", "no mesh"]
    assert "a PNG image" in rows[0]["reason"] and "AttributeError" in rows[1]["reason"]
    assert [(refusal.id, refusal.reason) for refusal in summary.refused] == [tuple(row.values()) for row in rows]


def test_a_run_without_any_usable_mesh_says_where_the_reasons_are(items, prepare_quickly, tmp_path):
    for path in (tmp_path / "meshes").iterdir():
        path.write_text("broken")
    with pytest.raises(InputError, match=r"none of the 5 shapes.*store\.h5\.refused\.csv"):
        prepare_quickly(items)
    assert left_in(tmp_path) == ["store.h5.refused.csv"]


def test_the_same_again_does_nothing_and_something_else_needs_force(items, prepare_quickly, tmp_path):
    first = prepare_quickly(items)
    written = (tmp_path / "store.h5").stat().st_mtime_ns
    again = prepare_quickly(items)
    assert again.up_to_date and again.values == first.values
    for change in ({"items": items[:4]}, {"pipeline": Pipeline(resolution=17)}, {"classes": ["even", "odd"]}):
        with pytest.raises(InputError, match=r"store\.h5: exists already.*--force"):
            prepare_quickly(**{"items": items} | change)
    assert (tmp_path / "store.h5").stat().st_mtime_ns == written
    assert prepare_quickly(items[:4], force=True).entries == 4


def interrupt_after(count: int, monkeypatch) -> None:
    """Make the run end with Ctrl-C when ``count`` shapes are finished."""
    done, original = [], run._prepare_one

    def prepare_one(*arguments):
        if len(done) == count:
            raise KeyboardInterrupt
        done.append(original(*arguments))

    monkeypatch.setattr(run, "_prepare_one", prepare_one)


def test_an_interrupted_run_goes_on_with_what_is_missing(items, prepare_quickly, tmp_path, monkeypatch, caplog):
    prepare_quickly(items, out=tmp_path / "whole.h5")
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        interrupt_after(3, patched)
        prepare_quickly(items)
    assert not (tmp_path / "store.h5").exists()
    with caplog.at_level("INFO"):
        assert prepare_quickly(items).prepared == 2
    assert "3 of 5 shapes are finished already" in caplog.text
    assert (tmp_path / "store.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()


def test_changed_options_or_sources_are_made_anew(items, prepare_quickly, monkeypatch, caplog):
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        interrupt_after(3, patched)
        prepare_quickly(items)
    items[0] = Item(items[0].id, items[0].load, stamp="changed")
    with caplog.at_level("INFO"):
        assert prepare_quickly(items).prepared == 3  # two finished ones still count
    assert "1 shapes of an interrupted run" in caplog.text


def test_a_worker_that_crashes_costs_its_own_shape_alone(items, prepare_quickly, tmp_path):
    items.insert(1, Item("killed", partial(os._exit, 1)))
    items.insert(3, Item("segfault", partial(ctypes.string_at, 0)))
    summary = prepare_quickly(items, jobs=2)
    assert [refusal.id for refusal in summary.refused] == ["killed", "segfault"]
    assert "crashes its process" in summary.refused[0].reason
    assert summary.entries == 5


def test_a_killed_run_continues_to_the_identical_store(tmp_path, capsys, caplog):
    write_meshes(tmp_path / "meshes", 20)
    kept = kill_preparation("meshes", str(tmp_path / "meshes"), out=tmp_path / "killed.h5", entries=20)
    prep = ["prep", "meshes", str(tmp_path / "meshes"), "--jobs"]
    with caplog.at_level("INFO"):
        assert main([*prep, "1", "--out", str(tmp_path / "killed.h5")]) == 0
    assert f"{kept} of 20 shapes are finished already" in caplog.text
    assert f"prepared {20 - kept} shapes" in capsys.readouterr().out
    assert not (tmp_path / "killed.h5.prep").exists()
    assert main([*prep, "1", "--out", str(tmp_path / "whole.h5")]) == 0
    assert (tmp_path / "killed.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()


def test_a_full_disk_keeps_finished_shapes(items, prepare_quickly, tmp_path, monkeypatch):
    prepare_quickly(items, out=tmp_path / "whole.h5")
    for broken in ("write_entry", "require_space_for_store"):
        with monkeypatch.context() as patched:

            def full(*_):
                raise OSError(errno.ENOSPC, "No space left on device")

            patched.setattr(f"data_prep.working_folder.WorkingFolder.{broken}", full)
            with pytest.raises(InputError, match=r"store\.h5: the disk is full"):
                prepare_quickly(items)
    assert prepare_quickly(items).prepared == 0  # the second attempt had finished them all
    assert (tmp_path / "store.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()


def test_room_is_asked_for_before_the_store_is_assembled(items, prepare_quickly, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    with pytest.raises(InputError, match="the disk is full"):
        prepare_quickly(items)


def free_space(monkeypatch, count: int) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": count})())


def test_a_disk_that_will_be_too_small_is_told_after_the_first_entries(tmp_path, monkeypatch, caplog):
    """Ten sounds of 100,000 samples, 200 kB each: after four, six are to be made and all ten to be stored."""
    sounds = [Item(str(index), partial(np.zeros, 100_000), stamp=str(index)) for index in range(10)]
    monkeypatch.setattr(run, "_SAMPLE", 4)
    free_space(monkeypatch, 3_100_000)
    prepare_store(sounds, tmp_path / "small.h5", SoundRecipe(), classes=[], jobs=1)  # it was enough in the end
    (told,) = (record.getMessage() for record in caplog.records if record.levelname == "WARNING")
    assert "small.h5.prep: the disk has 0.0031 GB free, and if all sounds are like the first 4, 0.0032 GB" in told
    assert "0.0012 for the remaining ones and 0.002 for the store" in told
    caplog.clear()
    free_space(monkeypatch, 3_300_000)
    prepare_store(sounds, tmp_path / "large.h5", SoundRecipe(), classes=[], jobs=1)
    assert "disk" not in caplog.text
    assert [run._gigabytes(size) for size in (1_256_000_000_000, 628_000_000_000)] == ["1260", "628"]


def test_two_runs_do_not_write_one_store(items, prepare_quickly, tmp_path):
    working = tmp_path / "store.h5.prep"
    working.mkdir()
    holder = os.open(working, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    with pytest.raises(InputError, match="another run"):
        prepare_quickly(items)
    os.close(holder)  # what the end of a process does, however it ends
    assert prepare_quickly(items).entries == 5


def test_a_damaged_working_file_is_named_and_made_again(items, prepare_quickly, tmp_path, monkeypatch):
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        interrupt_after(3, patched)
        prepare_quickly(items)
    next((tmp_path / "store.h5.prep").glob("*.npz")).write_bytes(b"cut")
    with pytest.raises(InputError, match="run the same command again"):
        prepare_quickly(items)
    assert prepare_quickly(items).prepared == 1


def test_leftovers_of_a_kill_while_assembling_are_removed(items, prepare_quickly, tmp_path):
    (tmp_path / ".store.h5.123.writing").write_bytes(b"half")
    prepare_quickly(items)
    assert left_in(tmp_path) == ["store.h5"]


def labelled_cloud(largest: int) -> PointCloud:
    random = np.random.default_rng(0)
    return PointCloud(random.normal(size=(50, 3)), random.normal(size=(50, 3)), np.arange(50) % (largest + 1))


def test_labelled_point_clouds_keep_their_parts(prepare_quickly, tmp_path, items):
    clouds = [Item("good", partial(labelled_cloud, 1)), Item("bad", partial(labelled_cloud, 2)), items[0]]
    summary = prepare_quickly(clouds, parts=["leg", "seat"], pipeline=Pipeline(grid=None, patches=0))
    assert [refusal.id for refusal in summary.refused] == ["bad", "00.off"]
    assert "labels 0 to 2, but 2 parts" in summary.refused[0].reason and "not labeled" in summary.refused[1].reason
    store = ShapeStore(tmp_path / "store.h5")
    assert store.parts == ["leg", "seat"] and store[0].labels.tolist() == [0, 1] * 25


def test_contradictory_calls_are_refused_before_any_work(items, prepare_quickly, tmp_path):
    for change, reason in [
        ({"items": []}, "no items to prepare"),
        ({"items": [items[0], items[0]]}, "occurs twice"),
        ({"classes": []}, "category 'even'"),
        ({"items": [Item("a", items[0].load, split="dev")]}, "split 'dev'"),
        ({"out": tmp_path / "store.zip"}, r"must end in \.h5"),
        ({"out": tmp_path / "none/store.h5"}, "does not exist"),
        ({"jobs": 0}, "at least one"),
    ]:
        with pytest.raises(InputError, match=reason):
            prepare_quickly(**{"items": items} | change)
    assert left_in(tmp_path) == []

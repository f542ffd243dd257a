"""The sound store: what is written comes back, whole and in parts, and nothing else passes for a store."""

import multiprocessing
import pickle
import subprocess
import sys

import h5py
import numpy as np
import pytest

from pcrq import InputError
from pcrq.stores.shape_store import ShapeStore
from pcrq.stores.sound_store import Sound, SoundStore, SoundStoreWriter

LENGTHS = (1, 17, 16_384, 40_000)


def make_sound(index: int, **about) -> Sound:
    samples = np.random.default_rng(index).uniform(-1, 0.9999, LENGTHS[index]).astype(np.float32)
    return Sound(samples, f"clip{index}", **{"category": index % 3 - 1, "split": ("train", "test")[index // 3]} | about)


def write(path, sounds, **options) -> SoundStore:
    with SoundStoreWriter(path, classes=["a", "b"], **options) as writer:
        for sound in sounds:
            writer.append(sound)
    return SoundStore(path)


@pytest.fixture
def sounds() -> list[Sound]:
    return [make_sound(index, fold=index - 1) for index in range(4)]


@pytest.fixture
def path(tmp_path, sounds):
    write(tmp_path / "s.h5", sounds, source="made up", parameters={"rate": 16_000}).close()
    return tmp_path / "s.h5"


def test_sounds_come_back_within_half_a_step_of_16_bits(path, sounds):
    store = SoundStore(path)
    assert (store.classes, store.source, store.parameters) == (["a", "b"], "made up", {"rate": 16_000})
    assert store.lengths.tolist() == list(LENGTHS) and store.ids == ["clip0", "clip1", "clip2", "clip3"]
    assert store.fold.tolist() == [-1, 0, 1, 2]
    for read, written in zip(store, sounds, strict=True):
        assert read.samples.dtype == np.float32
        np.testing.assert_allclose(read.samples, written.samples, atol=0.5 / 32768)
        about = ("id", "category", "split", "fold")
        assert [getattr(read, name) for name in about] == [getattr(written, name) for name in about]
    assert store[-1].index == 3


def test_every_16_bit_sample_comes_back_exactly(tmp_path):
    everything = np.arange(-(2**15), 2**15).astype(np.int16)
    as_floats = everything.astype(np.float32) / 32768
    store = write(tmp_path / "s.h5", [Sound(as_floats, "floats"), Sound(everything, "integers")])
    for index in (0, 1):
        np.testing.assert_array_equal(store.samples(index), as_floats)


def test_full_scale_keeps_its_sign(tmp_path):
    store = write(tmp_path / "s.h5", [Sound(np.array([1.0, -1.0]), "a")])
    assert store.samples(0).tolist() == [32767 / 32768, -1.0]


def test_a_part_of_a_clip_is_that_part(path, sounds):
    store = SoundStore(path)
    for index, start, count in [(3, 0, 10), (3, 16_380, 15_200), (3, 39_999, 1), (2, 5, None), (1, 17, 0), (-1, 7, 9)]:
        stop = None if count is None else start + count
        np.testing.assert_array_equal(store.samples(index, start, count), store[index].samples[start:stop])


def test_a_part_reads_only_the_chunks_it_lies_in(tmp_path):
    """A hole is torn into the file where the rest of the clip lies."""
    path = tmp_path / "s.h5"
    sound = Sound(np.random.default_rng(0).integers(-(2**15), 2**15, 4 * 16_384).astype(np.int16), "a")
    write(path, [sound]).close()
    with h5py.File(path) as file:
        torn = [file["samples"].id.get_chunk_info(chunk).byte_offset for chunk in (0, 3)]
    content = bytearray(path.read_bytes())
    for offset in torn:
        content[offset : offset + 2 * 16_384] = bytes(2 * 16_384)
    path.write_bytes(content)
    store = SoundStore(path)
    np.testing.assert_array_equal(store.samples(0, 16_384, 32_768) * 32768, sound.samples[16_384:49_152])
    with pytest.raises(InputError, match="differs"):
        store.verify()


@pytest.mark.parametrize(
    ("index", "start", "count"), [(4, 0, 1), (-5, 0, 1), (1, 0, 18), (1, -1, 2), (1, 18, None), (1, 5, -1)]
)
def test_what_is_not_there_is_an_index_error(path, index, start, count):
    with pytest.raises(IndexError, match=r"no (clip|samples)"):
        SoundStore(path).samples(index, start, count)


def test_splits_are_selected(path):
    store = SoundStore(path)
    assert store.indices("train").tolist() == [0, 1, 2] and store.indices("test").tolist() == [3]
    assert len(store.indices()) == len(store) == 4 and len(store.indices("val")) == 0


def test_plain_h5py_reads_the_documented_layout(path, sounds):
    with h5py.File(path) as file:
        start, stop = file["clips/offsets"][1:3]
        np.testing.assert_allclose(file["samples"][start:stop] / 32768, sounds[1].samples, atol=0.5 / 32768)
        assert file["clips/id"][1] == b"clip1" and file["clips/fold"][3] == 2
        assert (file.attrs["format"], file.attrs["rate"]) == ("pcrq-sounds", 16_000)


def test_a_second_takes_32_kilobytes(tmp_path):
    second = np.zeros(16_000, np.int16)
    store = write(tmp_path / "s.h5", [Sound(second, str(index)) for index in range(100)])
    assert store.path.stat().st_size < 100 * 32_500


def test_the_samples_are_looked_up_in_the_file_once(path, monkeypatch):
    """Which takes three times as long as reading a second of them."""
    looked_up, original = [], h5py.Group.__getitem__
    monkeypatch.setattr(h5py.Group, "__getitem__", lambda group, name: looked_up.append(name) or original(group, name))
    store = SoundStore(path)
    opened = len(looked_up)
    first = [store.samples(3, start, 100) for start in range(0, 4000, 100)]
    assert looked_up[opened:] == ["samples"]
    store.close()  # which ends what was looked up, too
    np.testing.assert_array_equal(np.concatenate(first), store.samples(3, 0, 4000))
    assert looked_up[opened:] == ["samples"] * 2


_inherited: list[SoundStore] = []


def _read_inherited(_):
    return float(_inherited[0].samples(2, 100, 200).sum())


def test_a_forked_process_does_not_use_what_its_parent_looked_up(path, monkeypatch):
    store = SoundStore(path)
    expected = float(store.samples(2, 100, 200).sum())
    monkeypatch.setattr(sys.modules[__name__], "_inherited", [store])
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(_read_inherited, range(4)) == [expected] * 4


def _read_in_worker(pickled):
    store = pickle.loads(pickled)
    return float(store.samples(2, 100, 200).sum())


def test_a_worker_process_opens_its_own_handle(path):
    store = SoundStore(path)
    expected = float(store.samples(2, 100, 200).sum())
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(_read_in_worker, [pickle.dumps(store)] * 4) == [expected] * 4


def test_the_same_sounds_give_the_same_bytes_and_others_another_digest(tmp_path, sounds):
    first, second = (write(tmp_path / name, sounds) for name in ("a", "b"))
    assert first.path.read_bytes() == second.path.read_bytes()
    digests = {first.digest}
    for number, change in enumerate(
        [{"fold": 5}, {"split": "val"}, {"category": 1}, {"samples": sounds[0].samples / 2}]
    ):
        changed = [Sound(**{**vars(sounds[0]), **change}), *sounds[1:]]
        digests.add(write(tmp_path / f"c{number}", changed).digest)
    assert len(digests) == 5


def test_an_exception_leaves_the_old_store_and_no_litter(path, tmp_path, sounds):
    before = path.read_bytes()
    with pytest.raises(RuntimeError), SoundStoreWriter(path, classes=["a", "b"]) as writer:
        writer.append(sounds[0])
        raise RuntimeError
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_killed_writer_leaves_nothing_under_the_name(tmp_path):
    code = (
        "import os, sys, numpy as np\nfrom pcrq.stores.sound_store import Sound, SoundStoreWriter\n"
        "with SoundStoreWriter(sys.argv[1], classes=[]) as writer:\n"
        "    writer.append(Sound(np.zeros(99), 'a'))\n    writer._file.flush()\n    os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "s.h5")], check=False, timeout=60)
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".s.h5.")
    with pytest.raises(InputError):
        SoundStore(left)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"samples": np.zeros(0)}, "samples of shape"),
        ({"samples": np.zeros((5, 2))}, "samples of shape"),
        ({"samples": np.array([0, np.nan])}, "finite"),
        ({"samples": np.array([0, 1.5])}, "beyond full scale"),
        ({"category": 2}, "category 2"),
        ({"split": "training"}, "split"),
        ({"fold": -2}, "fold"),
    ],
)
def test_a_sound_that_does_not_fit_is_refused_by_name(tmp_path, sounds, change, word):
    with pytest.raises(InputError, match=f"clip0: .*{word}"):
        write(tmp_path / "s.h5", [Sound(**{**vars(sounds[0]), **change})])


def test_an_id_is_unique(tmp_path, sounds):
    with pytest.raises(InputError, match="sound id 'clip0' occurs twice"):
        write(tmp_path / "s.h5", [sounds[0], sounds[0]])


def test_an_empty_store_is_a_store(tmp_path):
    store = write(tmp_path / "s.h5", [])
    store.verify()
    assert len(store) == 0 and len(store.lengths) == 0


def test_files_that_are_no_store_say_what_they_are(tmp_path, path):
    whole = path.read_bytes()
    cases = {
        "missing": (None, "no such file; make a sound store"),
        "text": (b"hello", "not an HDF5 file, so not a sound store"),
        "truncated": (whole[: len(whole) // 2], "cut short"),
    }
    for name, (content, message) in cases.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=f"{name}.*{message}"):
            SoundStore(tmp_path / name)


def test_stores_of_the_other_kind_are_named(path, store_path):
    with pytest.raises(InputError, match=r"s\.h5: a sound store, but not a shape store"):
        ShapeStore(path)
    with pytest.raises(InputError, match=r"toy\.h5: a shape store, but not a sound store"):
        SoundStore(store_path)


def test_unfinished_newer_and_inconsistent_files_are_told_apart(tmp_path, path):
    edits = {
        "not written to its end": lambda file: file.attrs.__delitem__("complete"),
        "update pcrq": lambda file: file.attrs.__setitem__("version", 99),
        "but not a sound store": lambda file: file.attrs.__delitem__("format"),
        "damaged": lambda file: file.__delitem__("clips/fold"),
        "differ in length": lambda file: file["samples"].resize(10, axis=0),
    }
    for message, edit in edits.items():
        copy = tmp_path / "copy.h5"
        copy.write_bytes(path.read_bytes())
        with h5py.File(copy, "r+") as file:
            edit(file)
        with pytest.raises(InputError, match=message):
            SoundStore(copy)


def test_verify_finds_a_single_changed_sample(path):
    store = SoundStore(path)
    store.verify()
    store.close()
    with h5py.File(path, "r+") as file:
        file["samples"][7] += 1
    with pytest.raises(InputError, match="differs"):
        SoundStore(path).verify()

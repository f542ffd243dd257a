"""The sound tasks of the paper's table 9, from their data sets as they are published to a store.

The layouts are written by tests/support/sound_layouts.py, and read back here by other means.
"""

import csv
import errno
import gzip
import io
import json
import logging
import re
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from packing import pack, pack_tar
from sound_layouts import (
    write_nsynth,
    write_speech_commands,
    write_urbansound8k,
    write_voxceleb1,
    write_voxforge,
)

from data_prep.archives import plain_tar
from data_prep.public_datasets import (
    collect_nsynth,
    collect_speech_commands,
    collect_urbansound8k,
    collect_voxceleb1,
    collect_voxforge,
)
from data_prep.public_datasets.speech_commands import PUBLISHED, segment_starts
from data_prep.public_datasets.voxforge import split_of
from pcrq import InputError
from pcrq.stores.sound_store import SoundStore
from projects.cli import main
from projects.report.tables import TABLES

COMMANDS = {
    "nsynth": collect_nsynth,
    "urbansound8k": collect_urbansound8k,
    "voxceleb1": collect_voxceleb1,
    "voxforge": collect_voxforge,
    "speech-commands": lambda source, folder: collect_speech_commands(source, folder, classes=35),
}


@pytest.fixture(scope="session")
def published(tmp_path_factory) -> Path:
    """A folder for every data set, called like its command."""
    folder = tmp_path_factory.mktemp("published")
    write_nsynth(folder / "nsynth", notes=1)
    write_urbansound8k(folder / "urbansound8k")
    write_voxceleb1(folder / "voxceleb1")
    write_voxforge(folder / "voxforge", speakers=8)
    write_speech_commands(folder / "speech-commands")
    return folder


@pytest.fixture
def copy(published, tmp_path):
    """``copy(name)``: a published folder to break."""
    return lambda name: Path(shutil.copytree(published / name, tmp_path / name))


@pytest.fixture
def collect(tmp_path):
    """``collect(name, source)``: the task, decompressed where a test can look."""
    return lambda name, source: COMMANDS[name](source, tmp_path / "unpacked")


def prep(command: str, source, out, *options) -> int:
    return main(["prep", command, str(source), "--out", str(out), "--jobs", "1", *options])


def archives(published: Path, command: str, target: Path) -> Path:
    """The data set as it is downloaded; VoxForge is written as archives anyway."""
    target.mkdir()
    if command == "nsynth":
        for part in ("train", "valid", "test"):
            pack_tar(published / f"nsynth/nsynth-{part}", target / f"nsynth-{part}.jsonwav.tar.gz")
    elif command == "urbansound8k":
        pack_tar(published / "urbansound8k", target / "UrbanSound8K.tar.gz", top="UrbanSound8K")
    elif command == "voxceleb1":
        pack(published / "voxceleb1/wav", target / "vox1_dev_wav.zip")
        shutil.copy(published / "voxceleb1/iden_split.txt", target)
    elif command == "voxforge":
        target.rmdir()
        shutil.copytree(published / "voxforge", target)
    else:
        for name in ("speech_commands_v0.02", "speech_commands_test_set_v0.02"):
            pack_tar(published / "speech-commands" / name, target / f"{name}.tar.gz", top=".")
    return target


def unpacked_voxforge(published: Path, target: Path) -> Path:
    shutil.copytree(published / "voxforge", target)
    for archive in target.rglob("*.tgz"):
        with tarfile.open(archive) as opened:
            opened.extractall(archive.parent, filter="data")
        archive.unlink()
    return target


def described(task) -> list:
    return [(item.id, item.category, item.split, item.fold) for item in task.items]


@pytest.mark.parametrize("command", COMMANDS)
def test_archives_and_folders_are_the_same_task(published, tmp_path, collect, command):
    folder = published / command
    if command == "voxforge":
        folder = unpacked_voxforge(published, tmp_path / "folder")
    packed = archives(published, command, tmp_path / "archives")
    from_folder, from_archives = collect(command, folder), collect(command, packed)
    assert described(from_folder) == described(from_archives)
    for ours, theirs in zip(from_folder.items[::9], from_archives.items[::9], strict=True):
        np.testing.assert_array_equal(ours.load(), theirs.load())


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_makes_the_same_store_with_workers_and_leaves_nothing_else(published, tmp_path, command, capsys):
    packed = archives(published, command, tmp_path / "archives")
    assert prep(command, packed, tmp_path / "one.h5") == 0
    assert not list(tmp_path.glob("one.h5.*"))
    if command in ("nsynth", "voxceleb1"):  # a tar and a zip
        assert prep(command, packed, tmp_path / "two.h5", "--jobs", "2") == 0
        assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()
    capsys.readouterr()
    assert prep(command, packed, tmp_path / "one.h5") == 0
    assert "up to date" in capsys.readouterr().out
    SoundStore(tmp_path / "one.h5").verify()


# ------------------------------------------------------------------------------------------------ the five data sets


def test_nsynth(published, tmp_path):
    assert prep("nsynth", published / "nsynth", tmp_path / "s.h5") == 0
    store = SoundStore(tmp_path / "s.h5")
    assert (store.parameters["task"], store.parameters["seconds"], store.source) == ("NS", 4.0, "NSynth, nsynth")
    assert len(store.classes) == 11 and store.classes[0] == "bass" and store.classes[9] == "synth_lead"
    assert [store.split.count(split) for split in ("train", "val", "test")] == [11, 11, 11]
    for index, id in enumerate(store.ids):
        part, name = id.split("/")
        entry = json.loads((published / "nsynth" / part / "examples.json").read_text())[name]
        assert store.category[index] == entry["instrument_family"]
        assert store.split[index] == {"nsynth-train": "train", "nsynth-valid": "val", "nsynth-test": "test"}[part]
        written, _ = soundfile.read(published / "nsynth" / part / f"audio/{name}.wav", dtype="int16")
        np.testing.assert_array_equal(store.samples(index) * 32768, written)


def test_urbansound8k_keeps_the_authors_folds(published, tmp_path):
    assert prep("urbansound8k", published / "urbansound8k", tmp_path / "s.h5") == 0
    store = SoundStore(tmp_path / "s.h5")
    assert (store.parameters["task"], store.parameters["seconds"]) == ("US8K", 4.0)
    with (published / "urbansound8k/metadata/UrbanSound8K.csv").open() as file:
        rows = {f"fold{row['fold']}/{row['slice_file_name']}": row for row in csv.DictReader(file)}
    assert sorted(rows) == sorted(store.ids) and set(store.split) == {""}
    for id, fold, category in zip(store.ids, store.fold, store.category, strict=True):
        assert str(fold) == rows[id]["fold"] and str(category) == rows[id]["classID"]
        assert store.classes[category] == rows[id]["class"]
    assert store.fold.tolist() == sorted(store.fold) and set(store.fold) == set(range(1, 11))


def test_voxceleb1_follows_the_identification_list(published, tmp_path):
    assert prep("voxceleb1", published / "voxceleb1", tmp_path / "s.h5") == 0
    store = SoundStore(tmp_path / "s.h5")
    assert (store.parameters["task"], store.parameters["seconds"]) == ("VC1", 8.2)
    assert store.classes == ["id10001", "id10002", "id10003"]
    rows = [line.split() for line in (published / "voxceleb1/iden_split.txt").read_text().splitlines()]
    assert sorted(store.ids) == sorted(name for _, name in rows)
    split = {name: {"1": "train", "2": "val", "3": "test"}[number] for number, name in rows}
    assert store.split == [split[id] for id in store.ids]
    assert [store.classes[c] for c in store.category] == [id.split("/")[0] for id in store.ids]


def test_voxforge_keeps_speakers_together(published, tmp_path):
    assert prep("voxforge", published / "voxforge", tmp_path / "s.h5") == 0
    store = SoundStore(tmp_path / "s.h5")
    assert (store.parameters["task"], store.parameters["seconds"]) == ("VF by speaker", 5.8)
    assert store.classes == ["de", "en", "es", "fr", "it", "ru"] and len(store) == 6 * 8 * 2
    splits: dict[str, set] = {}
    for id, split, category in zip(store.ids, store.split, store.category, strict=True):
        language, recording, _ = id.split("/")
        assert store.classes[category] == language
        splits.setdefault(recording.split("-")[0], set()).add(split)
    assert len(splits) == 6 * 8 and all(len(found) == 1 for found in splits.values())
    assert {*store.split} == {"train", "val", "test"}


def listed_voxforge(target: Path, source: Path, *, top: str = "") -> dict[str, tuple[str, str]]:
    """Write a list as BYOL-A's authors publish it, archives drawn; by clip, language and their word for the split."""
    archives = sorted(source.rglob("*.tgz"))
    drawn = np.random.default_rng(0).permutation(len(archives)) % 4
    clips = {}
    for archive, number in zip(archives, drawn, strict=True):
        with tarfile.open(archive) as opened:
            for name in opened.getnames():
                if name.endswith(".wav"):
                    clips[name] = (archive.relative_to(source).parts[0], ("train", "train", "valid", "test")[number])
    with target.open("w", newline="") as file:
        rows = [(top + name, *about) for name, about in clips.items()]
        csv.writer(file).writerows([("file_name", "label", "split"), *rows])
    return clips


@pytest.mark.parametrize("top", ["", "voxforge/de/"])
def test_voxforge_with_the_published_list_is_the_task_of_the_paper(published, tmp_path, top):
    clips = listed_voxforge(tmp_path / "voxforge.csv", published / "voxforge", top=top)
    options = ("--splits", str(tmp_path / "voxforge.csv"))
    assert prep("voxforge", published / "voxforge", tmp_path / "s.h5", *options) == 0
    store = SoundStore(tmp_path / "s.h5")
    assert (store.parameters["task"], store.parameters["seconds"]) == ("VF", 5.8) and len(store) == 6 * 8 * 2
    for id, split, category in zip(store.ids, store.split, store.category, strict=True):
        language, recording, file = id.split("/")
        assert clips[f"{recording}/wav/{file}"] == (language, "valid" if split == "val" else split)
        assert store.classes[category] == language
    assert prep("voxforge", published / "voxforge", tmp_path / "s.h5") == 2  # another task under that name
    assert "VF" in TABLES["9"].columns and "VF by speaker" not in TABLES["9"].columns


def test_clips_in_no_list_are_left_out_and_listed_ones_must_be_there(copy, tmp_path, caplog):
    folder = copy("voxforge")
    listed_voxforge(tmp_path / "list.csv", folder)
    new = folder / "de/new-20260101-abc"
    for clip in ("wav/a.wav", "flac/b.flac"):
        (new / clip).parent.mkdir(parents=True)
        soundfile.write(new / clip, np.zeros(100), 16_000)
    renamed, damaged, missing = sorted((folder / "fr").rglob("*.tgz"))[:3]
    renamed.rename(renamed.with_name("other-20080318-name.tgz"))  # the folder in it is called as before
    damaged.write_bytes(b"<html>")
    found = collect_voxforge(folder, tmp_path / "unpacked", splits=tmp_path / "list.csv").items
    assert len(found) == 6 * 8 * 2 - 2 + 1 and found[-1].id == f"fr/{damaged.stem}"
    assert {item.id for item in found if "other" in item.id} == {f"fr/other-20080318-name/fr000{n}.wav" for n in (1, 2)}
    assert "2 clips are not in the list and not used; the first is de/new-20260101-abc/a.wav" in caplog.text
    missing.unlink()
    with pytest.raises(
        InputError, match=rf"list\.csv: 2 of its 96 clips are missing, the first is {missing.stem}/wav/"
    ):
        collect_voxforge(folder, tmp_path / "unpacked", splits=tmp_path / "list.csv")


HEADER = "file_name,label,split\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, r"cannot be read \(No such file or directory\)"),
        ("", r"columns \[\], expected file_name, label, split; get the list again, https://github"),
        ("<html>\n<body>\n", r"columns \['<html>'\], expected file_name"),
        (b"\xff\xfe", "not a CSV file in UTF-8"),
        (HEADER + '"a', "not a CSV file in UTF-8"),
        (HEADER, "contains no clip for train"),
        (HEADER + "a/wav/b.wav,de,train\na/wav/c.wav,de,test\n", "contains no clip for val"),
        (HEADER + "a/wav/b.wav,de,train\nb.wav,de,train\n", "line 3 has 'b.wav', 'train'; expected a name such as"),
        (HEADER + "a/wav/b.wav,de,dev\n", "line 2 has 'a/wav/b.wav', 'dev'; expected .* train, valid or test"),
        (HEADER + "a/wav/b.wav\n", "line 2 has 'a/wav/b.wav', None"),
        (HEADER + "a/wav/b.wav,de,train\na/wav/b.wav,de,test\n", "a/wav/b.wav is in two splits, train and test"),
    ],
)
def test_a_list_of_voxforge_that_cannot_be_used_is_one_line(published, tmp_path, capsys, content, reason):
    if content is not None:
        (tmp_path / "l.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    options = ("--splits", str(tmp_path / "l.csv"))
    assert prep("voxforge", published / "voxforge", tmp_path / "s.h5", *options) == 2
    error = capsys.readouterr().err.strip()
    assert re.search(rf"^pcrq: error: .*l\.csv: .*{reason}", error) and "\n" not in error
    assert not list(tmp_path.glob("s.h5*"))


def test_the_split_of_a_speaker_is_a_fixed_draw_by_name():
    drawn = [split_of(f"speaker{number}-20080318-abc") for number in range(20_000)]
    shares = [drawn.count(split) / len(drawn) for split in ("train", "val", "test")]
    assert shares == pytest.approx([0.70, 0.15, 0.15], abs=0.01)  # three standard deviations
    assert split_of("Ralf-Herzog-20070803-de1") == split_of("ralf-herzog-20090101-xyz")
    assert len({split_of(f"anonymous-20080318-{number}") for number in range(50)}) == 3
    # The beginnings of the four SHA-256, from another program; 0.70 is b333 and 0.85 d999. Stores of others must agree.
    fixed = {"kdl": ("1125", "train"), "ttm": ("bfbc", "val"), "x": ("741e", "train"), "1028": ("e7e1", "test")}
    for name, (digest, split) in fixed.items():
        assert split_of(f"{name}-20080318-abc") == split, digest


def test_speech_commands_with_35_words(published, tmp_path):
    assert prep("speech-commands", published / "speech-commands", tmp_path / "s.h5") == 0
    store = SoundStore(tmp_path / "s.h5")
    assert (store.parameters["task"], store.parameters["seconds"]) == ("SPCV2", 1.0)
    root = published / "speech-commands/speech_commands_v0.02"
    words = sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("_"))
    assert store.classes == words and len(words) == 35 and len(store) == 35 * 3
    lists = {name: set((root / f"{name}_list.txt").read_text().split()) for name in ("validation", "testing")}
    for id, split, category in zip(store.ids, store.split, store.category, strict=True):
        assert store.classes[category] == id.split("/")[0]
        expected = "val" if id in lists["validation"] else "test" if id in lists["testing"] else "train"
        assert split == expected


def test_speech_commands_with_12_classes_is_what_tensorflow_datasets_makes(published, tmp_path, collect):
    assert prep("speech-commands", published / "speech-commands", tmp_path / "s.h5", "--classes", "12") == 0
    store = SoundStore(tmp_path / "s.h5")
    assert (store.parameters["task"], store.parameters["seconds"]) == ("SPCV2/12", 1.0)
    assert " ".join(store.classes) == "down go left no off on right stop up yes _silence_ _unknown_"
    counts = {
        split: np.bincount(store.category[np.array(store.split) == split], minlength=12).tolist()
        for split in ("train", "val", "test")
    }
    stretches = len(range(0, 44_000 - 16_000, 8_000))  # of 2.75 seconds; in each of the two files
    assert counts == {
        "train": [1] * 10 + [stretches, 25],
        "val": [1] * 10 + [stretches, 25],
        "test": [1] * 10 + [1, 1],
    }
    root = published / "speech-commands/speech_commands_v0.02/_background_noise_"
    for split, name in (("val", "running_tap"), ("train", "pink_noise")):
        noise, _ = soundfile.read(root / f"{name}.wav", dtype="int16")
        for start in range(0, 44_000 - 16_000, 8_000):
            index = store.ids.index(f"_background_noise_/{name}.wav/{start:07}")
            assert store.split[index] == split and store.classes[store.category[index]] == "_silence_"
            np.testing.assert_array_equal(store.samples(index) * 32768, noise[start : start + 16_000])


def test_the_published_numbers_of_12_classes_follow_from_the_published_files():
    """Lengths of the published noise in samples; with the words' numbers they give those of TensorFlow Datasets."""
    train = [1_522_930, 988_891, 980_562, 960_000, 960_000]  # dishes, miaowing, bike, pink and white noise
    added = {"train": sum(len(segment_starts(samples)) for samples in train), "val": len(segment_starts(978_488))}
    for split, stretches in added.items():
        assert PUBLISHED[35][split] + stretches == PUBLISHED[12][split]
    assert list(segment_starts(32_001)) == [0, 8_000, 16_000] and list(segment_starts(32_000)) == [0, 8_000]


def test_both_archives_unpacked_into_one_folder_are_the_same(published, tmp_path, collect):
    for name in ("speech_commands_v0.02", "speech_commands_test_set_v0.02"):
        shutil.copytree(published / "speech-commands" / name, tmp_path / "both", dirs_exist_ok=True)
    apart = collect_speech_commands(published / "speech-commands", tmp_path, classes=12)
    together = collect_speech_commands(tmp_path / "both", tmp_path, classes=12)
    assert described(apart) == described(together)


# ------------------------------------------------------------------------------------------------ what can be wrong


BROKEN = {
    "nsynth": [
        ("nsynth-valid", None, r"nsynth-valid with its audio is missing; pass the folder .*nsynth-\{train"),
        ("nsynth-test/examples.json", None, r"nsynth-test/examples\.json is missing; pass the folder"),
        ("nsynth-train/audio/bass_synthetic_000-060-100.wav", None, r"examples\.json: 1 of its 11 clips are missing"),
        ("nsynth-train/examples.json", "[", r"examples\.json: not a table of NSynth"),
        ("nsynth-train/examples.json", "[1]", r"examples\.json: not a table of NSynth"),
        ("nsynth-train/examples.json", '{"a": {}}', r"examples\.json: not a table of NSynth .*instrument_family"),
        ("nsynth-train/examples.json", "{}", r"examples\.json: contains no note"),
        (
            "nsynth-train/examples.json",
            '{"a": {"instrument_family": 11, "instrument_family_str": "drum"}}',
            "a is of family 11, 'drum'; the eleven are 0 bass to 10 vocal",
        ),
    ],
    "urbansound8k": [
        ("metadata", None, r"metadata/UrbanSound8K\.csv is missing; pass the folder that contains audio and metadata"),
        ("audio/fold3", None, r"csv: 10 of its 100 clips are missing, the first is fold3/3000-0-0-0\.wav; extract"),
        ("metadata/UrbanSound8K.csv", "file,label\n", r"csv: columns \['file', 'label'\], expected slice_file_name"),
        ("metadata/UrbanSound8K.csv", b"\xff", r"csv: not a CSV file in UTF-8"),
        ("metadata/UrbanSound8K.csv", "slice_file_name,fold,classID,class\n", "contains no clip"),
        (
            "metadata/UrbanSound8K.csv",
            "slice_file_name,fold,classID,class\nx.wav,11,0,air_conditioner\n",
            "x.wav is in fold '11'; they are 1 to 10",
        ),
        (
            "metadata/UrbanSound8K.csv",
            "slice_file_name,fold,classID,class\nx.wav,1,1,air_conditioner\n",
            "x.wav is of class '1', 'air_conditioner'; they are 0 air_conditioner to",
        ),
        (
            "metadata/UrbanSound8K.csv",
            "slice_file_name,fold,classID,class\n1000-0-0-0.wav,1,0,air_conditioner\n",
            "no clip of fold 2; all ten folds are needed",
        ),
    ],
    "voxceleb1": [
        ("iden_split.txt", None, r"iden_split\.txt is missing; get it from https://"),
        ("wav/id10002", None, r"iden_split\.txt: 6 of its 18 clips are missing, the first is id10002/"),
        ("iden_split.txt", "4 id10001/video-00001/00001.wav\n", r"line 1 is '4 id10001/.*expected 1, 2 or 3"),
        ("iden_split.txt", "1 0 id1/a.wav id2/b.wav\n", "line 1 is '1 0 id1"),
        ("iden_split.txt", "\n1 id10001/video-00001/00001.wav\n", "contains no clip for val; get the complete list"),
    ],
    "voxforge": [("es", None, "no clip of es; the task needs all six languages, from http")],
    "speech-commands": [
        ("speech_commands_v0.02/testing_list.txt", None, r"testing_list\.txt is missing; pass the folder above"),
        (
            "speech_commands_v0.02/bed",
            None,
            r"validation_list\.txt: 1 of its 35 clips are missing, the first is bed/",
        ),
        ("speech_commands_v0.02/testing_list.txt", "", r"testing_list\.txt: contains no clip"),
        ("speech_commands_v0.02/testing_list.txt", "bed/x.wav\n", r"testing_list\.txt: 1 of its 1 clips .* bed/x\.wav"),
    ],
}


@pytest.mark.parametrize(
    ("command", "path", "content", "reason"),
    [(command, *case) for command, cases in BROKEN.items() for case in cases],
)
def test_what_is_missing_or_broken_is_named_with_a_cure(copy, collect, command, path, content, reason):
    broken = copy(command) / path
    if broken.is_dir():
        shutil.rmtree(broken)
    elif content is None:
        broken.unlink()
    else:
        broken.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=reason) as raised:
        collect(command, broken.parents[len(Path(path).parts) - 1])
    assert "\n" not in str(raised.value)


def test_a_version_of_speech_commands_with_fewer_words_is_told(copy, collect):
    folder = copy("speech-commands") / "speech_commands_v0.02"
    new = ("backward", "follow", "forward", "learn", "visual")
    for word in new:
        shutil.rmtree(folder / word)
    for name in ("validation_list.txt", "testing_list.txt"):
        lines = (folder / name).read_text().splitlines(keepends=True)
        (folder / name).write_text("".join(line for line in lines if line.split("/")[0] not in new))
    with pytest.raises(InputError, match=r"no clip of backward and 4 more .* version 0\.01 has fewer: get https"):
        collect("speech-commands", folder)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("speech_commands_test_set_v0.02", "the test clips of _silence_ are missing; put the test set into the same"),
        ("speech_commands_test_set_v0.02/_unknown_", "the test clips of _unknown_ are missing"),
        ("speech_commands_v0.02/_background_noise_", "_background_noise_ with running_tap.wav and others is missing"),
    ],
)
def test_12_classes_need_noise_and_the_test_set_which_35_do_not(copy, tmp_path, path, reason):
    folder = copy("speech-commands")
    shutil.rmtree(folder / path)
    with pytest.raises(InputError, match=reason):
        collect_speech_commands(folder, tmp_path, classes=12)
    assert len(collect_speech_commands(folder, tmp_path, classes=35).items) == 105


@pytest.mark.parametrize("command", COMMANDS)
def test_another_data_set_is_recognised(published, tmp_path, collect, command, capsys):
    names = {"nsynth": "NSynth", "voxceleb1": "VoxCeleb1", "voxforge": "VoxForge", "urbansound8k": "UrbanSound8K"}
    for other in COMMANDS.keys() - {command}:
        name = names.get(other, "Speech Commands")
        packed = archives(published, other, tmp_path / other)
        for source in (published / other, packed):
            with pytest.raises(InputError, match=f"looks like {name}, not like .*; use 'pcrq prep {other}'"):
                collect(command, source)
    assert prep(command, published / other, tmp_path / "s.h5") == 2
    error = capsys.readouterr().err
    assert error.startswith("pcrq: error: ") and error.count("\n") == 1
    assert not list(tmp_path.glob("s.h5*"))


@pytest.mark.parametrize(
    ("files", "advice"),
    [
        (["a/x.wav", "a/y.flac"], "but 2 sound files in another layout; pass the top folder .* 'pcrq prep audio'"),
        (
            ["data.tar.gz"],
            r"but an archive d/data\.tar\.gz; pass the archive itself, with its published name, or extract it",
        ),
        (["README.txt"], "may be incomplete"),
        (["nsynth-train.tfrecord"], "looks like NSynth as tfrecord, .*get its three archives"),
        (["vox1_dev_wav_partaa", "vox1_dev_wav_partab"], "looks like VoxCeleb1 in pieces.* cat vox1_dev_wav_parta"),
        (["dev/aac/id00012/21Uxsk56VDQ/00001.m4a"], "looks like VoxCeleb2, .*get VoxCeleb1"),
    ],
)
def test_what_is_no_task_gets_advice(tmp_path, collect, files, advice):
    for name in files:
        (tmp_path / "d" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "d" / name).write_text("x")
    for command in COMMANDS.keys() - {"voxforge"}:
        with pytest.raises(InputError, match=advice):
            collect(command, tmp_path / "d")


@pytest.mark.parametrize("command", COMMANDS)
def test_sources_of_another_kind_are_refused(tmp_path, collect, command):
    (tmp_path / "a.rar").write_text("x")
    with pytest.raises(InputError, match=r"a\.rar: neither a folder nor an archive \(\.zip \.tar \.tar\.gz \.tgz\)"):
        collect(command, tmp_path / "a.rar")
    for name in ("none", "none.tar.gz", "none.zip"):
        with pytest.raises(InputError, match=f"{name}: no such file or folder"):
            collect(command, tmp_path / name)


def test_one_of_three_archives_and_a_folder_too_deep_say_what_to_name(published, tmp_path, collect):
    packed = archives(published, "nsynth", tmp_path / "archives")
    with pytest.raises(InputError, match="nsynth-valid with its audio is missing; pass the folder that contains all"):
        collect("nsynth", packed / "nsynth-train.jsonwav.tar.gz")
    with pytest.raises(InputError, match="pass the folder that contains all"):
        collect("nsynth", published / "nsynth/nsynth-train")
    with pytest.raises(InputError, match="pass the folder that contains audio and metadata"):
        collect("urbansound8k", published / "urbansound8k/audio")
    with pytest.raises(InputError, match="pass the folder above the words"):
        collect("speech-commands", published / "speech-commands/speech_commands_v0.02/bed")
    with pytest.raises(InputError, match="is in no folder of a language"):
        collect("voxforge", published / "voxforge/de/Trunk")


def test_files_above_the_data_set_do_not_matter(published, tmp_path, collect):
    for command in ("nsynth", "urbansound8k", "voxceleb1", "voxforge"):
        shutil.copytree(published / command, tmp_path / "all" / command)
    for command in ("nsynth", "urbansound8k", "voxceleb1"):
        assert described(collect(command, tmp_path / "all")) == described(collect(command, published / command))


def test_an_archive_beside_what_it_holds_is_passed_over(published, tmp_path, collect, caplog):
    packed = archives(published, "nsynth", tmp_path / "archives")
    shutil.copytree(published / "nsynth/nsynth-train", packed / "nsynth-train")
    with caplog.at_level(logging.INFO):
        found = collect("nsynth", packed)
    assert "nsynth-train.jsonwav.tar.gz is ignored, because archives/nsynth-train/ is beside it" in caplog.text
    assert described(found) == described(collect("nsynth", published / "nsynth"))
    assert sorted(path.name.split(".")[0] for path in (tmp_path / "unpacked").iterdir()) == [
        "nsynth-test",
        "nsynth-valid",
    ]


def test_a_data_set_that_is_there_twice_is_refused(published, tmp_path, collect):
    for name in ("a", "b"):
        shutil.copytree(published / "voxceleb1", tmp_path / "both" / name)
    with pytest.raises(InputError, match=r"contains the same file twice, .*; remove one"):
        collect("voxceleb1", tmp_path / "both")


def test_what_was_found_and_what_is_in_no_list_is_said(copy, collect, caplog):
    folder = copy("voxceleb1")
    shutil.copytree(folder / "wav/id10001", folder / "wav/id10009")
    with caplog.at_level(logging.INFO):
        collect("voxceleb1", folder)
    assert "6 clips are not in iden_split.txt and not used; the first is id10009/" in caplog.text
    assert "6 train, 6 val, 6 test clips; VoxCeleb1 has 138,361 train, 6,904 val, 8,251 test" in caplog.text


def test_a_clip_that_cannot_be_used_does_not_stop_the_run(copy, tmp_path):
    folder = copy("nsynth")
    (folder / "nsynth-valid/audio/reed_synthetic_000-060-100.wav").write_bytes(b"")
    assert prep("nsynth", folder, tmp_path / "s.h5") == 0
    assert len(SoundStore(tmp_path / "s.h5")) == 32
    listed = (tmp_path / "s.h5.refused.csv").read_text()
    assert "nsynth-valid/reed_synthetic_000-060-100,the file is empty" in listed


# ------------------------------------------------------------------------------------------------ archives


def hostile(path: Path, name: str, **fields) -> Path:
    """A tar archive with a good member and one of that name and kind."""
    with tarfile.open(path, "w:gz") as archive:
        for member, changes in (("good.wav", {}), (name, fields)):
            info = tarfile.TarInfo(member)
            for field, value in changes.items():
                setattr(info, field, value)
            archive.addfile(info)
    return path


@pytest.mark.parametrize("name", ["../a.wav", "x/../../a.wav", "/a.wav", "C:\\a.wav"])
def test_an_archive_that_leads_outside_is_refused_whole(tmp_path, capsys, name):
    archive = hostile(tmp_path / "UrbanSound8K.tar.gz", name)
    assert prep("urbansound8k", archive, tmp_path / "s.h5") == 2
    assert "UrbanSound8K.tar.gz: the archive is hostile or damaged: it contains a file named" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["UrbanSound8K.tar.gz"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path, collect, kind):
    archive = hostile(tmp_path / "x.tar.gz", "UrbanSound8K/audio/fold1/1-0-0-0.wav", type=kind, linkname="/etc/passwd")
    with pytest.raises(InputError, match="is a link or device, not a file"):
        collect("urbansound8k", archive)


def test_a_bomb_is_refused_before_it_fills_the_disk(tmp_path, collect):
    with gzip.open(tmp_path / "x.tar.gz", "wb") as file:
        file.write(bytes(40 * 2**20))
    with pytest.raises(InputError, match=r"x\.tar\.gz: expands to 100 times its size like a bomb"):
        collect("urbansound8k", tmp_path / "x.tar.gz")
    assert not list((tmp_path / "unpacked").iterdir())


@pytest.mark.parametrize("damage", ["cut", "flipped", "text", "empty"])
def test_a_damaged_archive_is_named_and_leaves_nothing(published, tmp_path, capsys, damage):
    archive = archives(published, "urbansound8k", tmp_path / "a") / "UrbanSound8K.tar.gz"
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 255
    whole = archive.read_bytes()
    archive.write_bytes({"cut": whole[:-1000], "flipped": bytes(content), "text": b"<html>", "empty": b""}[damage])
    assert prep("urbansound8k", archive, tmp_path / "s.h5") == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "UrbanSound8K.tar.gz: not a readable tar archive" in error and "copy or download it again" in error
    assert not list(tmp_path.glob("s.h5*"))


def test_a_plain_tar_that_is_cut_is_named(published, tmp_path, collect):
    pack_tar(published / "urbansound8k", tmp_path / "x.tar")
    content = (tmp_path / "x.tar").read_bytes()
    (tmp_path / "x.tar").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"x\.tar: not a readable tar archive .*truncated"):
        collect("urbansound8k", tmp_path / "x.tar")


def test_an_archive_of_voxforge_that_cannot_be_read_costs_itself_alone(copy, tmp_path):
    folder = copy("voxforge")
    first, second, third = sorted((folder / "fr").rglob("*.tgz"))[:3]
    first.write_bytes(first.read_bytes()[:-40])
    hostile(second, "../x.wav")
    third.write_text("<html>")
    assert prep("voxforge", folder, tmp_path / "s.h5") == 0
    assert len(SoundStore(tmp_path / "s.h5")) == 6 * 8 * 2 - 6
    listed = {row["file"]: row["reason"] for row in csv.DictReader((tmp_path / "s.h5.refused.csv").open())}
    assert sorted(listed) == [f"fr/{path.stem}" for path in (first, second, third)]
    assert "not a readable tar" in listed[f"fr/{first.stem}"] and "hostile" in listed[f"fr/{second.stem}"]


def test_voxforge_takes_wav_before_flac_and_english_by_its_old_name(copy, tmp_path, collect, caplog):
    folder = copy("voxforge")
    (folder / "en").rename(folder / "SpeechCorpus")
    recording = folder / "SpeechCorpus/Trunk/Audio/Main/16kHz_16bit/kdl-20080318-xyz"
    for name in ("wav/a1.wav", "flac/a1.flac", "flac/a2.flac"):
        (recording / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(recording / name, np.zeros(100), 16_000)
    with caplog.at_level(logging.INFO):
        found = {item.id: item for item in collect("voxforge", folder).items}
    added = [id for id in found if "kdl" in id]
    assert added == ["en/kdl-20080318-xyz/a1.wav", "en/kdl-20080318-xyz/a2.flac"]
    assert [len(found[id].load()) for id in added] == [100, 100]
    assert "1 of them are flac" in caplog.text


def test_an_interrupted_run_does_not_decompress_again(published, tmp_path, monkeypatch):
    packed = archives(published, "nsynth", tmp_path / "archives")

    def interrupted(*args, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("projects.cli.prep.run_recipe", interrupted)
        assert prep("nsynth", packed, tmp_path / "s.h5") != 0
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "s.h5.unpacked").iterdir()}
    assert len(kept) == 3
    for archive in packed.iterdir():
        assert plain_tar(archive.resolve(), tmp_path / "s.h5.unpacked").name in kept
    assert kept == {path.name: path.stat().st_mtime_ns for path in (tmp_path / "s.h5.unpacked").iterdir()}
    assert prep("nsynth", packed, tmp_path / "s.h5") == 0
    assert not (tmp_path / "s.h5.unpacked").exists()


def test_a_full_disk_is_named_and_what_was_written_is_removed(published, tmp_path, collect, monkeypatch):
    packed = archives(published, "urbansound8k", tmp_path / "archives")

    class Full(io.BufferedWriter):
        def write(self, block):
            super().write(block[:1000])
            raise OSError(errno.ENOSPC, "No space left on device")

    def opened(path, mode="r", *args, **options):
        return Full(io.FileIO(path, "w")) if mode == "wb" else io.open(path, mode, *args, **options)  # noqa: UP020

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", opened)
        with pytest.raises(
            InputError, match=r"unpacked: the disk is full; UrbanSound8K\.tar\.gz is decompressed there"
        ):
            collect("urbansound8k", packed)
    assert not list((tmp_path / "unpacked").iterdir())


def test_another_archive_of_the_same_name_is_decompressed_anew(tmp_path):
    archive = tmp_path / "x.tar.gz"
    for content in (b"first", b"the second"):
        with tarfile.open(archive, "w:gz") as opened:
            info = tarfile.TarInfo("a")
            info.size = len(content)
            opened.addfile(info, io.BytesIO(content))
        with tarfile.open(plain_tar(archive, tmp_path / "u")) as opened:
            assert opened.extractfile("a").read() == content


def test_a_zip_of_a_data_set_is_read_in_place(published, tmp_path, collect):
    pack(published / "urbansound8k", tmp_path / "x.zip")
    assert described(collect("urbansound8k", tmp_path / "x.zip")) == described(
        collect("urbansound8k", published / "urbansound8k")
    )
    with zipfile.ZipFile(tmp_path / "x.zip", "a") as archive:
        archive.writestr("../y.wav", b"")
    with pytest.raises(InputError, match="hostile"):
        collect("urbansound8k", tmp_path / "x.zip")


# ------------------------------------------------------------------------------------------------ the commands


def test_download_fetches_the_archives_that_the_classes_need(published, tmp_path, monkeypatch, capsys):
    asked = []

    def download(url, target, *, sha256=None, size=None):
        asked.append((url.rpartition("/")[2], len(sha256)))
        target.parent.mkdir(exist_ok=True)
        pack_tar(published / "speech-commands" / target.name.removesuffix(".tar.gz"), target, top=".")
        return target

    monkeypatch.setattr("data_prep.download.download", download)
    source = tmp_path / "speech"
    assert prep("speech-commands", source, tmp_path / "a.h5", "--download") == 0
    assert asked == [("speech_commands_v0.02.tar.gz", 64)]
    assert prep("speech-commands", source, tmp_path / "b.h5", "--download", "--classes", "12") == 0
    assert asked[1:] == [("speech_commands_test_set_v0.02.tar.gz", 64)]
    assert prep("speech-commands", tmp_path / "x.tar.gz", tmp_path / "c.h5", "--download") == 2
    assert "writes archives into a folder" in capsys.readouterr().err


def test_the_name_of_the_store_is_checked_before_anything_is_decompressed(tmp_path, capsys):
    for out, reason in (("s.hdf", "must end in .h5"), ("none/s.h5", "does not exist; create it first")):
        assert prep("nsynth", tmp_path / "none", tmp_path / out) == 2
        assert reason in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_states_where_to_get_it_and_an_example(command, capsys):
    with pytest.raises(SystemExit):
        main(["prep", command, "--help"])
    printed = capsys.readouterr().out
    assert f"pcrq prep {command} " in printed and "http" in printed and "table 9" in printed


def test_info_tells_the_task(published, tmp_path, capsys):
    prep("urbansound8k", published / "urbansound8k", tmp_path / "s.h5")
    assert main(["info", str(tmp_path / "s.h5")]) == 0
    printed = capsys.readouterr().out
    assert "seconds 4.0, task US8K" in printed and "folds       1 10, 2 10," in printed

"""``pcrq prep audio`` as a user meets it: folders and archives, labels, bad files, kills, and ``pcrq info``."""

import os
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
from killed_preparation import kill_preparation

from data_prep.recipes import SoundRecipe
from data_prep.run import Item, prepare_store
from pcrq import InputError
from pcrq.stores.sound_store import SoundStore
from projects.cli import main


def tone(index: int, rate: int = 16_000) -> np.ndarray:
    return (9000 * np.sin(np.arange(4000 + 100 * index) * 0.05 * (index + 1))).astype(np.int16)


def write_tones(folder: Path, names: list[str], rate: int = 16_000) -> Path:
    for index, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, tone(index), rate)
    return folder


@pytest.fixture
def folder(tmp_path):
    return write_tones(tmp_path / "tones", ["dog/a.wav", "dog/deep/b.flac", "cat/c.wav", "loose.wav"])


def zipped(folder: Path) -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*.*")):
            archive.write(file, file.relative_to(folder.parent))  # wrapped in a folder of the archive's name
    return path


def prep(source, out, *options) -> int:
    return main(["prep", "audio", str(source), "--out", str(out), "--jobs", "1", *options])


@pytest.mark.parametrize("pack", [Path, zipped], ids=["folder", "zip"])
def test_sounds_become_a_store(folder, tmp_path, capsys, pack):
    (folder / "dog" / "broken.wav").write_text("no sound")
    (folder / "dog" / "notes.txt").write_text("not looked at")
    (folder / "dog" / ".hidden.wav").write_text("not looked at")
    assert prep(pack(folder), tmp_path / "s.h5") == 0
    printed = capsys.readouterr().out
    assert "4 sounds, 1 seconds" in printed and "prepared 5 sounds" in printed
    assert "refused 1" in printed and "dog/broken.wav: not a readable sound file" in printed
    store = SoundStore(tmp_path / "s.h5")
    store.verify()
    assert store.ids == ["cat/c.wav", "dog/a.wav", "dog/deep/b.flac", "loose.wav"]
    assert [store.classes[c] if c >= 0 else "" for c in store.category] == ["cat", "dog", "dog", ""]
    for index, written in enumerate((2, 0, 1, 3)):
        np.testing.assert_array_equal(store.samples(index) * 32768, tone(written))
    assert sorted(path.name for path in tmp_path.glob("s.h5*")) == ["s.h5", "s.h5.refused.csv"]

    assert prep(pack(folder) if pack is Path else folder.with_suffix(".zip"), tmp_path / "s.h5") == 0
    printed = capsys.readouterr().out
    assert "up to date" in printed and "refused 1" in printed


def test_other_rates_and_channels_are_brought_to_16_khz_mono(tmp_path):
    (tmp_path / "x").mkdir()
    wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(44_100) / 44_100)
    soundfile.write(tmp_path / "x/stereo.wav", np.stack([wave, wave * 0], axis=1), 44_100, subtype="PCM_24")
    assert prep(tmp_path / "x", tmp_path / "s.h5") == 0
    expected = 0.25 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    np.testing.assert_allclose(SoundStore(tmp_path / "s.h5").samples(0)[500:-500], expected[500:-500], atol=1e-4)


def test_a_table_tells_category_split_and_fold(folder, tmp_path, capsys):
    table = tmp_path / "mine.csv"
    table.write_text(
        "file,label,split,fold,note\ndog/a.wav,bark,train,3,x\ncat/c.wav,meow,test,,y\nloose.wav,bark,,0,\n"
    )
    assert prep(folder, tmp_path / "s.h5", "--labels", str(table)) == 0
    store = SoundStore(tmp_path / "s.h5")
    assert store.classes == ["bark", "meow"] and store.category.tolist() == [1, 0, -1, 0]
    assert store.split == ["test", "train", "", ""] and store.fold.tolist() == [-1, 3, -1, 0]
    capsys.readouterr()
    assert main(["info", str(tmp_path / "s.h5")]) == 0
    printed = capsys.readouterr().out
    for words in (
        *("4 sounds, 1 seconds", "source      sounds of tones", "seconds     0.25 to 0.27 per sound"),
        *("none 2, test 1, train 1", "categories  2: bark 2", "folds       none 2, 0 1, 3 1", "rate 16000"),
        "all sounds are intact",
    ):
        assert words in printed


@pytest.mark.parametrize("fold", ["first", "-1", "1.5", str(2**31)])
def test_a_fold_is_a_number(folder, tmp_path, capsys, fold):
    (folder / "labels.csv").write_text(f"file,label,fold\ndog/a.wav,x,{fold}\n")
    assert prep(folder, tmp_path / "s.h5") == 2
    assert f"labels.csv: dog/a.wav has the fold '{fold}'" in capsys.readouterr().err


def test_another_fold_makes_another_store(folder, tmp_path):
    for fold in (1, 2):
        (folder / "labels.csv").write_text(f"file,label,fold\ndog/a.wav,x,{fold}\n")
        assert prep(folder, tmp_path / "s.h5") == (0 if fold == 1 else 2)
    assert prep(folder, tmp_path / "s.h5", "--force") == 0
    assert SoundStore(tmp_path / "s.h5").fold.tolist() == [-1, 2, -1, -1]


def test_a_killed_run_continues_to_the_identical_store(tmp_path, capsys, caplog):
    source = write_tones(tmp_path / "tones", [f"{index:03}.wav" for index in range(400)], rate=48_000)
    kept = kill_preparation("audio", str(source), out=tmp_path / "killed.h5", entries=400)
    with caplog.at_level("INFO"):
        assert prep(source, tmp_path / "killed.h5") == 0
    assert f"{kept} of 400 sounds are finished already" in caplog.text
    assert f"prepared {400 - kept} sounds" in capsys.readouterr().out
    assert not (tmp_path / "killed.h5.prep").exists()
    assert prep(source, tmp_path / "whole.h5") == 0
    assert (tmp_path / "killed.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()


def test_a_sound_that_kills_its_process_costs_itself_alone(tmp_path):
    items = [Item(str(index), partial(np.zeros, 50 + index), "zero") for index in range(4)]
    items.insert(2, Item("killed", partial(os._exit, 1)))
    summary = prepare_store(items, tmp_path / "s.h5", SoundRecipe(), classes=["zero"], jobs=2)
    assert (summary.entries, summary.values) == (4, 206)
    assert [refusal.id for refusal in summary.refused] == ["killed"]


def test_what_is_no_sound_is_refused_with_the_reason(tmp_path):
    items = [Item("good", partial(np.zeros, 9)), Item("loud", partial(np.full, 3, 2.0)), Item("none", partial(dict))]
    summary = prepare_store(items, tmp_path / "s.h5", SoundRecipe(), classes=[], jobs=1)
    assert [refusal.id for refusal in summary.refused] == ["loud", "none"]
    assert "beyond full scale" in summary.refused[0].reason and "samples of shape" in summary.refused[1].reason


def test_a_store_of_shapes_is_not_replaced_by_accident(folder, store_path, tmp_path, capsys):
    (tmp_path / "s.h5").write_bytes(store_path.read_bytes())
    assert prep(folder, tmp_path / "s.h5") == 2
    assert "a shape store, but not a sound store" in capsys.readouterr().err
    assert (tmp_path / "s.h5").read_bytes() == store_path.read_bytes()
    assert prep(folder, tmp_path / "s.h5", "--force") == 0


def test_only_bad_files_are_an_error(tmp_path, capsys):
    (tmp_path / "x").mkdir()
    for name in ("a.wav", "b.mp3"):
        (tmp_path / "x" / name).write_text("no sound")
    assert prep(tmp_path / "x", tmp_path / "s.h5") == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("pcrq: error:") and "none of the 2 sounds" in error and "s.h5.refused.csv" in error
    assert [path.name for path in tmp_path.glob("s.h5*")] == ["s.h5.refused.csv"]


def hostile(tmp_path: Path, name: str, content: bytes) -> Path:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("good.wav", b"")
        archive.writestr(name, content)
    return tmp_path / "x.zip"


@pytest.mark.parametrize("name", ["../a.wav", "x/../../a.wav", "/a.wav", "C:\\a.wav"])
def test_an_archive_that_leads_outside_is_refused_whole(tmp_path, capsys, name):
    assert prep(hostile(tmp_path, name, b"x"), tmp_path / "s.h5") == 2
    assert "x.zip: the archive is hostile" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["x.zip"]


def test_a_zip_bomb_is_refused_alone(tmp_path, capsys):
    bomb = hostile(tmp_path, "bomb.wav", bytes(40_000_000))
    with zipfile.ZipFile(bomb, "a") as archive:
        soundfile.write(tmp_path / "a.wav", tone(0), 16_000)
        archive.write(tmp_path / "a.wav", "tone.wav")
    assert prep(bomb, tmp_path / "s.h5") == 0
    printed = capsys.readouterr().out
    assert "bomb.wav: expands to" in printed and "good.wav: the file is empty" in printed
    assert SoundStore(tmp_path / "s.h5").ids == ["tone.wav"]


@pytest.mark.parametrize(
    ("source", "options", "reason"),
    [
        ("none", [], "no such file"),
        ("tones/loose.wav", [], "a single sound file"),
        ("tones", ["--labels", "no.csv"], "no.csv"),
        ("tones", ["--jobs", "0"], "at least one"),
        ("empty", [], "no sound file (.wav .flac .ogg .mp3)"),
        ("a.tar", [], "neither a folder nor a .zip"),
    ],
)
def test_wrong_calls_end_in_one_line_and_status_2(folder, tmp_path, monkeypatch, capsys, source, options, reason):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("a.tar").write_bytes(b"x")
    assert prep(source, "s.h5", *options) == 2
    error = capsys.readouterr().err.strip()
    assert reason in error and "\n" not in error
    assert not Path("s.h5").exists()


def test_help_shows_an_example(capsys):
    with pytest.raises(SystemExit):
        main(["prep", "audio", "--help"])
    assert "pcrq prep audio recordings --out recordings.h5" in capsys.readouterr().out


def test_errors_name_the_file_below_the_folder(folder):
    from data_prep.labelled_folder import collect_sounds

    (folder / "dog/a.wav").write_bytes(b"")
    (item,) = (item for item in collect_sounds(folder).items if item.id == "dog/a.wav")
    with pytest.raises(InputError, match=r"^dog/a\.wav: the file is empty"):
        item.load()

"""``pcrq embed`` of sounds: from files and from stores, by checkpoints of ours and by published weights."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from pcrq.stores.sound_store import SoundStore, SoundStoreWriter
from projects.audio.embedding import embed_sounds
from projects.audio.encoder import KEY, AudioNTT2020, describe
from projects.audio.log_mel import LogMelStatistics
from projects.audio.waveforms import Clips, waveform_statistics
from projects.cli import main

STATISTICS = LogMelStatistics(-6.0, 4.0)


@pytest.fixture(scope="module")
def encoder() -> AudioNTT2020:
    torch.manual_seed(0)
    return AudioNTT2020(16).eval()


@pytest.fixture(scope="module")
def checkpoint(encoder, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("run") / "last.ckpt"
    state = {f"framework.encoder.{name}": tensor for name, tensor in encoder.state_dict().items()}
    about = describe(encoder, STATISTICS, {"augmentation": {"bins": 5}, "epochs": 3})
    torch.save({KEY: about, "state_dict": state}, path)
    return path


def run(source: Path, checkpoint: Path, out: Path, *options: str) -> int:
    return main(["embed", str(source), "--checkpoint", str(checkpoint), "--out", str(out), *options])


def test_a_store_is_embedded_whole_with_ids_categories_and_splits(sounds, encoder, checkpoint, tmp_path, capsys):
    assert run(sounds, checkpoint, tmp_path / "f.npz", "--batch_size", "3") == 0
    found, store = np.load(tmp_path / "f.npz"), SoundStore(sounds)
    expected = embed_sounds(encoder, STATISTICS, store, np.arange(24))
    np.testing.assert_allclose(found["features"], expected, atol=1e-4, rtol=1e-4)
    assert found["id"].tolist() == store.ids and found["split"].tolist() == store.split
    assert found["category"].tolist() == ["low", "high"] * 12
    about = json.loads(str(found["about"]))
    assert (about["log-mel mean"], about["pretraining"]["epochs"], about["store"]) == (-6.0, 3, store.digest)
    assert "24 sounds, 16 features each" in capsys.readouterr().out


@pytest.fixture
def recordings(sounds, tmp_path) -> Path:
    """A folder for each category, and a file that is no sound."""
    store, folder = SoundStore(sounds), tmp_path / "recordings"
    for index in range(4):
        place = folder / store.classes[store.category[index]]
        place.mkdir(parents=True, exist_ok=True)
        soundfile.write(place / f"{index}.wav", store.samples(index), 16_000)
    (folder / "low/broken.wav").write_text("no sound")
    return folder


def test_files_are_prepared_and_those_that_cannot_be_used_listed(recordings, sounds, checkpoint, tmp_path):
    assert run(sounds, checkpoint, tmp_path / "store.npz") == 0
    assert run(recordings, checkpoint, tmp_path / "files.npz", "--jobs", "1") == 0
    found, stored = np.load(tmp_path / "files.npz"), np.load(tmp_path / "store.npz")
    assert found["id"].tolist() == ["high/1.wav", "high/3.wav", "low/0.wav", "low/2.wav"]
    np.testing.assert_allclose(found["features"], stored["features"][[1, 3, 0, 2]], atol=1e-3, rtol=1e-3)
    assert found["category"].tolist() == ["high", "high", "low", "low"]
    assert "low/broken.wav" in (tmp_path / "files.npz.refused.csv").read_text()
    assert not list(tmp_path.glob(".*"))
    assert run(recordings / "low/2.wav", checkpoint, tmp_path / "one.npz", "--jobs", "1") == 0
    one = np.load(tmp_path / "one.npz")
    assert one["id"].tolist() == ["2.wav"]
    np.testing.assert_allclose(one["features"][0], found["features"][3], atol=1e-5)


def test_an_interrupted_run_leaves_what_it_prepared(recordings, checkpoint, tmp_path, monkeypatch):
    def interrupt(*args, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("projects.audio.embedding.embed_sounds", interrupt)
        assert run(recordings, checkpoint, tmp_path / "f.npz", "--jobs", "1") == 130
    assert (tmp_path / ".f.npz.sounds.h5").exists() and not (tmp_path / "f.npz").exists()
    assert run(recordings, checkpoint, tmp_path / "f.npz", "--jobs", "1") == 0
    assert not list(tmp_path.glob(".*"))


def test_published_weights_are_used_with_the_statistics_of_the_sounds(sounds, encoder, tmp_path, capsys):
    published = tmp_path / "AudioNTT2020-BYOLA-64x96d16.pth"
    torch.save(encoder.state_dict(), published)
    assert run(sounds, published, tmp_path / "f.npz") == 0
    store = SoundStore(sounds)
    statistics = waveform_statistics(Clips(store, np.arange(24)))
    expected = embed_sounds(encoder, statistics, store, np.arange(24))
    np.testing.assert_allclose(np.load(tmp_path / "f.npz")["features"], expected, atol=1e-4, rtol=1e-4)
    assert "measured on these sounds" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("source", "options", "word"),
    [
        ("SOUNDS", ["--up", "z"], "--up z: for shapes"),
        ("SOUNDS", ["--neighbours", "n.png"], "--neighbours n.png: for shapes"),
        ("SOUNDS", ["--labels", "l.csv"], "a store has categories and axes already"),
        ("nowhere", [], "nowhere: no such file"),
        ("nowhere.wav", [], "nowhere.wav: no such file"),
        ("nowhere.h5", [], "nowhere.h5: no such file"),
        ("SHAPES", [], "a shape store, but not a sound store"),
        ("EMPTY", [], "the store contains no sounds"),
        ("TEXT.wav", [], "f.npz.refused.csv, the first is: TEXT.wav"),
        ("TEXT.wav", ["--labels", "l.csv"], "leave it out for a single file"),
    ],
)
def test_bad_input_is_one_line(sounds, store_path, checkpoint, tmp_path, monkeypatch, capsys, source, options, word):
    monkeypatch.chdir(tmp_path)
    Path("TEXT.wav").write_text("no sound")
    with SoundStoreWriter("empty.h5", classes=[]):
        pass
    source = {"SOUNDS": sounds, "SHAPES": store_path, "EMPTY": "empty.h5"}.get(source, source)
    assert run(source, checkpoint, "f.npz", "--jobs", "1", *options) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("pcrq: error: ") and word in error and not Path("f.npz").exists()


def test_a_network_of_shapes_does_not_take_sounds(sounds, pretrained_path, tmp_path, capsys):
    assert run(sounds, pretrained_path, tmp_path / "f.npz") == 2
    assert "a sound store, but not a shape store" in capsys.readouterr().err

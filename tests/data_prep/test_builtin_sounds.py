"""Built-in sounds: what each is known for can be measured, they repeat exactly, and are not told apart too easily."""

import subprocess
import sys

import numpy as np
import pytest
from scipy.signal import stft

from data_prep.builtin_sounds import CATEGORIES, INSTRUMENTS, Note, builtin_items, generate
from pcrq import InputError
from pcrq.stores.sound_store import SoundStore
from projects.cli import main

pytestmark = pytest.mark.medium


def play(name: str, frequency: float, seconds: float = 2.0, seed: int = 0) -> np.ndarray:
    time = np.arange(round(seconds * 16_000)) / 16_000
    return INSTRUMENTS[name](Note(frequency, time, 0.8 * seconds, np.random.default_rng(seed)))


def level(samples: np.ndarray, frequency: float, width: float = 12.0) -> float:
    """Strength of a sound around a frequency."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    near = np.abs(np.fft.rfftfreq(len(samples), 1 / 16_000) - frequency) < width
    return float(np.sqrt((spectrum[near] ** 2).sum()))


def strength(samples: np.ndarray) -> float:
    return float(np.sqrt((samples**2).mean()))


def test_there_are_at_least_ten_categories_and_each_is_heard_throughout():
    assert len(CATEGORIES) == len(set(CATEGORIES)) >= 10
    for name in CATEGORIES:
        for index in range(6):
            sound = generate(name, index)
            assert sound.dtype == np.float32 and 16_000 <= len(sound) <= 32_000
            assert np.isfinite(sound).all() and 0.05 < np.abs(sound).max() <= 10 ** (-1 / 20) + 1e-6
            assert strength(sound) > 1e-3 and strength(sound[-800:]) > 0  # the background never stops


@pytest.mark.parametrize("name", [name for name in CATEGORIES if name not in ("drum", "cymbal")])
def test_a_pitched_instrument_sounds_at_its_pitch_and_above(name):
    for seed, frequency in enumerate((165.0, 330.0, 660.0)):
        sound = play(name, frequency, seed=seed)
        lowest = 0.5 if name in ("organ", "bell") else 1.0
        below = max(level(sound, f) for f in np.arange(40, 0.9 * lowest * frequency, 10))
        heard = max(level(sound, k * frequency) for k in (1, 2, 3, 4, 5))
        assert heard > 5 * below


def test_nothing_comes_back_from_above_8_khz():
    pitch = 16_000 / 18.5  # so that what does comes back in the middle between two harmonics
    for name in ("clarinet", "brass", "violin", "plucked string"):
        sound = play(name, pitch)
        between = max(level(sound, (k + 0.5) * pitch, 20) for k in range(1, 9))
        assert between < 0.02 * level(sound, pitch)


def test_a_clarinet_has_odd_harmonics():
    sound = play("clarinet", 220.0)
    assert level(sound, 3 * 220) > 2 * level(sound, 2 * 220) and level(sound, 5 * 220) > 2 * level(sound, 4 * 220)


def test_brass_becomes_brighter_as_it_swells():
    sound = play("brass", 220.0)
    early, late = sound[400:1600], sound[8000:9200]
    assert level(late, 6 * 220, 60) / level(late, 220, 60) > 1.5 * level(early, 6 * 220, 60) / level(early, 220, 60)


def test_high_partials_of_a_string_die_away_first():
    sound = play("plucked string", 220.0, seed=3)
    first, later = sound[:4000], sound[8000:12_000]
    assert level(later, 10 * 220, 60) / level(later, 220) < 0.5 * level(first, 10 * 220, 60) / level(first, 220)


def test_a_bell_is_inharmonic():
    sound = play("bell", 400.0)
    minor_third = level(sound, 1.183 * 400)
    assert minor_third > 20 * level(sound, 1.35 * 400)  # and no harmonic sound has a partial there


def test_a_violin_begins_slowly_and_swings_and_a_marimba_is_over_soon():
    violin, marimba = play("violin", 440.0), play("marimba", 440.0)
    assert strength(violin[:800]) < 0.3 * strength(violin[8000:8800])
    assert strength(marimba[16_000:]) < 0.05 * strength(marimba[:3200])
    swinging, steady = (
        level(sound[8000:24_000], 9 * 440, 60) / level(sound[8000:24_000], 9 * 440, 2.5)
        for sound in (violin, play("clarinet", 440.0))
    )
    assert swinging > 1.5 * steady


def test_the_same_arguments_give_the_same_sound_in_every_process():
    code = (
        "import hashlib\nfrom data_prep.builtin_sounds import CATEGORIES, generate\n"
        "print(hashlib.sha256(b''.join(generate(c, 3, 5).tobytes() for c in CATEGORIES)).hexdigest())"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout for _ in range(2)]
    assert runs[0] == runs[1]
    assert len({generate("bell", index, seed).tobytes() for index in range(3) for seed in range(3)}) == 9


def test_pitch_loudness_and_length_vary():
    sounds = [generate("organ", index) for index in range(12)]
    assert np.ptp([len(sound) for sound in sounds]) > 6000
    peaks = [np.abs(sound).max() for sound in sounds]
    assert max(peaks) > 4 * min(peaks)
    strongest = [np.abs(np.fft.rfft(sound, 32_000)).argmax() / 2 for sound in sounds]
    assert max(strongest) > 2 * min(strongest)


def mean_log_spectrum(sound: np.ndarray) -> np.ndarray:
    """(64,) averages over time of the logarithm of 64 bands, evenly spaced in mel from 60 to 7800 Hz."""
    power = np.abs(stft(sound, 16_000, nperseg=1024, noverlap=512)[2]) ** 2
    mel = 2595 * np.log10(1 + np.linspace(0, 8000, 513) / 700)
    edges = np.linspace(*(2595 * np.log10(1 + np.array([60, 7800]) / 700)), 65)
    centres, width = (edges[:-1] + edges[1:]) / 2, edges[1] - edges[0]
    weights = np.maximum(0, 1 - np.abs(mel - centres[:, None]) / width)
    return np.log(weights @ power + 1e-10).mean(axis=1)


def test_the_mean_spectrum_alone_tells_some_but_by_far_not_all():
    features = np.array([[mean_log_spectrum(generate(name, index)) for index in range(20)] for name in CATEGORIES])
    known, asked = features[:, :15].reshape(-1, 64), features[:, 15:].reshape(-1, 64)
    nearest = ((asked[:, None] - known) ** 2).sum(-1).argmin(1)
    right = (nearest // 15 == np.arange(len(asked)) // 5).mean()
    assert 2 / len(CATEGORIES) < right < 0.6


def test_items_are_named_and_one_in_five_is_for_testing():
    items = builtin_items(10)
    assert len({item.id for item in items}) == 10 * len(CATEGORIES) and items[60].id == "plucked-string-0000"
    assert [item.split for item in items[:10]] == (["train"] * 4 + ["test"]) * 2
    assert items[0].stamp != builtin_items(10, seed=1)[0].stamp


def test_the_command_makes_a_store(tmp_path, capsys):
    assert main(["prep", "sounds", "--count", "5", "--jobs", "1", "--out", str(tmp_path / "s.h5")]) == 0
    assert f"{5 * len(CATEGORIES)} sounds" in capsys.readouterr().out
    store = SoundStore(tmp_path / "s.h5")
    store.verify()
    assert store.classes == CATEGORIES and np.bincount(store.category).tolist() == [5] * len(CATEGORIES)
    assert [len(store.indices(split)) for split in ("train", "test")] == [4 * len(CATEGORIES), len(CATEGORIES)]
    np.testing.assert_allclose(store.samples(6), generate("flute", 1), atol=0.5 / 32768)


def test_bad_options_end_in_one_line_and_status_2(tmp_path, capsys):
    for words in (["--count", "0", "--out", str(tmp_path / "s.h5")], ["--out", str(tmp_path / "s.wav")]):
        assert main(["prep", "sounds", *words]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("call", [lambda: generate("kazoo", 0), lambda: generate("bell", -1)])
def test_wrong_arguments_are_named(call):
    with pytest.raises(InputError, match=r"kazoo|-1"):
        call()

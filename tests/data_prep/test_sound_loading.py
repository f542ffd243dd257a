"""Sound files of every kind: known sounds come back at 16 kHz, and what cannot be used says why."""

import io
import resource
import struct
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import soundfile
from scipy.signal import resample_poly

from data_prep import sound_loading
from data_prep.sound_loading import load_sound, parse_sound
from pcrq import InputError

pytestmark = pytest.mark.medium


def sine(frequency: float, rate: int, seconds: float = 1.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def written(path, samples, rate, **options):
    soundfile.write(path, samples, rate, **options)
    return path


def middle(samples: np.ndarray) -> np.ndarray:
    """Without the ends, where a resampler does not know what went before."""
    return samples[800:-800]


@pytest.mark.parametrize("rate", [8000, 11_127, 16_000, 22_050, 44_100, 48_000, 192_000])
def test_a_sine_of_any_rate_is_that_sine_at_16_khz(tmp_path, rate):
    found = load_sound(written(tmp_path / "a.wav", sine(440, rate), rate, subtype="FLOAT"))
    assert found.dtype == np.float32 and abs(len(found) - 16_000) <= 1
    np.testing.assert_allclose(middle(found), middle(sine(440, 16_000)[: len(found)]), atol=1e-4)


def test_resampling_agrees_with_an_independent_filter(tmp_path):
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, 48_000)
    smooth = resample_poly(resample_poly(noise, 1, 8), 8, 1)  # below 3 kHz, where every good filter passes all
    found = load_sound(written(tmp_path / "a.wav", smooth, 48_000, subtype="DOUBLE"))
    np.testing.assert_allclose(middle(found), middle(resample_poly(smooth, 1, 3)), atol=2e-3)


def test_what_16_khz_cannot_hold_is_gone_and_does_not_come_back_lower(tmp_path):
    found = load_sound(written(tmp_path / "a.wav", sine(10_000, 44_100), 44_100, subtype="FLOAT"))
    assert np.abs(middle(found)).max() < 1e-4  # a careless one would give a sine at 6 kHz
    kept = load_sound(written(tmp_path / "b.wav", sine(7000, 44_100), 44_100, subtype="FLOAT"))
    np.testing.assert_allclose(middle(kept), middle(sine(7000, 16_000)), atol=1e-3)


@pytest.mark.parametrize(
    ("subtype", "accuracy"),
    [("PCM_U8", 1 / 128), ("PCM_16", 0), ("PCM_24", 1e-6), ("PCM_32", 1e-6), ("FLOAT", 0), ("DOUBLE", 1e-7)],
)
def test_every_sample_format_has_the_same_scale(tmp_path, subtype, accuracy):
    exact = (np.random.default_rng(0).integers(-(2**15), 2**15, 999) / 32768).astype(np.float32)
    found = load_sound(written(tmp_path / "a.wav", exact, 16_000, subtype=subtype))
    np.testing.assert_allclose(found, exact, atol=accuracy, rtol=0)


@pytest.mark.parametrize(("suffix", "accuracy"), [("wav", 1e-4), ("flac", 1e-4), ("ogg", 0.05), ("mp3", 0.05)])
def test_every_container_gives_the_sound(tmp_path, suffix, accuracy):
    path = written(tmp_path / f"a.{suffix.upper()}", sine(440, 44_100), 44_100)
    found = load_sound(path)
    assert abs(len(found) - 16_000) < 1200  # an MP3 may be longer by a frame or two
    np.testing.assert_allclose(middle(found)[:14_000], middle(sine(440, 16_000))[:14_000], atol=accuracy)
    np.testing.assert_array_equal(parse_sound(path.read_bytes(), "x/a.mp3"), found)


def test_channels_are_averaged(tmp_path):
    channels = np.stack([sine(100 * (number + 1), 16_000) for number in range(6)], axis=1)
    found = load_sound(written(tmp_path / "a.wav", channels, 16_000, subtype="FLOAT"))
    np.testing.assert_allclose(found, channels.mean(axis=1), atol=1e-6)
    six = load_sound(written(tmp_path / "b.wav", np.repeat(sine(440, 192_000)[:, None], 6, 1), 192_000))
    np.testing.assert_allclose(middle(six), middle(sine(440, 16_000)), atol=1e-3)


def test_blocks_leave_no_seam(tmp_path, monkeypatch):
    path = written(tmp_path / "a.flac", np.stack([sine(440, 44_100)] * 2, 1), 44_100)
    whole = load_sound(path)
    monkeypatch.setattr(sound_loading, "_BLOCK", 1000)
    np.testing.assert_allclose(load_sound(path), whole, atol=1e-6)


def test_beyond_full_scale_is_turned_down_as_a_whole_and_within_it_is_left_alone(tmp_path):
    loud = load_sound(written(tmp_path / "a.wav", 8 * sine(440, 16_000), 16_000, subtype="FLOAT"))
    np.testing.assert_allclose(loud, sine(440, 16_000) / np.abs(sine(440, 16_000)).max(), atol=1e-6)
    clipped = np.clip(8 * sine(440, 16_000), -1, 1).astype(np.float32)
    np.testing.assert_array_equal(load_sound(written(tmp_path / "b.wav", clipped, 16_000, subtype="FLOAT")), clipped)


def test_silence_and_a_single_sample_are_sounds(tmp_path):
    assert not load_sound(written(tmp_path / "a.wav", np.zeros(50), 16_000)).any()
    assert load_sound(written(tmp_path / "b.wav", np.array([0.25]), 16_000)).tolist() == [0.25]


def test_a_stream_that_does_not_know_its_length_is_read(tmp_path):
    path = written(tmp_path / "a.wav", sine(440, 16_000), 16_000)
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, 4, 0xFFFFFFFF)  # as a program leaves it that writes into a pipe
    struct.pack_into("<I", content, content.index(b"data") + 4, 0xFFFFFFFF)
    assert len(parse_sound(bytes(content), "a.wav")) == 16_000


def encoded(suffix: str, seconds: float = 1.0, *, rate: int = 16_000, channels: int = 1) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.stack([sine(440, rate, seconds)] * channels, 1), rate, format=suffix)
    return file.getvalue()


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def without_last_page(ogg: bytes) -> bytes:
    return ogg[: ogg.rindex(b"OggS")]


def without_byte_count(mp3: bytes) -> bytes:
    """Of the numbers that the frame "Xing" may hold, only that of the frames."""
    content, flags = bytearray(mp3), mp3.index(b"Xing") + 4
    assert content[flags : flags + 4] == b"\0\0\0\x0f"
    content[flags + 3] = 1
    return bytes(content)


def tagged(mp3: bytes, size: int = 3000) -> bytes:
    """With an ID3 tag before it, its length in sevens of bits, and one behind it."""
    return b"ID3\4\0\0" + bytes([0, 0, size >> 7, size & 127]) + bytes(size) + mp3 + b"TAG" + bytes(125)


def floats(*values: float, rate: int = 16_000) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.array(values), rate, format="WAV", subtype="FLOAT")
    return file.getvalue()


def with_rate(rate: int) -> bytes:
    content = bytearray(floats(0.1, 0.2))
    struct.pack_into("<I", content, content.index(b"fmt ") + 12, rate)
    return bytes(content)


BAD = {
    "empty.wav": (b"", "the file is empty"),
    "text.wav": (b"this is text\n" * 100, "not a readable sound file"),
    "text.flac": (b"this is text\n" * 100, "not a readable sound file"),
    "text.ogg": (b"this is text\n" * 100, "not a readable sound file"),
    "text.mp3": (b"this is text\n" * 100, "not a readable sound file"),
    "picture.mp3": (b"\x89PNG\r\n" + bytes(500), "a PNG image"),
    "archive.wav": (b"PK\x03\x04" + bytes(500), "a zip archive"),
    "none.wav": (floats(), "no samples"),
    "nan.wav": (floats(0.1, float("nan")), "not finite"),
    "inf.wav": (floats(0.1, float("inf")), "not finite"),
    "nan-resampled.wav": (floats(*[0.1] * 99, float("nan"), *[0.1] * 99, rate=44_100), "not finite"),
    "short.wav": (floats(0.1, rate=192_000), "too short"),
    "cut.wav": (encoded("WAV")[:16_000], r"truncated \(32044 bytes declared, 16000 found\)"),
    "cut.flac": (half(encoded("FLAC")), "truncated|not a readable"),
    "cut.ogg": (half(encoded("OGG", 20)), r"truncated \(\d+ bytes declared, \d+ found\)"),
    "cut-between-pages.ogg": (without_last_page(encoded("OGG", 20)), r"truncated \(its last page is missing\)"),
    "filled-up.ogg": (half(encoded("OGG", 20)) + bytes(2**18), r"truncated \(its last page is missing\)"),
    "cut.mp3": (half(encoded("MP3", 20)), r"truncated \(\d+ bytes declared, \d+ found\)"),
    "cut-stereo.mp3": (half(encoded("MP3", 20, rate=44_100, channels=2)), r"truncated \(\d+ bytes declared"),
    "cut-tagged.mp3": (half(tagged(encoded("MP3", 20))), r"truncated \(\d+ bytes declared"),
    "cut-uncounted.mp3": (half(without_byte_count(encoded("MP3", 20))), r"\(20\.\d seconds declared, 9\.\d found\)"),
    "head.mp3": (encoded("MP3")[:30], "not a readable"),
    "slow.wav": (with_rate(5), "sample rate 5 Hz"),
    "fast.wav": (with_rate(2**30), "sample rate .* Hz is not in"),
    "video.avi": (b"RIFF", r"\.avi is not one of \.wav"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_one_line_that_says_why(tmp_path, name):
    content, reason = BAD[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"{name}: .*({reason})") as error:
        load_sound(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100])
@pytest.mark.parametrize("channels", [1, 2])
def test_what_is_whole_is_not_taken_for_cut(rate, channels):
    """Delay and padding of the encoders, tags and the last part of a page are no reason."""
    for seconds in (0.1, 3.0):
        mp3, ogg = (encoded(suffix, seconds, rate=rate, channels=channels) for suffix in ("MP3", "OGG"))
        for content in (mp3, tagged(mp3), without_byte_count(mp3), mp3[:-100]):
            assert abs(len(parse_sound(content, "a.mp3")) / 16_000 - seconds) < 0.3
        for content in (ogg, ogg + b"TAG" + bytes(125)):
            assert abs(len(parse_sound(content, "a.ogg")) / 16_000 - seconds) < 0.01


def test_a_cut_mp3_leaves_no_message_of_its_decoder(capfd):
    with pytest.raises(InputError):
        parse_sound(half(encoded("MP3", 20)), "a.mp3")
    assert capfd.readouterr() == ("", "")


def test_no_more_than_the_sound_and_a_few_blocks_are_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(sound_loading, "_BLOCK", 2**14)
    loud = 1.5 * sine(440, 48_000, 60.0)  # above full scale, so that it is turned down
    path = written(tmp_path / "a.wav", np.stack([loud] * 2, 1), 48_000, subtype="FLOAT")
    load_sound(path)  # which imports what it needs
    tracemalloc.start()
    try:
        found = load_sound(path)
        assert tracemalloc.get_traced_memory()[1] < 1.2 * found.nbytes + 10 * 4 * 2**14
    finally:
        tracemalloc.stop()


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.wav: no such file"):
        load_sound(tmp_path / "none.wav")
    with pytest.raises(InputError, match="a folder"):
        load_sound(tmp_path)


def test_damaged_bytes_anywhere_end_in_a_sound_or_a_reason(capfd):
    for suffix in ("WAV", "FLAC", "OGG", "MP3"):
        random, whole = np.random.default_rng(0), encoded(suffix)
        for _ in range(40):
            content = bytearray(whole)
            for place in random.integers(0, len(content) if random.random() < 0.5 else 100, 8):
                content[place] = random.integers(256)
            try:
                found = parse_sound(bytes(content), f"a.{suffix.lower()}")
            except InputError:
                continue
            assert np.isfinite(found).all() and np.abs(found).max() <= 1


def test_a_clip_longer_than_an_hour_is_refused(tmp_path):
    path = written(tmp_path / "a.wav", np.zeros(3601 * 1000, np.int16), 1000)
    with pytest.raises(InputError, match=r"a\.wav: longer than 3600 seconds; cut it"):
        load_sound(path)


def test_a_long_file_whose_header_does_not_say_so_is_refused_in_bounded_memory(tmp_path):
    """Ten hours of 8 kHz silence, one kilobyte a minute: a plain reader would take 2.3 GB."""
    path = tmp_path / "a.flac"
    with soundfile.SoundFile(path, "w", 8000, 1, "PCM_16") as file:
        for _ in range(600):
            file.write(np.zeros(8000 * 60, np.int16))
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # the 36 bits of STREAMINFO that count the samples
    content[22:26] = bytes(4)
    path.write_bytes(content)
    limit = 2**30 + resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    code = (
        "import resource, sys\nimport soundfile, soxr\nfrom data_prep.sound_loading import load_sound\n"
        f"resource.setrlimit(resource.RLIMIT_AS, ({limit}, {limit}))\n"
        "try:\n    load_sound(sys.argv[1])\nexcept Exception as error:\n    print(error)\n"
    )
    result = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=100)
    assert "longer than 3600 seconds" in result.stdout, result.stdout + result.stderr

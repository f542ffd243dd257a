"""Quantized spectrograms to look at and to listen to."""

import numpy as np
import pytest
import soundfile
import torch

from data_prep.builtin_sounds import generate
from pcrq import InputError
from projects.audio.figures import (
    PAUSE,
    band_of,
    draw_spectrograms,
    invert,
    quantized_spectrograms,
    save_spectrograms,
    save_wav,
    spectrograms_to_waveform,
)
from projects.audio.log_mel import LogMel

pytestmark = pytest.mark.medium

SECONDS = torch.arange(16_000) / 16_000


def tone(hertz: float, peak: float = 0.5) -> torch.Tensor:
    return peak * torch.sin(2 * torch.pi * hertz * SECONDS)


@pytest.fixture(scope="module")
def bell() -> torch.Tensor:
    return torch.from_numpy(generate("bell", 7))


def distance(waveform: torch.Tensor, spectrogram: torch.Tensor) -> float:
    return float((LogMel()(waveform[None])[0, 0] - spectrogram).abs().mean())


# --- draws ------------------------------------------------------------------------------------------------------------


def test_the_original_comes_first_and_draws_have_their_bins(bell):
    original, few, again, many = quantized_spectrograms(bell, bins=(3, 3, 40))
    assert torch.equal(original, LogMel()(bell[None])[0, 0])
    assert len(few.unique()) <= 3 and len(again.unique()) <= 3 < len(many.unique()) <= 40
    assert not torch.equal(few, again)


def test_a_quantizer_for_the_spectrogram_or_for_every_frequency(bell):
    _, whole = quantized_spectrograms(bell, bins=(5,))
    _, each = quantized_spectrograms(bell, bins=(5,), per_frequency=True)
    assert len(whole.unique()) <= 5 < len(each.unique())
    assert all(len(row.unique()) <= 5 for row in each)


def test_draws_follow_the_seed(bell):
    first, same, other = (quantized_spectrograms(bell, bins=(5,), seed=seed)[1] for seed in (1, 1, 2))
    assert torch.equal(first, same) and not torch.equal(first, other)


# --- the picture ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hertz", [150, 440, 1000, 2500, 6000])
def test_a_frequency_stands_where_its_tone_is_loudest(hertz):
    loudest = LogMel()(tone(hertz)[None])[0, 0, :, 50].argmax()
    assert abs(float(band_of(np.array(hertz))) - float(loudest)) < 1


def test_panels_share_one_colour_scale_and_tell_seconds_and_hertz(bell):
    draws = quantized_spectrograms(bell, bins=(2, 5))
    *panels, bar = draw_spectrograms(draws, ["original", "2 bins", "5 bins"]).axes
    assert [axes.get_title() for axes in panels] == ["original", "2 bins", "5 bins"]
    scales = {axes.images[0].get_clim() for axes in panels}
    assert scales == {(float(draws[0].min()), float(draws[0].max()))}
    assert {axes.get_xlabel() for axes in panels} == {"seconds"}
    assert panels[0].get_ylabel() == "Hz" and [label.get_text() for label in panels[0].get_yticklabels()][2] == "1,000"
    for axes, log_mel in zip(panels, draws, strict=True):
        assert np.array_equal(axes.images[0].get_array(), log_mel) and axes.images[0].origin == "lower"
        assert axes.get_xlim() == pytest.approx((0, len(bell) / 16_000), abs=0.01)
    assert bar.get_ylabel() == "ln(power)"


def test_silence_looks_the_same_in_every_panel():
    draws = quantized_spectrograms(torch.zeros(16_000), bins=(5, 5))
    assert len({axes.images[0].get_clim() for axes in draw_spectrograms(draws, ["", "", ""]).axes[:3]}) == 1


def test_what_cannot_be_written_is_an_input_error(tmp_path, bell):
    draws = quantized_spectrograms(bell, bins=())
    with pytest.raises(InputError, match="cannot be written"):
        save_spectrograms(draws, ["original"], tmp_path / "nowhere/x.png")
    with pytest.raises(InputError, match="cannot be written"):
        save_wav(draws, bell, tmp_path / "nowhere/x.wav")


# --- the sound --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hertz", [440, 2500, 6000])
def test_an_inverted_tone_has_its_pitch(hertz):
    inverted = invert(LogMel()(tone(hertz)[None])[0, 0], 16_000)
    assert inverted.shape == (16_000,) and inverted.dtype == torch.float32
    power, frequencies = np.abs(np.fft.rfft(inverted.numpy())) ** 2, np.fft.rfftfreq(16_000, 1 / 16_000)
    peak, middle = frequencies[power.argmax()], np.average(frequencies, weights=power)
    assert abs(band_of(peak) - band_of(np.array(hertz))) < 1
    assert abs(band_of(middle) - band_of(np.array(hertz))) < 0.1


def test_an_inverted_sound_is_as_loud_as_the_sound(bell):
    inverted = invert(LogMel()(bell[None])[0, 0], len(bell))
    assert float(inverted.square().mean() / bell.square().mean()) == pytest.approx(1, abs=0.1)


def test_many_bins_sound_like_the_original_and_two_do_not(bell):
    original, many, two = quantized_spectrograms(bell, bins=(200, 2))
    lost = distance(invert(original, len(bell)), original)  # by the inversion alone
    assert lost < 1  # of values that span 15
    assert distance(invert(many, len(bell)), original) < 1.2 * lost
    assert distance(invert(two, len(bell)), original) > 2 * lost


def test_the_sounds_are_as_loud_as_the_original_and_follow_one_another(bell):
    bell = bell / 4  # leaves room for other peaks
    heard = spectrograms_to_waveform(quantized_spectrograms(bell, bins=(2, 5)), bell)
    assert len(heard) == 3 * len(bell) + 2 * PAUSE
    for start in range(0, len(heard), len(bell) + PAUSE):
        sound, pause = heard[start : start + len(bell)], heard[start + len(bell) :][:PAUSE]
        assert float(sound.square().mean().sqrt()) == pytest.approx(float(bell.square().mean().sqrt()), rel=1e-4)
        assert not pause.any()


def test_loud_sounds_are_turned_down_together_and_not_clipped():
    click = torch.zeros(16_000)
    click[8_000:8_020] = 1
    square = tone(300).sign()  # nothing is louder: whatever has its energy and another form is beyond full scale
    for waveform in (click, square):
        heard = spectrograms_to_waveform(quantized_spectrograms(waveform, bins=(2,)), waveform)
        assert heard.abs().max() <= 1
    original, draw = heard[:16_000], heard[16_000 + PAUSE :]
    assert heard.abs().max() == 1
    assert float(original.square().mean()) == pytest.approx(float(draw.square().mean()), rel=1e-3)
    assert float(original.square().mean()) < 0.9


def test_silence_stays_silent():
    assert not spectrograms_to_waveform(quantized_spectrograms(torch.zeros(4_000), bins=(5,)), torch.zeros(4_000)).any()


def test_the_file_holds_the_sounds_and_is_the_same_again(tmp_path, bell):
    draws = quantized_spectrograms(bell, bins=(5,))
    starts = save_wav(draws, bell, tmp_path / "a.wav", seed=3)
    save_wav(draws, bell, tmp_path / "b.wav", seed=3)
    assert starts == pytest.approx([0, len(bell) / 16_000 + 0.5])
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()
    samples, rate = soundfile.read(tmp_path / "a.wav")
    assert rate == 16_000
    np.testing.assert_allclose(samples, spectrograms_to_waveform(draws, bell, seed=3), atol=2 / 2**15)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a.wav", "b.wav"]

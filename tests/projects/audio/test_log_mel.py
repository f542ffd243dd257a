"""Waveforms to normalised log-mel spectrograms: librosa's numbers, padding, statistics."""

import subprocess
import sys

import librosa
import numpy as np
import pytest
import torch

from pcrq import InputError
from projects.audio.log_mel import (
    SEGMENT_SAMPLES,
    LogMel,
    LogMelStatistics,
    frame_count,
    log_mel_statistics,
    normalize_batch,
)
from projects.audio.waveforms import pad_centered

SECONDS = np.arange(16_000) / 16_000
NOISE = np.random.default_rng(0).normal(size=16_000)
CHORD = sum(np.sin(2 * np.pi * pitch * SECONDS) for pitch in (220, 277, 330))
SIGNALS = {
    "noise": 0.1 * NOISE,
    "tone": np.sin(2 * np.pi * 440 * SECONDS),
    "sweep": 0.5 * np.sin(2 * np.pi * (50 + 3900 * SECONDS) * SECONDS),
    "chord that fades": 0.03 * np.exp(-5 * SECONDS) * CHORD,
    "click": np.eye(1, 16_000, 8_000)[0],
    "whisper": 1e-4 * NOISE,
    "silence": np.zeros(16_000),
    "shortest": 0.1 * NOISE[:513],
}


@pytest.fixture(scope="module")
def log_mel() -> LogMel:
    return LogMel()


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- the spectrogram --------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:n_fft=1024 is too large")
@pytest.mark.parametrize("signal", SIGNALS)
def test_the_spectrogram_is_librosas(log_mel, signal):
    power = librosa.feature.melspectrogram(
        y=SIGNALS[signal], sr=16_000, n_fft=1024, hop_length=160, n_mels=64, fmin=60, fmax=7800, pad_mode="reflect"
    )
    expected = np.log(power + np.finfo(np.float32).eps)
    computed = log_mel(torch.from_numpy(SIGNALS[signal]).float()[None])
    np.testing.assert_allclose(computed[0, 0].double(), expected, rtol=0, atol=1e-4)


def test_a_training_segment_has_96_frames(log_mel):
    computed = log_mel(torch.zeros(2, SEGMENT_SAMPLES))
    assert computed.shape == (2, 1, 64, 96) and computed.dtype == torch.float32 and frame_count(SEGMENT_SAMPLES) == 96


def test_a_batch_is_its_waveforms(log_mel):
    waveforms = torch.randn(100, 4000, generator=generator())
    alone = torch.cat([log_mel(waveform[None]) for waveform in waveforms])
    torch.testing.assert_close(log_mel(waveforms), alone, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("samples", "at_once"), [(16_000, 7), (16_000, 100), (513, 3), (4000, 26)])
def test_long_waveforms_are_transformed_in_slices_which_are_the_whole(log_mel, monkeypatch, samples, at_once):
    from projects.audio import log_mel as module

    waveforms, seen, transform = 0.1 * torch.randn(3, samples, generator=generator()), [], torch.stft

    def watched(waveforms, *arguments, **options):
        spectrum = transform(waveforms, *arguments, **options)
        seen.append(len(spectrum) * spectrum.shape[2])
        return spectrum

    expected = torch.cat([log_mel(waveforms[:2]), log_mel(waveforms[2:])])
    monkeypatch.setitem(module._FRAMES_AT_ONCE, "cpu", at_once)
    monkeypatch.setattr(torch, "stft", watched)
    torch.testing.assert_close(log_mel(waveforms), expected, atol=1e-6, rtol=1e-6)
    assert max(seen) <= at_once and sum(seen) == 3 * frame_count(samples)


def test_autocast_and_other_floats_leave_the_spectrogram_in_float32(log_mel):
    waveforms = torch.randn(2, 4000, generator=generator())
    with torch.autocast("cpu", torch.bfloat16):
        computed = log_mel(waveforms)
    assert torch.equal(computed, log_mel(waveforms)) and computed.dtype == torch.float32
    assert log_mel(waveforms.bfloat16()).dtype == log_mel(waveforms.double()).dtype == torch.float32


@pytest.mark.parametrize(
    ("waveforms", "message"),
    [
        (torch.zeros(4000), r"shape \(4000,\), expected floating point \(B, T\)"),
        (torch.zeros(1, 4000, dtype=torch.int16), "torch.int16"),
        (torch.zeros(1, 512), "512 samples: a frame needs at least 513; pad them"),
    ],
)
def test_other_waveforms_are_refused(log_mel, waveforms, message):
    with pytest.raises(InputError, match=message):
        log_mel(waveforms)


def test_it_is_no_part_of_a_checkpoint(log_mel):
    assert not log_mel.state_dict()


def test_importing_it_does_not_load_librosa():
    code = "import sys, projects.audio.log_mel, projects.audio.augmentation; sys.exit('librosa' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_same(log_mel):
    waveforms = torch.randn(4, 16_000, generator=generator())
    computed = LogMel().cuda()(waveforms.cuda()).cpu()
    torch.testing.assert_close(computed, log_mel(waveforms), atol=1e-4, rtol=0)


# --- padding ----------------------------------------------------------------------------------------------------------


def test_a_short_waveform_is_centered_between_zeros():
    assert pad_centered(torch.ones(3), 8).tolist() == [0, 0, 1, 1, 1, 0, 0, 0]
    assert pad_centered(torch.ones(2, 4), 8).tolist() == [[0, 0, 1, 1, 1, 1, 0, 0]] * 2
    assert pad_centered(torch.ones(0), 2).tolist() == [0, 0]


def test_a_waveform_of_the_right_length_is_itself():
    waveform = torch.randn(SEGMENT_SAMPLES)
    assert torch.equal(pad_centered(waveform, SEGMENT_SAMPLES), waveform)


# --- normalisation ----------------------------------------------------------------------------------------------------


def test_statistics_are_those_of_all_values_together():
    values = np.random.default_rng(0).normal(-9, 4, (50, 1, 8, 12)).astype(np.float32)
    batches = [torch.from_numpy(batch) for batch in np.split(values, [7, 7, 30])]  # one of them empty
    statistics = log_mel_statistics(iter(batches))
    assert statistics.mean == pytest.approx(values.mean(dtype=float), abs=1e-5)
    assert statistics.std == pytest.approx(values.std(dtype=float), abs=1e-5)


def test_statistics_of_many_batches_far_from_zero():
    rng = np.random.default_rng(0)
    batches = [torch.from_numpy(rng.normal(1000 + index, 0.01, 64)) for index in range(300)]
    statistics = log_mel_statistics(batches)
    assert statistics.mean == pytest.approx(1149.5, abs=1e-3)
    assert statistics.std == pytest.approx(np.sqrt((300**2 - 1) / 12), rel=1e-5)


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "the dataset is empty"),
        ([torch.zeros(0, 1, 64, 96)], "the dataset is empty"),
        ([torch.full((2, 8), -15.9)], "all silent"),
        ([torch.tensor([1.0, float("nan")])], "not finite"),
    ],
)
def test_statistics_of_nothing(batches, message):
    with pytest.raises(InputError, match=message):
        log_mel_statistics(batches)


def test_normalising_by_a_data_set_centres_it():
    values = torch.randn(20, 1, 8, 12, generator=generator()) * 3 - 7
    normalised = log_mel_statistics([values]).normalize(values)
    assert float(normalised.mean()) == pytest.approx(0, abs=1e-5)
    assert float(normalised.std(correction=0)) == pytest.approx(1, abs=1e-5)
    assert torch.equal(LogMelStatistics(2, 4).normalize(torch.tensor([10.0])), torch.tensor([2.0]))


def test_normalising_a_batch_is_one_mean_and_one_deviation():
    values = torch.randn(5, 1, 4, 6, generator=generator()) * torch.arange(1, 6).view(5, 1, 1, 1)
    expected = (values.numpy() - values.numpy().mean()) / values.numpy().std(ddof=1)
    np.testing.assert_allclose(normalize_batch(values), expected, atol=1e-6)


def test_a_batch_of_silence_stays_finite():
    assert (normalize_batch(torch.full((2, 1, 4, 4), -3.0)) == 0).all()

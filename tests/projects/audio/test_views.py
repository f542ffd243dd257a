"""The views of BYOL-A and of the paper, against the formulation sample by sample."""

import copy
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from variants import AUDIO_VARIANTS as VARIANTS

from pcrq import InputError
from projects.audio.augmentation import (
    AudioViews,
    Augmentation,
    Mixup,
    MixupMemory,
    ResizeCrops,
    integers_below,
    log_mixup_exp,
)
from projects.audio.log_mel import LogMelStatistics

PLAIN = LogMelStatistics(0, 1)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def spectrograms(count: int = 4, size: tuple[int, int] = (64, 96), seed: int = 0) -> Tensor:
    return torch.randn(count, 1, *size, generator=generator(seed))


# --- random resize crop -----------------------------------------------------------------------------------------------


def crop_one(spectrogram: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """One sample (1, F, T) as the paper tells it: onto the canvas, cut out, resized."""
    frequencies, frames = spectrogram.shape[1:]
    canvas = torch.zeros(1, frequencies, int(1.5 * frames))
    before = (canvas.shape[2] - frames) // 2
    canvas[:, :, before : before + frames] = spectrogram
    rectangle = canvas[None, :, top : top + height, left : left + width]
    return F.interpolate(rectangle, (frequencies, frames), mode="bicubic", align_corners=True)[0]


@pytest.mark.parametrize("size", [(64, 96), (16, 21), (1, 5), (7, 1)])
def test_a_batch_of_crops_is_its_crops(size):
    samples = spectrograms(200, size)
    crops = ResizeCrops.sample(samples, generator(1))
    rectangles = zip(*(values.tolist() for values in (crops.top, crops.left, crops.height, crops.width)), strict=True)
    expected = torch.stack(
        [crop_one(sample, *rectangle) for sample, rectangle in zip(samples, rectangles, strict=True)]
    )
    torch.testing.assert_close(crops(samples), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "rectangle", [(0, 24, 64, 96), (0, 0, 64, 144), (63, 24, 1, 1), (5, 130, 40, 14), (0, 0, 2, 24)]
)
def test_rectangles_at_the_ends(rectangle):
    sample = spectrograms(1)
    crops = ResizeCrops(*(torch.tensor([number]) for number in rectangle), (64, 96))
    torch.testing.assert_close(crops(sample), crop_one(sample[0], *rectangle)[None], atol=1e-5, rtol=0)


def test_the_middle_of_the_canvas_is_the_spectrogram():
    sample = spectrograms(1)
    crops = ResizeCrops(*(torch.tensor([number]) for number in (0, 24, 64, 96)), (64, 96))
    torch.testing.assert_close(crops(sample), sample, atol=1e-6, rtol=0)


def test_rectangles_are_distributed_as_in_byol_a():
    """Against draws one by one with Python's generator."""
    crops = ResizeCrops.sample(torch.empty(1, 1, 1, 1).expand(20_000, 1, 64, 96), generator())
    draw, drawn = random.Random(0), []
    for _ in range(20_000):
        height, width = min(int(draw.uniform(0.6, 1.5) * 64), 64), min(int(draw.uniform(0.6, 1.5) * 96), 144)
        drawn.append((draw.randint(0, 64 - height), draw.randint(0, 144 - width), height, width))
    quantiles = np.linspace(0, 1, 11)
    for ours, theirs in zip((crops.top, crops.left, crops.height, crops.width), np.array(drawn).T, strict=True):
        np.testing.assert_allclose(np.quantile(ours, quantiles), np.quantile(theirs, quantiles), atol=3)
        assert float(ours.double().mean()) == pytest.approx(theirs.mean(), rel=0.03)
    assert (crops.top + crops.height).max() == 64 and (crops.left + crops.width).max() == 144
    assert (crops.height.min(), crops.width.min(), crops.left.min()) == (38, 57, 0)


def test_crops_are_float32_under_autocast():
    samples = spectrograms()
    crops = ResizeCrops.sample(samples, generator())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(crops(samples), crops(samples.double()))
    assert crops(samples).dtype == torch.float32


@pytest.mark.parametrize("size", [(3, 1, 64, 96), (4, 1, 64, 95), (4, 64, 96)])
def test_crops_of_other_spectrograms_are_refused(size):
    crops = ResizeCrops.sample(spectrograms(4))
    with pytest.raises(InputError, match=r"the crops are for 4 of size \(64, 96\)"):
        crops(torch.zeros(size))


def test_whole_numbers_are_uniform_below_their_limits():
    limits = torch.tensor([1, 2, 7]).expand(30_000, 3)
    drawn = integers_below(limits, generator())
    assert [column.bincount().shape[0] for column in drawn.T] == [1, 2, 7]
    assert all(column.bincount().float().std(correction=0) < 300 for column in drawn.T)


# --- mixup ------------------------------------------------------------------------------------------------------------


def test_mixing_is_linear_in_the_power():
    foreground, background = spectrograms(3), spectrograms(3, seed=1)
    share = torch.tensor([0.0, 0.25, 1.0])
    mixed = log_mixup_exp(foreground, background, share)
    weight = share.double().view(3, 1, 1, 1).numpy()
    expected = (1 - weight) * np.exp(foreground.double().numpy()) + weight * np.exp(background.double().numpy())
    np.testing.assert_allclose(mixed.double().exp(), expected, rtol=1e-5, atol=1e-6)


def test_the_memory_holds_the_latest_samples():
    memory, size = MixupMemory(5, (1, 1)), (1, 1)
    for start, stop in ((0, 3), (3, 7), (7, 20), (20, 21)):
        memory.remember(torch.arange(start, stop).view(-1, 1, *size))
        expected = set(range(max(0, stop - 5), stop))
        rows = memory.sample(500, generator())
        assert set(memory.samples[rows].flatten().int().tolist()) == expected


def test_shares_are_uniform_up_to_the_ratio():
    """Constant samples tell the share: the logarithm of a mix of 1 and 2."""
    mixup = Mixup(0.4, 8, (1, 1))
    mixup.memory.remember(torch.full((8, 1, 1, 1), 2.0).log())
    share = mixup(torch.zeros(20_000, 1, 1, 1), generator()).exp().flatten() - 1
    np.testing.assert_allclose(np.quantile(share, [0, 0.25, 0.5, 0.75, 1]), [0, 0.1, 0.2, 0.3, 0.4], atol=0.01)


def test_views_have_shares_and_backgrounds_of_their_own():
    mixup = Mixup(0.4, 64, (2, 3))
    mixup.memory.remember(spectrograms(64, (2, 3)))
    mixed = mixup(torch.zeros(50, 1, 2, 3), generator())
    assert len(torch.unique(mixed.flatten(1), dim=0)) == 50


def test_a_checkpoint_carries_the_memory_on():
    views = AudioViews(VARIANTS["RRC+Mixup"], PLAIN)
    views(spectrograms(6), generator())
    resumed = AudioViews(VARIANTS["RRC+Mixup"], PLAIN)
    resumed.load_state_dict(copy.deepcopy(views.state_dict()))
    ours, theirs = (module(spectrograms(6, seed=1), generator(1)) for module in (views, resumed))
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_normalised_samples_are_remembered_once_for_both_views():
    views = AudioViews(VARIANTS["RRC+Mixup"], LogMelStatistics(-9, 4))
    views(spectrograms(3) * 4 - 9, generator())
    torch.testing.assert_close(views.mixup.memory.samples[:3], spectrograms(3), atol=1e-5, rtol=0)
    assert int(views.mixup.memory.seen) == 3


def test_samples_of_another_size_are_not_remembered():
    with pytest.raises(InputError, match=r"of shape \(1, 64, 96\), these have \(1, 64, 95\)"):
        MixupMemory(4).remember(torch.zeros(2, 1, 64, 95))


@pytest.mark.parametrize(("options", "message"), [({"ratio": 0}, "ratio 0"), ({"samples": 0}, "memory of 0 samples")])
def test_bad_mixups(options, message):
    with pytest.raises(InputError, match=message):
        Mixup(**options)


# --- variants ---


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_have_their_names(name):
    assert VARIANTS[name].name == name


def test_the_variants_of_table_9():
    assert (VARIANTS["RRC+RQ"].bins, VARIANTS["RRC+RQ"].mixup, VARIANTS["RRC+RQ"].crop) == (5, 0, True)
    assert (VARIANTS["RRC+Mixup"].bins, VARIANTS["RRC+Mixup"].mixup, VARIANTS["RRC+Mixup"].memory) == (None, 0.4, 2048)
    assert Augmentation(bins=None, crop=False).name == "none"
    assert Augmentation(bins=None, per_frequency=True, quantize_first=True).name == "RRC"  # nothing is quantized


@pytest.mark.parametrize("options", [{"mixup": 1.1}, {"bins": -1}, {"bins": 0}, {"p": 2.0}, {"memory": 0}])
def test_bad_augmentations(options):
    (name,) = options
    with pytest.raises(InputError, match=rf"^augmentation\.{name} "):
        Augmentation(**options)


# --- both views -------------------------------------------------------------------------------------------------------


def normalised(views: Tensor) -> Tensor:
    return (views - views.mean()) / views.std()


@pytest.mark.parametrize("name", VARIANTS)
def test_views_are_normalised_together(name):
    first, second = AudioViews(VARIANTS[name], LogMelStatistics(-9, 4))(spectrograms(8) * 4 - 9, generator())
    both = torch.cat([first, second])
    assert both.shape == (16, 1, 64, 96) and both.dtype == torch.float32
    assert float(both.mean()) == pytest.approx(0, abs=1e-5) and float(both.std()) == pytest.approx(1, abs=1e-5)
    assert not torch.allclose(first, second)


def test_views_without_augmentation_are_the_normalised_samples():
    samples = spectrograms()
    first, second = AudioViews(Augmentation(crop=False, bins=None), LogMelStatistics(-3, 2))(samples)
    torch.testing.assert_close(first, normalised(samples.repeat(2, 1, 1, 1))[:4], atol=1e-5, rtol=0)
    assert torch.equal(first, second)


def test_a_crop_shows_the_mean_of_the_data_set_around_the_sample():
    """Constant samples: what is not their value comes from the canvas."""
    views = AudioViews(VARIANTS["RRC"], LogMelStatistics(-9, 4))
    first, second = views(torch.full((32, 1, 64, 96), -1.0), generator())
    values = torch.cat([first, second])
    torch.testing.assert_close(values, values[:, :, :1].expand_as(values), atol=1e-5, rtol=0)
    silence = values.amin(dim=(1, 2, 3))  # below every sound in a view; overshoots of the interpolation are lower still
    assert (values.amax() - silence > 1).sum() > 20


def test_quantized_views_have_at_most_five_values():
    for view in AudioViews(VARIANTS["RRC+RQ"], PLAIN)(spectrograms(16), generator()):
        values = [sample.unique().numel() for sample in view]
        assert max(values) <= 5 and np.mean(values) > 4


def test_a_view_has_one_quantizer_over_frequencies_and_frames():
    """A sample of equal rows stays one."""
    row = torch.randn(96, generator=generator()).expand(2, 1, 64, 96)
    first, second = AudioViews(VARIANTS["RQ"], PLAIN)(row, generator())
    drawn = torch.cat([first, second])
    assert (drawn == drawn[:, :, :1]).all() and len(drawn.flatten(1).unique(dim=0)) == 4


def test_every_frequency_can_have_a_quantizer():
    """Equal rows differ, each with five values."""
    row = torch.randn(96, generator=generator()).expand(2, 1, 64, 96)
    rows = AudioViews(replace(VARIANTS["RQ"], per_frequency=True), PLAIN)(row, generator())[0].flatten(0, 2)
    assert len(rows.unique(dim=0)) == 128 and max(values.unique().numel() for values in rows) <= 5


def test_quantizing_first_leaves_what_the_crop_blends():
    first, _ = AudioViews(replace(VARIANTS["RRC+RQ"], quantize_first=True), PLAIN)(spectrograms(16), generator())
    assert min(sample.unique().numel() for sample in first) > 5


def test_quantizing_first_is_quantizing_where_there_is_no_crop():
    samples = spectrograms()
    first, again = (
        AudioViews(replace(VARIANTS["RQ"], quantize_first=early), PLAIN)(samples, generator())[0]
        for early in (False, True)
    )
    assert torch.equal(first, again)


def test_mixup_stands_before_the_crop():
    """All samples are alike, so that backgrounds are, and mixing changes nothing."""
    samples = spectrograms(1).expand(4, -1, -1, -1)
    mixed = AudioViews(replace(VARIANTS["RRC+Mixup"], mixup=1e-9), PLAIN)
    loud = AudioViews(VARIANTS["RRC+Mixup"], PLAIN)
    for ours, theirs in zip(mixed(samples, generator()), loud(samples, generator()), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


def test_quantization_with_a_probability_leaves_some_views_alone():
    views = AudioViews(replace(VARIANTS["RQ"], p=0.3), PLAIN)(spectrograms(1).expand(150, -1, -1, -1), generator())
    quantized = [sample.unique().numel() <= 5 for view in views for sample in view]
    assert np.mean(quantized) == pytest.approx(0.3, abs=0.08)


@pytest.mark.parametrize("name", VARIANTS)
def test_views_are_a_function_of_the_generator(name):
    state = torch.get_rng_state()
    first, again, other = (AudioViews(VARIANTS[name], PLAIN)(spectrograms(), generator(seed))[0] for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(state, torch.get_rng_state())


def test_views_under_autocast_are_those_without():
    samples = spectrograms()
    expected = AudioViews(VARIANTS["RRC+Mixup+RQ"], PLAIN)(samples, generator())
    with torch.autocast("cpu", torch.bfloat16):
        computed = AudioViews(VARIANTS["RRC+Mixup+RQ"], PLAIN)(samples, generator())
    assert all(torch.equal(a, b) for a, b in zip(expected, computed, strict=True))


@pytest.mark.parametrize("size", [(2, 1, 64, 95), (2, 64, 96), (2, 2, 64, 96)])
def test_other_spectrograms_are_refused(size):
    with pytest.raises(InputError, match=r"expected \(B, 1, 64, 96\)"):
        AudioViews(VARIANTS["RRC"], PLAIN)(torch.zeros(size))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", VARIANTS)
def test_a_gpu_gives_the_same_views_by_a_cpu_generator(name):
    """But for single values of quantized views, which rounding takes over an edge into the next bin."""
    samples = spectrograms()
    expected = torch.cat(AudioViews(VARIANTS[name], PLAIN)(samples, generator()))
    computed = torch.cat(AudioViews(VARIANTS[name], PLAIN).cuda()(samples.cuda(), generator())).cpu()
    if not VARIANTS[name].bins:
        torch.testing.assert_close(computed, expected, atol=1e-4, rtol=0)
        return
    another = torch.cat(AudioViews(VARIANTS[name], PLAIN)(samples, generator(1)))
    alike = [torch.isclose(views, expected, atol=1e-3, rtol=0).double().mean() for views in (computed, another)]
    assert alike[0] > 0.99 and alike[1] < 0.5  # the share tells equal draws from others

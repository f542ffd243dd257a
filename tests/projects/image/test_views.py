"""The augmentation variants: what every step does, and that views depend on seed, epoch and index alone."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from torch.utils.data import DataLoader, SequentialSampler
from variants import IMAGE_VARIANTS as VARIANTS

from pcrq import InputError
from projects.image.augmentation import (
    Augmentation,
    AugmentedImages,
    GaussianBlur,
    QuantizeAndNormalize,
    evaluation_transform,
    probe_train_transform,
    view_transforms,
)
from projects.image.builtin_images import BuiltinImages
from projects.image.sources import FolderImages, ImageSource, UnreadableImage

SIZE = 32
PLAIN = QuantizeAndNormalize(VARIANTS["RRC"], (0, 0, 0), (1, 1, 1))


@pytest.fixture(scope="module")
def source():
    return BuiltinImages("train", 48)


def views(source: ImageSource, augmentation: Augmentation, key=(0, 0), size: int = SIZE, seed: int = 0):
    return AugmentedImages(source, view_transforms(augmentation, size), seed)[key][0]


# --- variants ---


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_have_the_names_of_the_paper(name):
    assert VARIANTS[name].name == name


def test_other_combinations_have_names_too():
    assert replace(VARIANTS["Full"], bins=8).name == "Full+RQ"
    assert Augmentation("CR", "CJ", flip=True, bins=None).name == "CR+CJ+flip"
    assert replace(VARIANTS["RRC+RQ"], bins=5, random_edges=False).name == "RRC+RQ"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop": "crop"}, "augmentation.crop 'crop': must be CR or RRC"),
        ({"colour": "jitter"}, "augmentation.colour 'jitter': must be none, CJ or Full"),
        ({"bins": -1}, "bins -1"),
        ({"bins": 0}, "bins 0: must be at least 1, or null for no quantization"),
        ({"p": 1.5}, "p 1.5"),
    ],
)
def test_bad_augmentations(options, message):
    with pytest.raises(InputError, match=message):
        Augmentation(**options)


# --- steps on single images -------------------------------------------------------------------------------------------


def test_centre_crop_of_a_small_image_is_the_image(source):
    first, second = views(source, VARIANTS["CR"], (0, 5))
    np.testing.assert_array_equal(first.permute(1, 2, 0), np.asarray(source[5][0]))
    assert torch.equal(first, second)


def test_centre_crop_is_the_published_one_at_224():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8))
    resized = image.resize((341, 256), Image.Resampling.BILINEAR)  # torchvision rounds the long side down
    left, top = round((341 - 224) / 2), (256 - 224) // 2
    expected = np.asarray(resized.crop((left, top, left + 224, top + 224)))
    np.testing.assert_array_equal(evaluation_transform(224)(image).permute(1, 2, 0), expected)


def test_centre_crop_keeps_the_whole_short_side_of_small_sets():
    image = Image.new("RGB", (48, 32))
    image.paste((255, 0, 0), (8, 0, 40, 32))
    assert (evaluation_transform(32)(image)[0] == 255).all()


def test_random_resized_crop_takes_20_to_100_percent_of_the_area():
    """Every pixel tells its row and column, so that a view tells its crop."""
    rows, columns = np.mgrid[:200, :200].astype(np.uint8)
    image = Image.fromarray(np.stack([rows, columns, rows * 0], axis=2))
    transform = view_transforms(VARIANTS["RRC"], 64)[0]
    torch.manual_seed(0)
    areas = []
    for _ in range(300):
        view = transform(image).float()
        sides = [float(view[channel].max() - view[channel].min() + 1) for channel in (0, 1)]
        areas.append(sides[0] * sides[1] / 200**2)
    assert 0.17 < min(areas) < 0.25 and 0.93 < max(areas) < 1.03


def test_random_resized_crop_does_not_flip():
    image = Image.fromarray(np.tile(np.arange(64, dtype=np.uint8)[None, :, None], (64, 1, 3)))
    transforms = {name: view_transforms(VARIANTS[name], 32)[0] for name in ("RRC", "MSF", "Full")}
    torch.manual_seed(0)
    mirrored = {}
    for name, transform in transforms.items():
        drawn = [transform(image).float() for _ in range(100)]
        mirrored[name] = np.mean([float(view[..., 0].mean() > view[..., -1].mean()) for view in drawn])
    assert mirrored["RRC"] == 0 and 0.35 < mirrored["MSF"] < 0.65 and mirrored["Full"] > 0.2


def is_changed(transform, image: Image.Image, times: int = 400) -> float:
    """How often the transform changes a centred image."""
    original = evaluation_transform(image.size[0])(image)
    torch.manual_seed(1)
    return float(np.mean([not torch.equal(transform(image), original) for _ in range(times)]))


def test_colour_jitter_is_applied_in_80_percent(source):
    jittered = view_transforms(Augmentation("CR", "CJ", bins=None), SIZE)[0]
    assert is_changed(jittered, source[3][0]) == pytest.approx(0.8, abs=0.06)


def test_the_first_view_is_blurred_and_the_second_seldom():
    """Jitter scales noise but does not smooth it."""
    noise = np.random.default_rng(0).integers(60, 196, (256, 256), np.uint8)
    image = Image.fromarray(np.repeat(noise[..., None], 3, axis=2))
    smooth = []
    for transform in view_transforms(Augmentation("CR", "Full", bins=None), 224):
        torch.manual_seed(2)
        drawn = [transform(image)[0, 40:80, 40:80].float() for _ in range(60)]
        smooth.append(np.mean([float(view.diff().abs().mean() / view.std()) < 1 for view in drawn]))
    assert smooth[0] > 0.75 and 0 < smooth[1] < 0.25


def test_the_second_view_is_solarised_in_20_percent_and_the_first_never():
    """Jitter leaves white above 150; what solarisation inverts is below 106."""
    image, dark = Image.new("RGB", (32, 32), "white"), []
    for transform in view_transforms(Augmentation("CR", "Full", bins=None), 32):
        torch.manual_seed(0)
        dark.append(np.mean([float(transform(image).float().mean()) < 128 for _ in range(400)]))
    assert dark[0] == 0 and dark[1] == pytest.approx(0.2, abs=0.05)


def test_the_full_augmentation_is_grey_in_20_percent():
    image = Image.new("RGB", (32, 32), (200, 100, 0))
    transform = view_transforms(VARIANTS["Full"], 32)[0]
    torch.manual_seed(0)
    grey = [torch.equal(view[0], view[2]) for view in (transform(image) for _ in range(400))]
    assert np.mean(grey) == pytest.approx(0.2, abs=0.05)


def test_blur_is_pils_with_a_radius_between_the_bounds(source):
    image = source[0][0]
    torch.manual_seed(0)
    sigma = float(torch.empty(1).uniform_(0.1, 2))
    torch.manual_seed(0)
    assert GaussianBlur(0.1, 2)(image).tobytes() == image.filter(ImageFilter.GaussianBlur(sigma)).tobytes()


def test_blur_is_in_proportion_to_the_view():
    blurs = [
        step.transforms[0]
        for step in view_transforms(VARIANTS["Full"], 112)[0].transforms
        if hasattr(step, "transforms")
    ]
    assert [(blur.low, blur.high) for blur in blurs if isinstance(blur, GaussianBlur)] == [(0.05, 1.0)]


def test_the_probe_trains_on_crops_and_flips(source):
    transform = probe_train_transform(SIZE)
    torch.manual_seed(0)
    crop, flip = transform.transforms[:2]
    assert (tuple(crop.scale), flip.p, transform(source[0][0]).shape) == ((0.08, 1.0), 0.5, (3, SIZE, SIZE))


# --- on the device ----------------------------------------------------------------------------------------------------


def batch(source, augmentation, count=4) -> torch.Tensor:
    return torch.stack([views(source, augmentation, (0, index)) for index in range(count)])


def test_without_quantization_views_are_normalised_pixels(source):
    pixels = batch(source, VARIANTS["RRC"])
    first, second = QuantizeAndNormalize(VARIANTS["RRC"], (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))(pixels)
    expected = (pixels[:, 1].double() / 255 - torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1)) / torch.tensor(
        [0.2, 0.3, 0.4]
    ).view(3, 1, 1)
    torch.testing.assert_close(second.double(), expected, atol=1e-5, rtol=0)
    assert first.shape == (4, 3, SIZE, SIZE) and first.is_contiguous() and first.dtype == torch.float32


@pytest.mark.parametrize("name", ["CR+RQ", "RRC+RQ"])
def test_quantization_leaves_8_values_within_the_range_of_every_channel(source, name):
    pixels = batch(source, VARIANTS[name])
    quantized = QuantizeAndNormalize(VARIANTS[name], (0, 0, 0), (1, 1, 1))(pixels, torch.Generator().manual_seed(0))
    for original, view in zip(PLAIN(pixels), quantized, strict=True):
        assert not torch.equal(original, view)
        assert (view.amin((2, 3)) >= original.amin((2, 3))).all() and (view.amax((2, 3)) <= original.amax((2, 3))).all()
        assert max(channel.unique().numel() for image in view for channel in image) <= 8


def test_quantization_is_drawn_for_every_view_image_channel_and_call(source):
    same = views(source, VARIANTS["CR"], (0, 9))[0, :1].expand(3, -1, -1)  # one grey picture, twelve times
    pixels = same.expand(2, 2, 3, SIZE, SIZE)
    augment, generator = QuantizeAndNormalize(VARIANTS["CR+RQ"], (0, 0, 0), (1, 1, 1)), torch.Generator().manual_seed(0)
    drawn = torch.cat([*augment(pixels, generator), *augment(pixels, generator)]).flatten(0, 1)
    assert len(torch.unique(drawn, dim=0)) == 24


def test_quantization_is_a_function_of_the_generator(source):
    pixels, augment = batch(source, VARIANTS["RRC+RQ"]), QuantizeAndNormalize(VARIANTS["RRC+RQ"], (0, 0, 0), (1, 1, 1))
    state = torch.get_rng_state()
    first = augment(pixels, torch.Generator().manual_seed(3))
    again = augment(pixels, torch.Generator().manual_seed(3))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert torch.equal(state, torch.get_rng_state())


def test_fixed_bins_and_midpoints_are_those_of_a_uniform_quantizer(source):
    """Table 1: 'quantize' without either randomness."""
    pixels = batch(source, VARIANTS["CR"])
    augment = QuantizeAndNormalize(
        replace(VARIANTS["CR+RQ"], random_edges=False, random_values=False), (0, 0, 0), (1, 1, 1)
    )
    x = pixels[:, 0].double() / 255
    low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    position = (x - low) / (high - low) * 8
    expected = low + (position.floor().clamp(max=7) + 0.5) / 8 * (high - low)
    inside = (position - position.round()).abs() > 1e-4  # on a boundary, rounding decides
    torch.testing.assert_close(augment(pixels)[0].double()[inside], expected[inside], atol=1e-5, rtol=0)


def test_quantization_with_a_probability_leaves_some_views_alone(source):
    pixels = batch(source, VARIANTS["CR"], 1).expand(200, -1, -1, -1, -1)
    augment = QuantizeAndNormalize(replace(VARIANTS["CR+RQ"], p=0.3), (0, 0, 0), (1, 1, 1))
    quantized = torch.cat(augment(pixels, torch.Generator().manual_seed(0)))
    changed = (quantized != torch.cat(PLAIN(pixels))).flatten(1).any(1)
    assert changed.float().mean() == pytest.approx(0.3, abs=0.06)


@pytest.mark.parametrize("wrong", [torch.zeros(2, 2, 3, 4, 4), torch.zeros(2, 3, 4, 4, dtype=torch.uint8)])
def test_other_batches_are_refused(wrong):
    with pytest.raises(InputError, match="expected uint8"):
        PLAIN(wrong)


def test_statistics_are_no_part_of_a_checkpoint():
    assert not QuantizeAndNormalize(VARIANTS["RRC+RQ"], (0, 0, 0), (1, 1, 1)).state_dict()


# --- reproducible in worker processes ---------------------------------------------------------------------------------


class InOrder(SequentialSampler):
    """(epoch, index) of every index."""

    epoch = 0

    def __iter__(self):
        return ((self.epoch, index) for index in super().__iter__())


def load(source, workers: int, epochs: int = 2, first: int = 0) -> torch.Tensor:
    data, keys = AugmentedImages(source, view_transforms(VARIANTS["Full"], SIZE), seed=4), InOrder(source)
    loader = DataLoader(data, batch_size=10, sampler=keys, num_workers=workers, persistent_workers=workers > 0)
    passes = []
    for epoch in range(first, epochs):
        keys.epoch = epoch
        passes.append(torch.cat([pixels for pixels, _ in loader]))
    return torch.stack(passes)


def test_views_are_the_same_for_any_number_of_workers(source):
    alone = load(source, 0)
    assert torch.equal(alone, load(source, 1)) and torch.equal(alone, load(source, 2))


def test_views_are_the_same_after_resuming(source):
    assert torch.equal(load(source, 0)[1], load(source, 2, first=1)[0])


def test_views_differ_between_epochs_seeds_and_images(source):
    drawn = [views(source, VARIANTS["RRC"], key, seed=seed) for key, seed in (((0, 1), 0), ((1, 1), 0), ((0, 1), 1))]
    drawn.append(views(source, VARIANTS["RRC"], (0, 17)))
    assert len(torch.unique(torch.cat(drawn).flatten(1), dim=0)) == 8


def test_drawing_views_leaves_the_global_generator_alone(source):
    state = torch.get_rng_state()
    views(source, VARIANTS["Full"])
    assert torch.equal(state, torch.get_rng_state())


def test_an_index_alone_is_of_epoch_0(source):
    assert torch.equal(views(source, VARIANTS["RRC"], 3), views(source, VARIANTS["RRC"], (0, 3)))


# --- images that cannot be read ---------------------------------------------------------------------------------------


@pytest.fixture
def damaged(tmp_path) -> FolderImages:
    """Twelve images, of which numbers 2 and 7 are empty files."""
    images = BuiltinImages("train", 12)
    for index in range(12):
        images[index][0].save(tmp_path / f"{index:02}.png")
    for index in (2, 7):
        (tmp_path / f"{index:02}.png").write_bytes(b"")
    return FolderImages(tmp_path, "pretrain")


@pytest.mark.parametrize("workers", [0, 2])
def test_images_that_cannot_be_read_are_replaced_and_named_once(damaged, workers):
    data = AugmentedImages(damaged, [evaluation_transform(SIZE)])
    loader = DataLoader(data, batch_size=4, num_workers=workers)
    first, again = (torch.cat([pixels for pixels, _ in loader]) for _ in range(2))
    assert torch.equal(first, again)
    whole = torch.stack([evaluation_transform(SIZE)(damaged[index][0]) for index in range(12) if index not in (2, 7)])
    for index in (2, 7):
        assert (first[index, 0] == whole).flatten(1).all(1).any()
    assert data.unreadable.nonzero().flatten().tolist() == [2, 7]
    assert [(r.name.partition("/")[2], r.reason) for r in data.errors()] == [
        ("02.png", "the file is empty"),
        ("07.png", "the file is empty"),
    ]


def test_the_other_image_is_drawn_anew_in_every_epoch(damaged):
    data = AugmentedImages(damaged, [evaluation_transform(SIZE)])
    assert len({data[epoch, 2][0].numpy().tobytes() for epoch in range(20)}) > 3


def test_an_image_is_warned_of_once(damaged, caplog):
    data = AugmentedImages(damaged, [evaluation_transform(SIZE)])
    with caplog.at_level(logging.WARNING):
        for epoch in range(3):
            data[epoch, 2]
    assert sum("02.png: the file is empty; another image replaces it" in line for line in caplog.messages) == 1


def test_a_source_that_cannot_be_read_at_all_ends_the_run():
    class Gone(BuiltinImages):
        def __getitem__(self, index):
            raise UnreadableImage(f"{index}.png", "No such file or directory")

    with pytest.raises(InputError, match="32 images in a row cannot be read"):
        AugmentedImages(Gone("train", 5), [evaluation_transform(SIZE)])[0]

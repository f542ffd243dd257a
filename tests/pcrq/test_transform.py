"""Randomized quantization as a module, alone and in a torchvision pipeline."""

import pytest
import torch
from scipy import stats
from torch import nn

from pcrq import InputError, Quantizer, RandomizedQuantization


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_it_samples_and_applies_with_its_options():
    x = torch.rand(2, 5, 6)
    options = {"bins": 3, "channel_dims": (0, 2), "random_edges": False, "random_values": True}
    expected = Quantizer.sample(x, **options, generator=seeded())(x)
    assert torch.equal(RandomizedQuantization(**options)(x, generator=seeded()), expected)


def test_every_call_draws_anew_from_the_global_generator():
    augment, x = RandomizedQuantization(bins=4), torch.rand(2, 3, 8, 8)
    assert not torch.equal(augment(x), augment(x))
    torch.manual_seed(1)
    first = augment(x)
    torch.manual_seed(1)
    assert torch.equal(augment(x), first)


@pytest.mark.parametrize(("shape", "channel_dims"), [((2000, 3, 4, 4), None), ((2000, 6, 2), (0, 2))])
def test_p_is_the_probability_of_a_sample(shape, channel_dims):
    x = torch.rand(shape, generator=seeded())
    y = RandomizedQuantization(bins=2, p=0.3, channel_dims=channel_dims)(x, generator=seeded())
    untouched = (x == y).flatten(1).all(1)
    partly = (x == y).flatten(1).float().mean(1)
    assert stats.binomtest(int((~untouched).sum()), 2000, 0.3).pvalue > 0.01
    assert partly[~untouched].max() < 0.5, "a sample is quantized in all of its channels or in none"


def test_p_decides_a_single_image_as_a_whole():
    x, augment = torch.rand(3, 16, 16), RandomizedQuantization(bins=2, p=0.5)
    changed = [(augment(x, generator=seeded(seed)) != x).flatten(1).any(1) for seed in range(60)]
    assert {tuple(channels.tolist()) for channels in changed} == {(True,) * 3, (False,) * 3}
    assert stats.binomtest(sum(bool(channels[0]) for channels in changed), 60, 0.5).pvalue > 0.01


def test_p_of_zero_changes_nothing_and_detaches():
    x = torch.rand(4, 3, 8, 8, requires_grad=True)
    y = RandomizedQuantization(p=0.0)(x)
    assert torch.equal(x, y) and not y.requires_grad


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.float32])
def test_the_type_is_kept(dtype):
    x = (torch.rand(4, 3, 8, 8) * 255).to(dtype)
    assert RandomizedQuantization(p=0.5)(x).dtype == dtype


def test_it_is_a_step_of_a_torchvision_pipeline():
    v2 = pytest.importorskip("torchvision.transforms.v2")
    image_module = pytest.importorskip("PIL.Image")
    image = image_module.linear_gradient("L").convert("RGB")
    pipeline = v2.Compose([v2.ToImage(), RandomizedQuantization(bins=4), v2.ToDtype(torch.float32, scale=True)])
    y = pipeline(image)
    assert y.shape == (3, 256, 256) and y.dtype == torch.float32
    assert all(2 <= channel.unique().numel() <= 4 for channel in y)
    with pytest.raises(InputError, match="ToImage"):
        RandomizedQuantization()(image)


def test_a_torchvision_pipeline_passes_labels_boxes_and_dictionaries_through():
    v2 = pytest.importorskip("torchvision.transforms.v2")
    tv_tensors = pytest.importorskip("torchvision.tv_tensors")
    pipeline = v2.Compose([v2.ToImage(), RandomizedQuantization(bins=2)])
    pixels = torch.randint(256, (16, 16, 3), dtype=torch.uint8, generator=seeded()).numpy()
    image, label = pipeline(pixels, 7)
    assert label == 7 and type(image) is tv_tensors.Image and image.dtype == torch.uint8
    assert all(channel.unique().numel() <= 2 for channel in image)

    box = tv_tensors.BoundingBoxes([[1, 2, 3, 4]], format="XYXY", canvas_size=(16, 16))
    mask = tv_tensors.Mask(torch.arange(256, dtype=torch.uint8).view(16, 16))
    target = {"boxes": box, "mask": mask, "label": torch.tensor([5]), "name": "cat"}
    sample = {"image": tv_tensors.Image(torch.rand(3, 16, 16)), "target": target}
    result = pipeline(sample)
    assert type(result["image"]) is tv_tensors.Image and result["image"][0].unique().numel() <= 2
    assert sample["image"][0].unique().numel() > 2, "the input is not changed"
    assert type(result["target"]["boxes"]) is tv_tensors.BoundingBoxes and torch.equal(result["target"]["boxes"], box)
    assert torch.equal(result["target"]["mask"], mask) and result["target"]["name"] == "cat"
    assert torch.equal(result["target"]["label"], torch.tensor([5]))


def test_without_images_the_first_plain_tensor_is_quantized():
    image, label = torch.rand(3, 8, 8), torch.arange(64.0).view(1, 8, 8)
    first, second = RandomizedQuantization(bins=2)(image, label)
    assert first[0].unique().numel() <= 2 and torch.equal(second, label)
    with pytest.raises(InputError, match=r"no tensor to quantize.*\(int, str\)"):
        RandomizedQuantization()("a", 1)


def test_frames_of_a_video_share_their_quantizers():
    tv_tensors = pytest.importorskip("torchvision.tv_tensors")
    video = tv_tensors.Video(torch.rand(5, 3, 8, 8, generator=seeded()))
    result = RandomizedQuantization(bins=3)(video, generator=seeded())
    assert type(result) is tv_tensors.Video
    expected = Quantizer.sample(video.as_subclass(torch.Tensor), 3, channel_dims=(1,), generator=seeded())(
        video.as_subclass(torch.Tensor)
    )
    assert torch.equal(result.as_subclass(torch.Tensor), expected)


def test_an_image_with_many_channels_is_marked_as_one_or_needs_channel_dims():
    tv_tensors = pytest.importorskip("torchvision.tv_tensors")
    tokens = torch.rand(8, 16, 16)
    with pytest.raises(InputError, match=r"channel_dims is missing: shape \(8, 16, 16\) is neither"):
        RandomizedQuantization()(tokens)
    assert RandomizedQuantization()(tv_tensors.Image(tokens)).shape == (8, 16, 16)
    assert RandomizedQuantization(channel_dims=(0, 2))(tokens).shape == (8, 16, 16)


def test_it_compiles_inside_a_network():
    torch._dynamo.reset()
    network = nn.Sequential(RandomizedQuantization(bins=3, p=0.5), nn.Flatten(), nn.Linear(12, 2))
    assert torch.compile(network, fullgraph=True, backend="aot_eager")(torch.rand(2, 3, 2, 2)).shape == (2, 2)


def test_it_carries_nothing_to_a_checkpoint_and_prints_its_options():
    augment = RandomizedQuantization(bins=5, p=0.25)
    assert not augment.state_dict()
    assert "bins=5, p=0.25" in repr(augment)


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_p_must_be_a_probability(p):
    with pytest.raises(InputError, match="p="):
        RandomizedQuantization(p=p)


def test_bins_are_checked_when_it_is_made():
    with pytest.raises(InputError, match="bins="):
        RandomizedQuantization(bins=0)

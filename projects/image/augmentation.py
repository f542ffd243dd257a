"""Augmentation of images: options, transforms in worker processes, and randomized quantization on the device.

Worker processes crop and jitter single images (:class:`AugmentedImages`); the training device quantizes and normalizes
whole batches (:class:`QuantizeAndNormalize`). The variants are those of the paper's tables 1, 3, 4 and 5 (Wu et al.,
ICCV 2023, sections 4 and 5.1).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor, nn
from torch.utils.data import Dataset
from torchvision.transforms import v2

from pcrq import InputError, RandomizedQuantization
from projects.image.image_source import ImageSource, UnreadableImage

_log = logging.getLogger(__name__)

# --- options ---

Crop = Literal["CR", "RRC"]
Colour = Literal["none", "CJ", "Full"]


@dataclass(frozen=True)
class Augmentation:
    """The augmentation of the two views of an image.

    Args:
        crop: "CR" (resize, then center crop; the same for both views) or "RRC" (random resized crop of 20 to 100 % of
            the area).
        colour: "none", "CJ" (color jitter of MoCo v3) or "Full" (everything of MoCo v3 except crop and flip: jitter,
            grayscale, blur and solarization; blur and solarization have other probabilities in the second view).
        flip: flip half of the views horizontally.
        bins: bins of randomized quantization, the last step; every view and color channel has its own quantizer;
            null for no quantization.
        random_edges: sample the boundaries of the bins; otherwise they are evenly spaced (table 1).
        random_values: sample the value of a bin; otherwise it is the center (table 1).
        p: probability that a view is quantized, in [0, 1].

    Raises:
        InputError: a value is out of range.

    Source: sections 4 and 5.1. Only "Full" and the weak augmentation of MSF flip: the paper names its baselines by the
    crop alone, calls a center crop "no augmentation", and the authors' code has nothing between random resized crop
    and quantization.
    """

    crop: Crop = "RRC"
    colour: Colour = "none"
    flip: bool = False
    bins: int | None = 8
    random_edges: bool = True
    random_values: bool = True
    p: float = 1.0

    def __post_init__(self) -> None:
        if self.crop not in ("CR", "RRC"):
            raise InputError(f"augmentation.crop {self.crop!r}: must be CR or RRC")
        if self.colour not in ("none", "CJ", "Full"):
            raise InputError(f"augmentation.colour {self.colour!r}: must be none, CJ or Full")
        if self.bins is not None and self.bins < 1:
            raise InputError(f"augmentation.bins {self.bins}: must be at least 1, or null for no quantization")
        if not 0 <= self.p <= 1:
            raise InputError(f"augmentation.p {self.p}: must be a probability in [0, 1]")

    @property
    def name(self) -> str:
        """The paper's name of the variant, such as "RRC+RQ"; other combinations get a name of the same form."""
        # "MSF" of table 5 is the weak augmentation of UMBCvision/MSF.
        known = {("RRC", "Full", True): "Full", ("RRC", "none", True): "MSF"}
        parts = [self.crop, *[self.colour] * (self.colour != "none"), *["flip"] * self.flip]
        name = known.get((self.crop, self.colour, self.flip), "+".join(parts))
        return name + ("+RQ" if self.bins else "")


# --- transforms of single images, in worker processes ---

_REFERENCE = 224  # image size in pixels for which the published values hold
_NO_MARGIN_BELOW = 128  # pixels; the objects of small-image datasets fill the image


def view_transforms(augmentation: Augmentation, size: int) -> tuple[v2.Transform, v2.Transform]:
    """The transforms of the two views, up to quantization; random numbers come from torch's global generator.

    Args:
        augmentation: the options.
        size: height and width of a view in pixels.

    Returns:
        Two transforms, PIL image in mode "RGB" -> (3, size, size) uint8.

    Source: facebookresearch/moco-v3, main_moco.py; crop scale (0.2, 1) as for its ResNet-50.
    """
    views = []
    for blur, solarize in ((1.0, 0.0), (0.1, 0.2)):
        if augmentation.crop == "CR":
            steps = _center_crop(size)
        else:
            steps = [v2.RandomResizedCrop(size, scale=(0.2, 1.0))]
        if augmentation.colour in ("CJ", "Full"):
            steps.append(v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.2, 0.1)], p=0.8))
        if augmentation.colour == "Full":
            steps += [
                v2.RandomGrayscale(p=0.2),
                v2.RandomApply([GaussianBlur(0.1 * size / _REFERENCE, 2.0 * size / _REFERENCE)], p=blur),
                v2.RandomSolarize(threshold=128, p=solarize),
            ]
        if augmentation.flip:
            steps.append(v2.RandomHorizontalFlip())
        views.append(v2.Compose([*steps, v2.PILToTensor()]))
    return views[0], views[1]


def probe_train_transform(size: int, smallest_crop: float = 0.08) -> v2.Transform:
    """The training transform of the linear probe: random resized crop and horizontal flip.

    Args:
        size: height and width in pixels.
        smallest_crop: smallest part of the area of a crop, in (0, 1].

    Returns:
        PIL image in mode "RGB" -> (3, size, size) uint8.

    Source: facebookresearch/moco-v3, main_lincls.py.
    """
    return v2.Compose(
        [v2.RandomResizedCrop(size, scale=(smallest_crop, 1.0)), v2.RandomHorizontalFlip(), v2.PILToTensor()]
    )


def evaluation_transform(size: int) -> v2.Transform:
    """The transform of images that are evaluated: at 224 pixels, Resize(256) and CenterCrop(224).

    Other sizes keep this proportion. Below 128 pixels (CIFAR, STL-10) the short side is resized to ``size``.

    Returns:
        PIL image in mode "RGB" -> (3, size, size) uint8; deterministic.

    Source: facebookresearch/moco-v3, main_lincls.py.
    """
    return v2.Compose([*_center_crop(size), v2.PILToTensor()])


class GaussianBlur(v2.Transform):
    """PIL's Gaussian blur, as in SimCLR and MoCo v3.

    Args:
        low, high: range of the standard deviation in pixels, sampled uniformly.
    """

    def __init__(self, low: float, high: float):
        super().__init__()
        self.low, self.high = low, high

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Sample the standard deviation."""
        return {"sigma": float(torch.empty(1).uniform_(self.low, self.high))}

    def transform(self, inpt: Image.Image, params: dict[str, Any]) -> Image.Image:
        """Blur an image."""
        return inpt.filter(ImageFilter.GaussianBlur(params["sigma"]))


def _center_crop(size: int) -> list[v2.Transform]:
    short = round(size * 256 / _REFERENCE) if size >= _NO_MARGIN_BELOW else size
    return [v2.Resize(short), v2.CenterCrop(size)]


# --- the dataset ---

_ATTEMPTS = 32  # so many unreadable images in a row mean that the folder is gone


class AugmentedImages(Dataset[tuple[Tensor, int]]):
    """Augmented views of the images of a source; the random numbers depend on (seed, epoch, index) only.

    So the views are the same for any number of worker processes, and after resuming. An image that cannot be read does
    not stop a run: another image of the source, chosen by the same three numbers, replaces it, with its own label.
    Worker processes mark such images in shared memory, so that an evaluation can leave them out.

    Args:
        source: the images.
        transforms: one per view, PIL image in mode "RGB" -> (3, H, W) uint8; their random numbers come from torch's
            global generator, whose state is restored.
        seed: random seed of the views.

    Item:
        ``data[epoch, index]`` in training, ``data[index]`` in evaluation (with the random numbers of epoch 0):
        views (V, 3, H, W) uint8 and the label, -1 if unknown.

    Raises:
        InputError: (from an item) 32 images in a row cannot be read.
    """

    def __init__(self, source: ImageSource, transforms: Sequence[Callable[[Image.Image], Tensor]], seed: int = 0):
        self.source, self.transforms, self.seed = source, list(transforms), seed
        self._unreadable = torch.zeros(len(source), dtype=torch.uint8).share_memory_()

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, key: tuple[int, int] | int) -> tuple[Tensor, int]:
        is_training = isinstance(key, tuple)
        epoch, index = key if is_training else (0, key)
        entropy = [self.seed, epoch, index]
        image, label = self._image_or_replacement(index, entropy, is_training)
        with _torch_seed(int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])):
            return torch.stack([transform(image) for transform in self.transforms]), label

    @property
    def unreadable(self) -> Tensor:
        """(len,) bool: images that could not be read so far, in this process and its worker processes."""
        return self._unreadable.bool()

    def errors(self) -> list[UnreadableImage]:
        """The errors of the images that could not be read so far; reads them again."""
        return unreadable_images(self.source, self.unreadable.nonzero().flatten().tolist())

    def log_unreadable(self, most: int = 20) -> None:
        """Log how many images could not be read, and why the first ``most`` of them."""
        errors = self.errors()
        for error in errors[:most]:
            _log.warning("not read: %s: %s", error.name, error.reason)
        if errors:
            _log.warning("%d of the %d images of %s could not be read", len(errors), len(self), self.source.name)

    def _image_or_replacement(self, index: int, entropy: list[int], is_training: bool) -> tuple[Image.Image, int]:
        try:
            return self.source[index]
        except UnreadableImage as error:
            self._mark(index, error, is_training)
        others = np.random.default_rng(entropy).integers(len(self.source), size=_ATTEMPTS - 1)
        for other in map(int, others):
            try:
                return self.source[other]
            except UnreadableImage as error:
                self._mark(other, error, is_training)
                last = error
        raise InputError(
            f"{self.source.name}: {_ATTEMPTS} images in a row cannot be read, the last is {last}; check that the "
            "folder still exists"
        )

    def _mark(self, index: int, error: UnreadableImage, is_training: bool) -> None:
        if not self._unreadable[index]:
            self._unreadable[index] = 1
            _log.warning("%s; %s", error, "another image replaces it" if is_training else "it is left out")


def unreadable_images(source: ImageSource, indices: Iterable[int]) -> list[UnreadableImage]:
    """The errors of those of some images that cannot be read; reads all of them."""
    errors = []
    for index in indices:
        try:
            source[index]
        except UnreadableImage as error:
            errors.append(error)
    return errors


@contextmanager
def _torch_seed(seed: int) -> Iterator[None]:
    """Seed torch's CPU generator within a block: 2 µs, whereas ``fork_rng`` with ``manual_seed`` takes 110 µs."""
    state = torch.get_rng_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(state)


# --- on the training device ---


class QuantizeAndNormalize(nn.Module):
    """Randomized quantization and normalization of a batch of views, on its device.

    Each view of each image has its own quantizer for every color channel, sampled in every call. Quantizing before
    normalizing equals the reverse order, because boundaries and values are sampled relative to the channel's range.

    Args:
        augmentation: its quantization options are used.
        mean, std: per color channel, of pixels in [0, 1].

    Shape:
        (B, V, 3, H, W) uint8 -> V tensors (B, 3, H, W) float32, contiguous.

    Raises:
        InputError: (when called) the batch has another dtype or shape.

    Source: sections 3.2 and 4; microsoft/random_quantize, usage 3.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, augmentation: Augmentation, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.quantize = None
        if augmentation.bins is not None:
            self.quantize = RandomizedQuantization(
                augmentation.bins,
                augmentation.p,
                random_edges=augmentation.random_edges,
                random_values=augmentation.random_values,
            )
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    @torch.no_grad()
    def forward(self, views: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, ...]:
        """Quantize and normalize; ``generator`` is the source of random numbers, None for the global one."""
        if views.dtype != torch.uint8 or views.ndim != 5 or views.shape[2] != len(self.mean):
            raise InputError(f"views: {views.dtype} of shape {tuple(views.shape)}, expected uint8 (B, V, 3, H, W)")
        images = views.transpose(0, 1).flatten(0, 1).to(torch.float32).div_(255)
        if self.quantize is not None:
            images = self.quantize(images, generator=generator)
        images = images.sub_(self.mean).div_(self.std)
        return images.unflatten(0, (views.shape[1], views.shape[0])).unbind(0)

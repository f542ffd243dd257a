"""What worker processes do to a single image: crop, jitter, blur; PIL image in, uint8 tensor out.

The transforms draw from torch's global generator.
"""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image, ImageFilter
from torchvision.transforms import v2

from projects.image.augmentation import Augmentation

_REFERENCE = 224  # the size that the published numbers in pixels are for
_WHOLE_BELOW = 128  # images of small-image sets fill their frame


def view_transforms(augmentation: Augmentation, size: int) -> tuple[v2.Transform, v2.Transform]:
    """The two views of an augmentation up to quantization, which comes on the device.

    Args:
        augmentation: which steps.
        size: pixels along each side of a view.

    Returns:
        Two transforms, PIL image in mode "RGB" -> (3, size, size) uint8.

    Source: facebookresearch/moco-v3, main_moco.py; crop scale (0.2, 1) as for its ResNet-50.
    """
    views = []
    for blur, solarize in ((1.0, 0.0), (0.1, 0.2)):
        if augmentation.crop == "CR":
            steps = _centre(size)
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
    """The linear probe's training images: random resized crop, and flip.

    Args:
        size: pixels along each side.
        smallest_crop: crops have this part of the area, or more, up to all of it.

    Returns:
        PIL image in mode "RGB" -> (3, size, size) uint8.

    Source: facebookresearch/moco-v3, main_lincls.py.
    """
    return v2.Compose(
        [v2.RandomResizedCrop(size, scale=(smallest_crop, 1.0)), v2.RandomHorizontalFlip(), v2.PILToTensor()]
    )


def evaluation_transform(size: int) -> v2.Transform:
    """Images to measure on: at 224 pixels Resize 256 and CenterCrop 224, in proportion for others.

    Below 128 pixels, the sizes of CIFAR and STL-10, the short side is resized to ``size`` and nothing is cut off it.

    Returns:
        PIL image in mode "RGB" -> (3, size, size) uint8; nothing random.

    Source: facebookresearch/moco-v3, main_lincls.py.
    """
    return v2.Compose([*_centre(size), v2.PILToTensor()])


class GaussianBlur(v2.Transform):
    """PIL's Gaussian blur, as in SimCLR and MoCo v3.

    Args:
        low, high: standard deviation in pixels, drawn uniformly between them.
    """

    def __init__(self, low: float, high: float):
        super().__init__()
        self.low, self.high = low, high

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the standard deviation."""
        return {"sigma": float(torch.empty(1).uniform_(self.low, self.high))}

    def transform(self, inpt: Image.Image, params: dict[str, Any]) -> Image.Image:
        """Blur an image."""
        return inpt.filter(ImageFilter.GaussianBlur(params["sigma"]))


def _centre(size: int) -> list[v2.Transform]:
    short = round(size * 256 / _REFERENCE) if size >= _WHOLE_BELOW else size
    return [v2.Resize(short), v2.CenterCrop(size)]

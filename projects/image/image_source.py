"""The interface of image sources, and decoding of image files to 8-bit RGB."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, UnidentifiedImageError

from pcrq import InputError

Split = Literal["pretrain", "train", "test"]
"""Images for pretraining, possibly without labels; labeled images to train and to test a classifier."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class UnreadableImage(InputError):
    """One image of a source cannot be used.

    Args:
        name: the image, see :meth:`ImageSource.image_name`.
        reason: why it cannot be used.
    """

    def __init__(self, name: str, reason: str):
        super().__init__(f"{name}: {reason}")
        self.name, self.reason = name, reason

    def __reduce__(self) -> tuple:
        return type(self), (self.name, self.reason)


class ImageSource(ABC):
    """A map-style dataset of PIL images with labels; can be pickled for worker processes.

    Attributes:
        name: the source and its split, for messages and records.
        classes: names of the classes, indexed by the labels; empty without labels.
        mean, std: normalization per color channel, of pixels in [0, 1].
    """

    name: str
    classes: list[str]
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    @property
    @abstractmethod
    def digest(self) -> str:
        """A fingerprint of the images, for the run record."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        """Image ``index`` in [0, len) in mode "RGB" and its label, an index into ``classes`` or -1 if unknown.

        Raises:
            IndexError: there is no such image.
            UnreadableImage: the image cannot be decoded.
        """

    def image_name(self, index: int) -> str:
        """The name of image ``index`` in messages."""
        return f"{self.name}, image {index}"

    def _check_index(self, index: int) -> None:
        if not 0 <= index < len(self):
            raise IndexError(f"{self.name}: image {index} of {len(self)}")


# --- decoding ---

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")  # without formats for which PIL starts other programs
_LARGEST_ASPECT = 64  # resizing the short side of a thinner image would exhaust the memory
_ORIENTATION = 0x0112  # the EXIF tag
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_image(path: Path, name: str) -> Image.Image:
    """Decode an image file; of several frames the first.

    The content decides the format, not the suffix. Grayscale, palette and CMYK images are converted to RGB, 16-bit
    images keep their high byte, transparent pixels are composed on white, EXIF orientation is applied.

    Args:
        path: the file.
        name: its name in error messages.

    Returns:
        The image in mode "RGB".

    Raises:
        UnreadableImage: the file cannot be read, is not an image, is truncated or damaged, has more pixels than
            ``PIL.Image.MAX_IMAGE_PIXELS`` (about 89 million), an aspect ratio above 64, or 32-bit pixels, whose range
            is unknown.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as invalid EXIF data
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=_FORMATS) as image:
                _check_size(image, name)
                return to_rgb(_upright(image), name)
    except UnreadableImage:
        raise
    except UnidentifiedImageError as error:
        reason = "the file is empty" if path.stat().st_size == 0 else "not an image of a known format, or damaged"
        raise UnreadableImage(name, reason) from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        limit = f"{Image.MAX_IMAGE_PIXELS / 1e6:.0f} million"
        raise UnreadableImage(name, f"more than {limit} pixels; make it smaller") from error
    except Exception as error:  # decoders of damaged files can raise anything
        reason = error.strerror if isinstance(error, OSError) and error.strerror else f"damaged ({error})"
        raise UnreadableImage(name, " ".join(reason.split())) from error


def to_rgb(image: Image.Image, name: str) -> Image.Image:
    """Convert an image of any mode to mode "RGB", 8 bits per channel.

    Raises:
        UnreadableImage: its pixels have 32 bits.
    """
    if image.mode == "RGB" and "transparency" not in image.info:
        image.load()
        return image
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):  # older Pillows read 16-bit as I
        return Image.fromarray((np.asarray(image, np.int32) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise UnreadableImage(name, "32-bit pixels, whose range is unknown; save it with 8 or 16 bits")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _check_size(image: Image.Image, name: str) -> None:
    short, long = sorted(image.size)
    if long > _LARGEST_ASPECT * short:
        raise UnreadableImage(
            name, f"{image.width}×{image.height} pixels, an aspect ratio above {_LARGEST_ASPECT}; crop it"
        )


def _upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # invalid EXIF data does not make an image unusable
        return image
    return image.transpose(_TRANSPOSE[orientation]) if orientation in _TRANSPOSE else image

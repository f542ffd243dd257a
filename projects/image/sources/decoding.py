"""Image files of any kind to 8-bit RGB, upright; what cannot be trusted is refused with a reason."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from projects.image.sources.source import UnreadableImage

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")  # leaves out those that start other programs
_LONGEST = 64  # times the short side: resizing the short side of a thinner image would fill the memory
_ORIENTATION = 0x0112  # the EXIF tag
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_image(path: Path, name: str) -> Image.Image:
    """Decode an image file, of several frames the first.

    The format is told by the content, whatever the suffix says. Grey and palette images become RGB, 16-bit ones keep
    their high byte, CMYK is converted, what is transparent lies on white, and EXIF orientation is undone.

    Args:
        path: the file.
        name: what to call it in the error.

    Returns:
        The image, in mode "RGB".

    Raises:
        UnreadableImage: the file cannot be read, is no image, is cut short or damaged, has more pixels than
            ``PIL.Image.MAX_IMAGE_PIXELS`` (about 89 million), is more than 64 times as long as wide, or has 32-bit
            pixels, whose range is not known.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as EXIF data in disorder
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=_FORMATS) as image:
                _check_size(image, name)
                return to_rgb(_upright(image), name)
    except UnreadableImage:
        raise
    except UnidentifiedImageError as error:
        reason = "the file is empty" if path.stat().st_size == 0 else "not an image of a known kind, or damaged"
        raise UnreadableImage(name, reason) from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        limit = f"{Image.MAX_IMAGE_PIXELS / 1e6:.0f} million"
        raise UnreadableImage(name, f"more than {limit} pixels; make it smaller") from error
    except Exception as error:  # a damaged file makes decoders fail in any way
        reason = error.strerror if isinstance(error, OSError) and error.strerror else f"damaged ({error})"
        raise UnreadableImage(name, " ".join(reason.split())) from error


def to_rgb(image: Image.Image, name: str) -> Image.Image:
    """An image of any mode in mode "RGB", 8 bits a channel.

    Raises:
        UnreadableImage: its pixels have 32 bits.
    """
    if image.mode == "RGB" and "transparency" not in image.info:
        image.load()
        return image
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):  # older Pillows read 16-bit as I
        return Image.fromarray((np.asarray(image, np.int32) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise UnreadableImage(name, "32-bit pixels, whose range is not known; save it with 8 or 16 bits")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _check_size(image: Image.Image, name: str) -> None:
    short, long = sorted(image.size)
    if long > _LONGEST * short:
        raise UnreadableImage(name, f"{image.width}×{image.height} pixels, thinner than 1:{_LONGEST}; crop it")


def _upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # EXIF data in disorder does not make an image unusable
        return image
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image

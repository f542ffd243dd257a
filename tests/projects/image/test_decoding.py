"""Image files of every kind become 8-bit RGB, upright; damaged, huge and unreadable ones are refused by name."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from projects.image.image_source import UnreadableImage, read_image

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (20, 30, 3), np.uint8)
GREY = PIXELS[..., 0]


def decode(path) -> np.ndarray:
    image = read_image(path, path.name)
    assert image.mode == "RGB"
    return np.asarray(image)


def saved(path, image: Image.Image, **options):
    image.save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "ppm", "webp"])
def test_rgb_keeps_its_pixels(tmp_path, suffix):
    options = {"lossless": True} if suffix == "webp" else {}
    path = saved(tmp_path / f"a.{suffix}", Image.fromarray(PIXELS), **options)
    np.testing.assert_array_equal(decode(path), PIXELS)


def test_jpeg_is_close_to_its_pixels(tmp_path):
    smooth = np.linspace(0, 255, 20 * 30 * 3).reshape(20, 30, 3).astype(np.uint8)
    path = saved(tmp_path / "a.JPEG", Image.fromarray(smooth), quality=95)
    assert np.abs(decode(path).astype(int) - smooth).max() < 12


def test_the_content_counts_and_not_the_suffix(tmp_path):
    path = saved(tmp_path / "a.jpg", Image.fromarray(PIXELS), format="PNG")  # ImageNet has one of these
    np.testing.assert_array_equal(decode(path), PIXELS)


def test_grey_has_three_equal_channels(tmp_path):
    pixels = decode(saved(tmp_path / "a.png", Image.fromarray(GREY)))
    np.testing.assert_array_equal(pixels, np.repeat(GREY[..., None], 3, axis=2))


def test_black_and_white(tmp_path):
    pixels = decode(saved(tmp_path / "a.png", Image.fromarray(GREY > 127)))
    np.testing.assert_array_equal(pixels[..., 1], np.where(GREY > 127, 255, 0))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bits_keep_their_high_byte(tmp_path, suffix):
    low = RNG.integers(0, 256, GREY.shape).astype(np.uint16)
    path = saved(tmp_path / f"a.{suffix}", Image.fromarray(GREY.astype(np.uint16) * 256 + low))
    np.testing.assert_array_equal(decode(path)[..., 2], GREY)


def test_16_bit_colour_keeps_its_high_byte(tmp_path):
    """A PNG written by hand, because Pillow does not write this kind."""
    wide = PIXELS.astype(">u2") * 256 + 77
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in wide)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 30, 20, 16, 2, 0, 0, 0)
    path = tmp_path / "a.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )
    np.testing.assert_array_equal(decode(path), PIXELS)


def test_cmyk(tmp_path):
    red = Image.new("CMYK", (20, 30), (0, 255, 255, 0))
    pixels = decode(saved(tmp_path / "a.jpg", red, quality=95)).astype(int)
    assert np.abs(pixels - (255, 0, 0)).max() < 5


def test_palette(tmp_path):
    image = Image.new("P", (20, 30), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    assert (decode(saved(tmp_path / "a.gif", image)) == (10, 20, 30)).all()


def test_what_is_transparent_lies_on_white(tmp_path):
    image = Image.new("RGBA", (2, 1), (200, 0, 0, 255))
    image.putpixel((1, 0), (200, 0, 0, 0))
    np.testing.assert_array_equal(decode(saved(tmp_path / "a.png", image)), [[(200, 0, 0), (255, 255, 255)]])


def test_a_transparent_palette_entry_lies_on_white(tmp_path):
    image = Image.new("P", (20, 30), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    assert (decode(saved(tmp_path / "a.png", image, transparency=1)) == 255).all()


def test_a_transparent_colour_lies_on_white(tmp_path):
    image = Image.new("RGB", (20, 30), (1, 2, 3))
    assert (decode(saved(tmp_path / "a.png", image, transparency=(1, 2, 3))) == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(tmp_path, orientation):
    image = Image.fromarray(PIXELS)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / "a.png", image, exif=exif)
    with Image.open(path) as stored:
        np.testing.assert_array_equal(decode(path), np.asarray(ImageOps.exif_transpose(stored)))


@pytest.mark.filterwarnings("error")
def test_exif_data_in_disorder_do_not_matter(tmp_path):
    path = saved(tmp_path / "a.jpg", Image.fromarray(GREY), exif=b"Exif\0\0II*\0\xff\xff\0\0garbage")
    assert decode(path).shape == (20, 30, 3)


def test_an_animation_gives_its_first_frame(tmp_path):
    frames = [Image.new("L", (8, 8), shade) for shade in (40, 200)]
    path = saved(tmp_path / "a.gif", frames[0], save_all=True, append_images=frames[1:])
    assert (decode(path) == 40).all()


def test_a_camera_s_multi_picture_file_gives_its_first_picture(tmp_path):
    pictures = [Image.new("RGB", (8, 8), (shade,) * 3) for shade in (40, 200)]
    path = saved(tmp_path / "a.jpg", pictures[0], format="MPO", save_all=True, append_images=pictures[1:])
    assert (decode(path) == 40).all()


def refusal(path) -> str:
    with pytest.raises(UnreadableImage) as caught:
        read_image(path, "cat/1.jpg")
    assert caught.value.name == "cat/1.jpg" and "\n" not in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF"])
def test_a_file_cut_short_is_refused(tmp_path, kind):
    path = saved(tmp_path / "a", Image.fromarray(RNG.integers(0, 256, (64, 64, 3), np.uint8)), format=kind)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert refusal(path)


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "a.jpg").touch()
    assert refusal(tmp_path / "a.jpg") == "the file is empty"


def test_what_is_no_image_is_refused(tmp_path):
    (tmp_path / "a.jpg").write_text("<html>not found</html>")
    assert "not an image" in refusal(tmp_path / "a.jpg")


def test_formats_that_start_other_programs_are_refused(tmp_path):
    (tmp_path / "a.jpg").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    assert "not an image" in refusal(tmp_path / "a.jpg")


def test_a_missing_file_is_refused(tmp_path):
    assert "No such file" in refusal(tmp_path / "a.jpg")


@pytest.mark.parametrize("excess", [1.1, 3])
def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch, excess):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", int(600 / excess))
    assert "pixels" in refusal(saved(tmp_path / "a.png", Image.fromarray(PIXELS)))


def test_a_thread_of_an_image_is_refused(tmp_path):
    assert "aspect ratio" in refusal(saved(tmp_path / "a.png", Image.new("RGB", (1, 1000))))


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_32_bit_pixels_are_refused(tmp_path, dtype):
    assert "32-bit" in refusal(saved(tmp_path / "a.tif", Image.fromarray(GREY.astype(dtype))))

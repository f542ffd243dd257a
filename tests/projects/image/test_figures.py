"""The pictures of figures 4 and 6: written whole, with the columns that were asked for."""

import numpy as np
import pytest
from PIL import Image

from pcrq import InputError
from projects.image.builtin_images import BuiltinImages
from projects.image.figures import figure_bins, figure_samples, figure_views


@pytest.fixture(scope="module")
def images():
    source = BuiltinImages("train", 16)
    return [source[1][0], source[9][0].resize((300, 200))]


def cells(path, rows: int, columns: int) -> np.ndarray:
    """The middles of the pictures, (rows, columns, 100, 100, 3)."""
    pixels = np.asarray(Image.open(path).convert("RGB"))
    height, width = (pixels.shape[0] - 36) / rows, pixels.shape[1] / columns
    middles = [[(36 + (r + 0.5) * height, (c + 0.5) * width) for c in range(columns)] for r in range(rows)]
    return np.array([[pixels[int(y) - 50 : int(y) + 50, int(x) - 50 : int(x) + 50] for y, x in row] for row in middles])


def test_more_bins_leave_more_colours(tmp_path, images):
    figure_bins(images, tmp_path / "bins.png", bins=(2, 8, 30))
    for original, *quantized in cells(tmp_path / "bins.png", 2, 4):
        colours = [len(np.unique(cell.reshape(-1, 3), axis=0)) for cell in (*quantized, original)]
        assert colours == sorted(colours) and colours[0] <= 2**3 < colours[1] <= 8**3


def test_every_view_is_another(tmp_path, images):
    figure_views(images, tmp_path / "views.png", views=2)
    drawn = cells(tmp_path / "views.png", 2, 5)
    assert len(np.unique(drawn.reshape(10, -1), axis=0)) == 10


def test_the_same_seed_draws_the_same_picture(tmp_path, images):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        figure_views(images[:1], tmp_path / f"{name}.png", views=1, seed=seed)
    first, again, other = (np.asarray(Image.open(tmp_path / f"{name}.png")) for name in "abc")
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_draws_stand_beside_their_original(tmp_path, images):
    figure_samples(images, tmp_path / "draws.png", bins=(2, 8, 8), seed=3)
    for original, few, many, again in cells(tmp_path / "draws.png", 2, 4):
        colours = [len(np.unique(cell.reshape(-1, 3), axis=0)) for cell in (few, many, original)]
        assert colours == sorted(colours) and colours[0] <= 2**3
        assert not np.array_equal(many, again)


def test_a_photo_is_made_smaller_before_it_is_quantized(tmp_path):
    """As in training; its noise would hide the bins, and a row of large photos would fill the memory."""
    rng = np.random.default_rng(0)
    photo = Image.fromarray(rng.integers(0, 256, (960, 1200, 3), np.uint8))
    small = photo.crop((120, 0, 1080, 960)).resize((240, 240), Image.Resampling.BICUBIC)
    for name, image in (("photo", photo), ("small", small)):
        figure_bins([image], tmp_path / f"{name}.png", bins=(2,))
    first, second = (np.asarray(Image.open(tmp_path / f"{name}.png")) for name in ("photo", "small"))
    assert np.array_equal(first, second)


def test_bad_input_leaves_no_file(tmp_path, images):
    with pytest.raises(InputError, match="no image"):
        figure_bins([], tmp_path / "none.png")
    with pytest.raises(InputError, match="cannot be written"):
        figure_bins(images[:1], tmp_path / "missing" / "bins.png", bins=(2,))
    assert not list(tmp_path.iterdir())

"""Folders of small pictures, whose colours tell their classes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

COLOURS = {"red": (200, 40, 40), "blue": (40, 40, 200), "green": (40, 200, 40), "grey": (120, 120, 120)}
COLOURS |= {"cyan": (40, 200, 200), "pink": (200, 40, 200), "white": (225, 225, 225)}


def _write(folder: Path, colour: tuple[int, int, int], count: int, noise: int, seed: int) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for index in range(count):
        pixels = np.array(colour) + rng.integers(-noise, noise + 1, (20, 24, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{index}.png")


@pytest.fixture(scope="session")
def write_pictures() -> Callable[..., Path]:
    """``write_pictures(root, classes=2, train=8, test=4, noise=30)``: pictures of 24×20 pixels, a colour a class."""

    def write(root: Path, classes: int = 2, train: int = 8, test: int = 4, noise: int = 30) -> Path:
        for row, (split, count) in enumerate({"train": train, "test": test}.items()):
            for column, (name, colour) in enumerate(list(COLOURS.items())[:classes]):
                _write(root / split / name, colour, count, noise, seed=2 * column + row)
        return root

    return write


@pytest.fixture(scope="session")
def pictures(write_pictures, tmp_path_factory) -> Path:
    """Sixteen training and eight test pictures of two classes; not to be changed."""
    return write_pictures(tmp_path_factory.mktemp("pictures") / "pictures")

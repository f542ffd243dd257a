"""The data sets of torchvision: the table fits their constructors, and what is missing is said in one line."""

import inspect
import json
import logging
import os
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision import datasets

from pcrq import InputError
from projects.image.pretrain import ImageData
from projects.image.sources import DATA_SETS, UnreadableImage, open_source

SPLITS = ("pretrain", "train", "test")


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", DATA_SETS)
def test_a_data_set_that_is_not_there_is_said_in_one_line(tmp_path, name, split):
    with pytest.raises(InputError, match=f"{name} is not in this folder") as caught:
        open_source(name, split, tmp_path)
    assert str(tmp_path) in str(caught.value) and "download" in str(caught.value) and "\n" not in str(caught.value)


def test_a_download_that_fails_is_said_in_one_line(tmp_path, monkeypatch):
    def fail(self):
        raise OSError("no\nnetwork")

    monkeypatch.setattr(datasets.MNIST, "download", fail)
    with pytest.raises(InputError, match=r"MNIST: cannot be downloaded to .* \(no network\)"):
        open_source("MNIST", "train", tmp_path, download=True)


class Fetched:
    """In the place of SVHN, of which torchvision fetches only the split asked for: slow, and once is enough."""

    fetched: list[str]

    def __init__(self, root: str, split: str, download: bool):
        file = Path(root) / split
        if download and not file.exists():
            time.sleep(0.1)
            self.fetched.append(split)
            file.touch()
        if not file.exists():
            raise RuntimeError("Dataset not found or corrupted.")

    def __len__(self) -> int:
        return 5


@pytest.fixture
def fetched(monkeypatch) -> list[str]:
    """The splits of SVHN that were fetched."""
    monkeypatch.setattr(datasets, "SVHN", Fetched)
    monkeypatch.setattr(Fetched, "fetched", [], raising=False)
    return Fetched.fetched


def test_of_several_processes_one_fetches_and_the_others_wait(fetched, tmp_path):
    root = tmp_path / "new"
    with ThreadPoolExecutor(4) as processes:
        sources = list(processes.map(lambda _: open_source("SVHN", "train", root, download=True), range(4)))
    assert fetched == ["train"] and [len(source) for source in sources] == [5] * 4


def test_what_is_there_needs_no_folder_that_can_be_written(fetched, tmp_path, monkeypatch):
    (tmp_path / "train").touch()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert len(open_source("SVHN", "train", tmp_path, download=True)) == 5
    assert [path.name for path in tmp_path.iterdir()] == ["train"]


def test_a_pretraining_downloads_its_labeled_images_too(fetched, tmp_path, caplog):
    gallery, held_out = ImageData("SVHN", tmp_path, download=True, batch_size=2).labeled
    assert fetched == ["train", "test"] and (gallery.name, held_out.name) == ("SVHN train", "SVHN test")
    (tmp_path / "test").unlink()
    with caplog.at_level(logging.INFO, "projects"):
        assert ImageData("SVHN", tmp_path, batch_size=2).labeled is None
    assert "SVHN is not in this folder" in caplog.text
    assert fetched == ["train", "test"]


@pytest.mark.parametrize("name", DATA_SETS)
def test_the_table_fits_the_constructors(name):
    for split in SPLITS:
        inspect.signature(getattr(datasets, name)).bind(root="", download=False, **DATA_SETS[name].splits[split])


def write_idx(path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes())


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST"])
def test_grey_digits_become_rgb(tmp_path, name):
    images = np.random.default_rng(0).integers(0, 256, (7, 28, 28), np.uint8)
    labels = np.arange(7, dtype=np.uint8)
    for stem, shift in (("train", 0), ("t10k", 1)):
        write_idx(tmp_path / name / "raw" / f"{stem}-images-idx3-ubyte", images)
        write_idx(tmp_path / name / "raw" / f"{stem}-labels-idx1-ubyte", labels + shift)
    train, test = open_source(name, "train", tmp_path), open_source(name, "test", tmp_path)
    image, label = train[3]
    assert (image.mode, label, test[3][1], len(train), len(train.classes)) == ("RGB", 3, 4, 7, 10)
    names = [open_source(name, split, tmp_path).name for split in SPLITS]
    assert names == [f"{name} train", f"{name} train", f"{name} test"]
    np.testing.assert_array_equal(np.asarray(image), np.repeat(images[3][..., None], 3, axis=2))
    assert train.digest == open_source(name, "train", tmp_path).digest != test.digest


@pytest.fixture
def food(tmp_path):
    """Food-101 with two classes, two images each in train and one in test."""
    splits = {"train": {}, "test": {}}
    for name in ("apple_pie", "sushi"):
        (tmp_path / "food-101/images" / name).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (9, 9), (number, 0, 0)).save(tmp_path / f"food-101/images/{name}/{number}.jpg")
        splits["train"][name], splits["test"][name] = [f"{name}/0", f"{name}/1"], [f"{name}/2"]
    (tmp_path / "food-101/meta").mkdir()
    for split, listed in splits.items():
        (tmp_path / f"food-101/meta/{split}.json").write_text(json.dumps(listed))
    return tmp_path


def test_files_of_a_data_set_that_are_damaged_are_named_by_number(food):
    (food / "food-101/images/sushi/0.jpg").write_bytes(b"\xff\xd8\xff")
    source = open_source("Food101", "train", food)
    assert source.classes == ["apple_pie", "sushi"]
    with pytest.raises(UnreadableImage, match="Food101 train, image 2: damaged"):
        source[2]
    assert len(source.digest) == 64


def test_the_unlabelled_images_of_stl10_have_no_classes(tmp_path, monkeypatch):
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    np.arange(2 * 3 * 96 * 96, dtype=np.uint8).tofile(folder / "unlabeled_X.bin")
    (folder / "class_names.txt").write_text("cat\ndog\n")
    monkeypatch.setattr(datasets.STL10, "_check_integrity", lambda self: True)
    source = open_source("STL10", "pretrain", tmp_path)
    assert (len(source), source.classes, source[0][1], source.name) == (2, [], -1, "STL10 unlabeled")

"""Images in a folder: a folder for every class, as ImageNet has it, or any folder at all to pretrain on.

::

    root/train/<class>/*.jpg     and root/test/<class>/*.jpg, or val where there is no test with classes
    root/**/*.jpg                pretraining, where root has no train
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from pcrq.errors import InputError
from pcrq.evaluation.subsets import subset
from projects.image.sources.decoding import SUFFIXES, read_image
from projects.image.sources.packed_names import PackedNames
from projects.image.sources.source import ImageSource, Split

_MEASURED_ON = ("test", "val")
_SIZES = 4096  # files at most whose size is part of the digest


class FolderImages(ImageSource):
    """The images of one split of a folder, class after class, in the order of their names.

    Opening lists files and decodes none. Hidden files and files that are no images by their suffix are passed over.

    Args:
        root: the folder that holds ``train`` and ``val`` or ``test``; for "pretrain" any folder.
        split: "pretrain" takes all images below ``train``, or below ``root`` where there is no such folder, however
            deep, without labels. "train" and "test" need a folder for every class, the same in both.

    Raises:
        InputError: the folder is missing, has no images, is not laid out like this, or the classes of test and
            train differ.
    """

    def __init__(self, root: str | Path, split: Split):
        root = Path(root)
        _check_folder(root)
        self.folder = _split_folder(root, split)
        if split == "pretrain":
            self.classes, names = [], _all_images(self.folder)
            labels = np.full(len(names), -1)
        else:
            self.classes, names, labels = _images_of_classes(self.folder)
            if split == "test" and (root / "train").is_dir():
                _check_same_classes(root / "train", self.folder, self.classes)
        self.name = str(self.folder)
        self._names, self._labels = PackedNames(names), labels

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        self._check_index(index)
        name = self._names[index]
        return read_image(self.folder / name, self.image_name(index)), int(self._labels[index])

    def image_name(self, index: int) -> str:
        """The path below ``root``."""
        return f"{self.folder.name}/{self._names[index]}"

    def relative_name(self, index: int) -> str:
        """The path below :attr:`folder`, with slashes."""
        return self._names[index]

    @cached_property
    def digest(self) -> str:
        """From the names of all files, and the sizes of a fixed choice of 4,096 of them.

        To ask a network's file system for the sizes of ImageNet's files would take every process minutes.
        """
        digest, measured = hashlib.sha256(), set(subset(_SIZES, np.arange(len(self))).tolist())
        for index, name in enumerate(self._names):
            size = self._size(name) if index in measured else ""
            digest.update(os.fsencode(name) + f"\0{size}\n".encode())
        return digest.hexdigest()

    def _size(self, name: str) -> int:
        """Bytes of a file."""
        try:
            return (self.folder / name).stat().st_size
        except OSError:  # a link to nowhere, which reading it says
            return -1


@dataclass(frozen=True)
class _Listing:
    """What a folder holds, hidden entries aside, each sorted."""

    folders: list[str]
    images: list[str]
    others: list[str]


def _check_folder(root: Path) -> None:
    if not root.exists():
        raise InputError(f"{root}: no such folder")
    if not root.is_dir():
        raise InputError(f"{root}: a file, not a folder of images; unpack archives first")


def _split_folder(root: Path, split: Split) -> Path:
    if split == "pretrain":
        if (root / "train").is_dir():
            return root / "train"
        measured = [name for name in _MEASURED_ON if (root / name).is_dir()]
        if measured:
            raise InputError(f"{root}: has {measured[0]!r} but no 'train'; name the folder with images to train on")
        return root
    wanted = ("train",) if split == "train" else _MEASURED_ON
    present = [root / name for name in wanted if (root / name).is_dir()]
    if not present:
        _explain_other_level(root)
        raise InputError(f"{root}: no folder {' or '.join(map(repr, wanted))} in it, with a folder for every class")
    with_classes = [folder for folder in present if _list(folder).folders]  # ImageNet has a 'test' without labels
    return (with_classes or present)[0]


def _explain_other_level(root: Path) -> None:
    """Raise where ``root`` seems to be a level above or below the one to name."""
    for name in _list(root).folders:
        if (root / name / "train").is_dir():
            raise InputError(f"{root}: the images are a folder further down; name {root / name}")
    if root.name in ("train", *_MEASURED_ON):
        raise InputError(f"{root}: a split, not the folder that holds train and test; name {root.parent}")


def _images_of_classes(folder: Path) -> tuple[list[str], list[str], np.ndarray]:
    """Classes, image names below ``folder``, and labels."""
    top = _list(folder)
    if top.images and top.folders:
        raise InputError(
            f"{folder}: {len(top.images)} images beside the folders of classes, the first is {top.images[0]}; "
            "move them into the folder of a class"
        )
    if top.images:
        raise InputError(
            f"{folder}: {len(top.images)} images without folders of classes; sort them into one folder for every class"
        )
    if not top.folders:
        raise _no_images(folder, top.others)
    names, counts = [], []
    for name in top.folders:
        images = _images_of_class(folder, name)
        names += images
        counts.append(len(images))
    return top.folders, names, np.repeat(np.arange(len(counts)), counts)


def _images_of_class(folder: Path, name: str) -> list[str]:
    inside = _list(folder / name)
    if not inside.images and inside.folders == ["images"]:  # Tiny ImageNet: train/<class>/images/*.JPEG
        name, inside = f"{name}/images", _list(folder / name / "images")
    if inside.folders:
        raise InputError(
            f"{folder / name}: folders in the folder of a class, the first is {inside.folders[0]!r}; classes are the "
            f"folders directly below {folder}, with images and no further folders in them"
        )
    if not inside.images:
        raise _no_images(folder / name, inside.others)
    return [f"{name}/{image}" for image in inside.images]


def _check_same_classes(train: Path, folder: Path, classes: Sequence[str]) -> None:
    known = _list(train).folders
    missing, extra = sorted(set(known) - set(classes)), sorted(set(classes) - set(known))
    if missing:
        raise InputError(
            f"{folder}: {len(missing)} of the {len(known)} classes of {train} are missing, the first is "
            f"{missing[0]!r}; give it images, or take it out of train"
        )
    if extra:
        raise InputError(
            f"{folder}: {len(extra)} classes that {train} does not have, the first is {extra[0]!r}; give it images "
            "there, or take it out of here"
        )


def _all_images(folder: Path) -> list[str]:
    """The images at any depth, as names below ``folder``, sorted."""
    images, others, visited = [], [], set()
    for parent, folders, files in os.walk(folder, onerror=_refuse, followlinks=True):
        status = Path(parent).stat()
        if (status.st_dev, status.st_ino) in visited:  # a link to where we have been
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        prefix = Path(parent).relative_to(folder)
        for file in files:
            if not _is_hidden(file):
                (images if _is_image(file) else others).append((prefix / file).as_posix())
    if not images:
        raise _no_images(folder, sorted(others))
    return sorted(images)


def _list(folder: Path) -> _Listing:
    folders, images, others = [], [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if _is_hidden(entry.name):
                    continue
                if entry.is_dir():
                    folders.append(entry.name)
                else:
                    (images if _is_image(entry.name) else others).append(entry.name)
    except OSError as error:
        _refuse(error)
    return _Listing(sorted(folders), sorted(images), sorted(others))


def _refuse(error: OSError) -> None:
    raise InputError(f"{error.filename}: the folder cannot be read ({error.strerror})") from error


def _no_images(folder: Path, others: Sequence[str]) -> InputError:
    instead = f"only {len(others)} other files, the first is {others[0]}" if others else "it is empty"
    return InputError(f"{folder}: no image ({' '.join(SUFFIXES)}) in it, {instead}")


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"

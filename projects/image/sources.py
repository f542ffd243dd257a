"""Image sources: a folder of images, a dataset of torchvision, or built-in procedural images.

>>> from projects.image.sources import open_source
>>> source = open_source("builtin", "train")
>>> image, label = source[3]
>>> image.size, image.mode, source.classes[label]
((32, 32), 'RGB', 'triangle')
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import numpy as np
from PIL import Image

from pcrq import InputError
from pcrq.evaluation.features import subset
from projects.image.image_source import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    SUFFIXES,
    ImageSource,
    Split,
    UnreadableImage,
    read_image,
    to_rgb,
)


def source_names() -> list[str]:
    """The sources that :func:`open_source` knows."""
    return ["builtin", "folder", *DATA_SETS]


def open_source(
    name: str, split: Split, root: str | Path | None = None, *, download: bool = False, test_every: int = 0
) -> ImageSource:
    """Open one split of a source.

    Args:
        name: "builtin", "folder", or a dataset of torchvision such as "CIFAR10" or "STL10".
        split: "pretrain", "train" or "test".
        root: folder of the images; not for "builtin".
        download: download a dataset of torchvision if it is missing.
        test_every: see :class:`FolderImages`; 0 for other sources.

    Raises:
        InputError: the name or split is unknown, ``root`` or ``test_every`` is missing or superfluous, or the images
            cannot be used.
    """
    if split not in get_args(Split):
        raise InputError(f"unknown split {split!r}; available: {', '.join(get_args(Split))}")
    if name not in source_names():
        raise InputError(f"unknown source {name!r}; available: {', '.join(source_names())}")
    if test_every and name != "folder":
        raise InputError(f"test_every {test_every}: only for folders, {name!r} has its own test images; leave it out")
    if name == "builtin":
        if root is not None:
            raise InputError(f"root {root}: built-in images need no folder; leave root out, or name another source")
        from projects.image.builtin_images import BuiltinImages

        return BuiltinImages(split)
    if root is None:
        raise InputError(f"source {name!r}: root is missing; name the folder of its images")
    if name == "folder":
        return FolderImages(root, split, test_every)
    return TorchvisionImages(name, root, split, download=download)


# --- folders ---

_TEST_FOLDERS = ("test", "val")
_SIZES = 4096  # number of files whose size is part of the digest


class FolderImages(ImageSource):
    """The images of one split of a folder, in the layout of ImageNet or of classes without splits, by class and name.

    ::

        root/train/CLASS/*.jpg     and root/test/CLASS/*.jpg; val if there is no test folder with classes
        root/CLASS/*.jpg           with test_every
        root/**/*.jpg              pretraining, if root has no folder train

    Opening lists the files and decodes none. Hidden files and files with other suffixes are ignored.

    Args:
        root: folder with the folders ``train`` and ``val`` or ``test``; any folder for "pretrain".
        split: "pretrain" uses all images below ``train``, or below ``root`` if there is no such folder, at any depth
            and without labels. "train" and "test" need one folder per class, the same classes in both.
        test_every: at least 2: ``root`` contains one folder per class, and the test images are those at the positions
            test_every, 2 · test_every, ... of each class in the order of their names; all others are for "pretrain"
            and "train". 0: ``root`` has the folders above.

    Raises:
        InputError: the folder is missing, contains no images, has another layout, the classes of test and train
            differ, or ``test_every`` is out of range.
    """

    def __init__(self, root: str | Path, split: Split, test_every: int = 0):
        root = Path(root)
        _check_folder(root)
        self.folder = root if test_every else _split_folder(root, split)
        self.name = str(self.folder)
        if test_every:
            _check_test_every(root, test_every)
            self.classes, names, labels = _images_of_classes(root)
            is_test = _every_nth(root, self.classes, labels, test_every)
            chosen = np.flatnonzero(is_test == (split == "test"))
            names, labels = [names[index] for index in chosen], labels[chosen]
            if split == "pretrain":
                self.classes, labels = [], np.full(len(names), -1)
            self.name += f", {'test' if split == 'test' else 'train'} (1 in {test_every} for test)"
        elif split == "pretrain":
            self.classes, names = [], _all_images(self.folder)
            labels = np.full(len(names), -1)
        else:
            self.classes, names, labels = _images_of_classes(self.folder)
            if split == "test" and (root / "train").is_dir():
                _check_same_classes(root / "train", self.folder, self.classes)
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
        """Digest of the names of all files and the sizes of a fixed subset of 4,096.

        Reading the sizes of all of ImageNet's files from a network file system would take each process minutes.
        """
        digest, measured = hashlib.sha256(), set(subset(_SIZES, np.arange(len(self))).tolist())
        for index, name in enumerate(self._names):
            size = self._size(name) if index in measured else ""
            digest.update(os.fsencode(name) + f"\0{size}\n".encode())
        return digest.hexdigest()

    def _size(self, name: str) -> int:
        """Bytes of a file, -1 for a broken link."""
        try:
            return (self.folder / name).stat().st_size
        except OSError:  # reported when the image is read
            return -1


@dataclass(frozen=True)
class _Listing:
    """Sorted content of a folder, without hidden entries."""

    folders: list[str]
    images: list[str]
    others: list[str]


def _check_folder(root: Path) -> None:
    if not root.exists():
        raise InputError(f"{root}: no such folder")
    if not root.is_dir():
        raise InputError(f"{root}: a file, expected a folder of images; unpack archives first")


def _split_folder(root: Path, split: Split) -> Path:
    if split == "pretrain":
        if (root / "train").is_dir():
            return root / "train"
        found = [name for name in _TEST_FOLDERS if (root / name).is_dir()]
        if found:
            raise InputError(f"{root}: contains {found[0]!r} but not 'train'; name the folder of the training images")
        return root
    wanted = ("train",) if split == "train" else _TEST_FOLDERS
    present = [root / name for name in wanted if (root / name).is_dir()]
    if not present:
        _explain_other_level(root)
        raise InputError(
            f"{root}: contains no folder {' or '.join(map(repr, wanted))} with one folder per class; if it "
            "contains the folders of the classes themselves, set test_every to choose test images"
        )
    with_classes = [folder for folder in present if _list(folder).folders]  # ImageNet has a 'test' without labels
    return (with_classes or present)[0]


def _explain_other_level(root: Path) -> None:
    """Raise if ``root`` seems to be one level above or below the right folder."""
    for name in _list(root).folders:
        if (root / name / "train").is_dir():
            raise InputError(f"{root}: the images are one folder below; name {root / name}")
    if root.name in ("train", *_TEST_FOLDERS):
        raise InputError(f"{root}: a split, expected the folder that contains train and test; name {root.parent}")


def _images_of_classes(folder: Path) -> tuple[list[str], list[str], np.ndarray]:
    """Classes, image names below ``folder``, and labels."""
    top = _list(folder)
    if top.images and top.folders:
        raise InputError(
            f"{folder}: {len(top.images)} images beside the class folders, the first is {top.images[0]}; "
            "move them into the folder of a class"
        )
    if top.images:
        raise InputError(
            f"{folder}: {len(top.images)} images without class folders; sort them into one folder per class"
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
            f"{folder / name}: folders in a class folder, the first is {inside.folders[0]!r}; classes are the folders "
            f"directly below {folder}, which contain images and no further folders"
        )
    if not inside.images:
        raise _no_images(folder / name, inside.others)
    return [f"{name}/{image}" for image in inside.images]


def _check_test_every(root: Path, n: int) -> None:
    if n < 2:
        raise InputError(f"test_every {n}: must be at least 2, or 0 for folders with splits")
    splits = [name for name in ("train", *_TEST_FOLDERS) if (root / name).is_dir()]
    if splits:
        raise InputError(f"test_every {n}: {root} has a folder {splits[0]!r}; leave test_every out to use its splits")


def _every_nth(root: Path, classes: Sequence[str], labels: np.ndarray, n: int) -> np.ndarray:
    """(N,) bool: the n-th, 2n-th, ... image of every class; ``labels`` is sorted."""
    counts = np.bincount(labels)
    if counts.min() < n:
        raise InputError(
            f"test_every {n}: {root / classes[counts.argmin()]} has only {counts.min()} images; choose a smaller number"
        )
    return np.concatenate([np.arange(1, count + 1) % n == 0 for count in counts])


def _check_same_classes(train: Path, folder: Path, classes: Sequence[str]) -> None:
    known = _list(train).folders
    missing, extra = sorted(set(known) - set(classes)), sorted(set(classes) - set(known))
    if missing:
        raise InputError(
            f"{folder}: {len(missing)} of the {len(known)} classes of {train} are missing, the first is "
            f"{missing[0]!r}; add images, or remove it from train"
        )
    if extra:
        raise InputError(
            f"{folder}: {len(extra)} classes are missing in {train}, the first is {extra[0]!r}; add images there, "
            "or remove it here"
        )


def _all_images(folder: Path) -> list[str]:
    """The images at any depth, as names below ``folder``, sorted."""
    images, others, visited = [], [], set()
    for parent, folders, files in os.walk(folder, onerror=_raise_unreadable, followlinks=True):
        status = Path(parent).stat()
        if (status.st_dev, status.st_ino) in visited:  # a link to a folder that was visited
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
        _raise_unreadable(error)
    return _Listing(sorted(folders), sorted(images), sorted(others))


def _raise_unreadable(error: OSError) -> None:
    raise InputError(f"{error.filename}: the folder cannot be read ({error.strerror})") from error


def _no_images(folder: Path, others: Sequence[str]) -> InputError:
    instead = f"only {len(others)} other files, the first is {others[0]}" if others else "it is empty"
    return InputError(f"{folder}: contains no image ({' '.join(SUFFIXES)}), {instead}")


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


class PackedNames(Sequence[str]):
    """An immutable sequence of file names, stored in two arrays.

    A list of a million paths is a million Python objects. Reading them changes their reference counts, which copies
    the memory that a worker process shares with its parent, page by page, until each worker has a copy of all of it.
    """

    def __init__(self, names: Iterable[str]):
        encoded = [os.fsencode(name) for name in names]
        self._bytes = np.frombuffer(b"".join(encoded), np.uint8)
        self._offsets = np.cumsum([0, *map(len, encoded)])

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, index: int) -> str:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return os.fsdecode(self._bytes[self._offsets[index] : self._offsets[index + 1]].tobytes())


# --- datasets of torchvision ---


@dataclass(frozen=True)
class _DataSet:
    """Arguments of torchvision's class per split, number of classes, and normalization."""

    splits: Mapping[Split, Mapping[str, Any]]
    classes: int
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD


def _splits(train: str, test: str = "test", pretrain: str | None = None) -> Mapping[Split, Mapping[str, Any]]:
    return {"pretrain": {"split": pretrain or train}, "train": {"split": train}, "test": {"split": test}}


_TRAIN_OR_TEST: Mapping[Split, Mapping[str, Any]] = {
    "pretrain": {"train": True},
    "train": {"train": True},
    "test": {"train": False},
}

DATA_SETS: Mapping[str, _DataSet] = {
    "CIFAR10": _DataSet(_TRAIN_OR_TEST, 10, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "CIFAR100": _DataSet(_TRAIN_OR_TEST, 100, (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "DTD": _DataSet(_splits("train"), 47),
    "FashionMNIST": _DataSet(_TRAIN_OR_TEST, 10, (0.2860,) * 3, (0.3530,) * 3),
    "FGVCAircraft": _DataSet(_splits("trainval"), 100),
    "Flowers102": _DataSet(_splits("train"), 102),
    "Food101": _DataSet(_splits("train"), 101),
    "GTSRB": _DataSet(_splits("train"), 43),
    "MNIST": _DataSet(_TRAIN_OR_TEST, 10, (0.1307,) * 3, (0.3081,) * 3),
    "OxfordIIITPet": _DataSet(_splits("trainval"), 37),
    "STL10": _DataSet(_splits("train", pretrain="unlabeled"), 10),  # a subset of ImageNet, so with its statistics
    "SVHN": _DataSet(_splits("train"), 10, (0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970)),
}


class TorchvisionImages(ImageSource):
    """One split of a dataset of torchvision.

    torchvision compares the files of CIFAR with published checksums before it unpickles them; the other datasets are
    not pickled.

    Args:
        data_set: a key of ``DATA_SETS``, the name of torchvision's class.
        root: torchvision's folder of the dataset.
        split: "pretrain" is the unlabeled split of STL10; for other datasets it equals "train".
        download: download missing files to ``root``. One process of a run downloads, the others wait.

    Raises:
        InputError: the name is unknown, or the dataset is missing, incomplete, or cannot be downloaded.
    """

    def __init__(self, data_set: str, root: str | Path, split: Split, *, download: bool = False):
        if data_set not in DATA_SETS:
            raise InputError(f"unknown dataset {data_set!r}; available: {', '.join(DATA_SETS)}")
        about = DATA_SETS[data_set]
        self._images = _open(data_set, Path(root), dict(about.splits[split]), download)
        is_labeled = not (data_set == "STL10" and split == "pretrain")
        classes = getattr(self._images, "classes", None) or [str(number) for number in range(about.classes)]
        self.classes = list(classes) if is_labeled else []
        self.name = f"{data_set} {about.splits[split].get('split', 'train') if split == 'pretrain' else split}"
        self.mean, self.std = about.mean, about.std

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        self._check_index(index)
        name = self.image_name(index)
        try:
            image, label = self._images[index]
            return to_rgb(image, name), int(label)
        except UnreadableImage:
            raise
        except Exception as error:  # decoders of damaged files can raise anything
            raise UnreadableImage(name, f"damaged ({error})") from error

    @cached_property
    def digest(self) -> str:
        """Digest of the name, the number of images, and pixels and labels of 32 evenly spaced ones."""
        digest = hashlib.sha256(f"{self.name} {len(self)}".encode())
        for index in np.linspace(0, len(self) - 1, 32, dtype=int):
            try:
                image, label = self[int(index)]
                digest.update(f"{image.size} {label}".encode() + image.tobytes())
            except UnreadableImage as error:
                digest.update(str(error.name).encode())
        return digest.hexdigest()


def _open(name: str, root: Path, arguments: dict[str, Any], download: bool) -> Any:
    from torchvision import datasets

    try:
        with _one_at_a_time(root.expanduser(), name) if download else nullcontext():
            return getattr(datasets, name)(root=str(root), download=download, **arguments)
    except (OSError, RuntimeError) as error:
        if download:
            raise InputError(f"{name}: cannot be downloaded to {root} ({_one_line(error)})") from error
        raise InputError(
            f"{root}: {name} is not in this folder, or incomplete; name torchvision's folder of it, or set download "
            "to true"
        ) from error


@contextmanager
def _one_at_a_time(root: Path, name: str) -> Iterator[None]:
    """Let one process at a time look for a dataset: the first downloads it, the others find it."""
    root.mkdir(parents=True, exist_ok=True)
    if not os.access(root, os.W_OK):  # so no process can download
        yield
        return
    with (root / f".{name}.lock").open("w") as file:  # NFS locks only files that can be written
        with suppress(ImportError):  # Windows has no flock
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())

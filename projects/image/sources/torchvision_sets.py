"""Data sets that torchvision reads, by name and root.

torchvision compares CIFAR's files with their published checksums before it unpickles them; the others are not pickled.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pcrq.errors import InputError
from projects.image.sources.decoding import to_rgb
from projects.image.sources.source import IMAGENET_MEAN, IMAGENET_STD, ImageSource, Split, UnreadableImage


@dataclass(frozen=True)
class _DataSet:
    """How torchvision names the splits of a data set, its classes where torchvision does not, and its statistics."""

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
    "STL10": _DataSet(_splits("train", pretrain="unlabeled"), 10),  # cut from ImageNet, so with its statistics
    "SVHN": _DataSet(_splits("train"), 10, (0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970)),
}


class TorchvisionImages(ImageSource):
    """One split of a data set that torchvision reads.

    Args:
        data_set: a key of ``DATA_SETS``, named like torchvision's class.
        root: the folder that torchvision keeps the data set in.
        split: "pretrain" is STL10's unlabelled split, elsewhere the same as "train".
        download: fetch what is missing into ``root``, where the data set can be fetched. One process of a run does it;
            the others wait.

    Raises:
        InputError: no data set has this name, or it is not there, not whole, or cannot be downloaded.
    """

    def __init__(self, data_set: str, root: str | Path, split: Split, *, download: bool = False):
        if data_set not in DATA_SETS:
            raise InputError(f"data set {data_set!r}: not known; choose among {', '.join(DATA_SETS)}")
        about = DATA_SETS[data_set]
        self._images = _open(data_set, Path(root), dict(about.splits[split]), download)
        labelled = not (data_set == "STL10" and split == "pretrain")
        classes = getattr(self._images, "classes", None) or [str(number) for number in range(about.classes)]
        self.classes = list(classes) if labelled else []
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
        except Exception as error:  # a damaged file makes decoders fail in any way
            raise UnreadableImage(name, f"damaged ({error})") from error

    @cached_property
    def digest(self) -> str:
        """From the name, the number of images, and the pixels and labels of 32 of them, evenly spaced."""
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
            f"{root}: {name} is not in this folder, or not whole; name the one that torchvision keeps it in, or set "
            "download to fetch it"
        ) from error


@contextmanager
def _one_at_a_time(root: Path, name: str) -> Iterator[None]:
    """Let one process after another look for a data set: the first one fetches it, the others find it there."""
    root.mkdir(parents=True, exist_ok=True)
    if not os.access(root, os.W_OK):  # so nobody fetches anything
        yield
        return
    with (root / f".{name}.lock").open("w") as file:  # a file, not the folder: NFS locks only what can be written
        with suppress(ImportError):  # Windows: two downloads at once are up to the user there
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())

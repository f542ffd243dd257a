"""A source by its name, as configurations write it."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from pcrq.errors import InputError
from projects.image.sources.builtin import BuiltinImages
from projects.image.sources.folder import FolderImages
from projects.image.sources.source import ImageSource, Split
from projects.image.sources.torchvision_sets import DATA_SETS, TorchvisionImages


def source_names() -> list[str]:
    """What :func:`open_source` knows."""
    return ["builtin", "folder", *DATA_SETS]


def open_source(name: str, split: Split, root: str | Path | None = None, *, download: bool = False) -> ImageSource:
    """Open one split of a source.

    Args:
        name: "builtin", "folder", or a data set of torchvision such as "CIFAR10" or "STL10".
        split: "pretrain", "train" or "test".
        root: the folder of the images; not for "builtin".
        download: fetch a data set of torchvision that is not there.

    Raises:
        InputError: the name or split is not known, ``root`` is missing or not wanted, or the images cannot be used.
    """
    if split not in get_args(Split):
        raise InputError(f"split {split!r}: not known; choose among {', '.join(get_args(Split))}")
    if name not in source_names():
        raise InputError(f"source {name!r}: not known; choose among {', '.join(source_names())}")
    if name == "builtin":
        if root is not None:
            raise InputError(f"root {root}: built-in images are in no folder; leave root out, or name another source")
        return BuiltinImages(split)
    if root is None:
        raise InputError(f"source {name!r}: root is missing; name the folder of its images")
    if name == "folder":
        return FolderImages(root, split)
    return TorchvisionImages(name, root, split, download=download)

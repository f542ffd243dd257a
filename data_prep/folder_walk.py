"""All files below a folder, also those below links to folders, as large sets are put together from several disks."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

log = logging.getLogger(__name__)


def walk_folder(
    folder: Path, *, unreadable: Callable[[OSError], object] | None = None
) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Every folder with the names in it, from the top down: ``os.walk`` that follows links, but never in a circle.

    A folder that is linked to from two places is walked twice, under both names. A link to a folder above it is not
    followed, which the log says; folders are told apart by device and inode.

    Args:
        folder: where to begin.
        unreadable: called with the error where a folder cannot be listed.

    Yields:
        The path of a folder, the names of its folders, which the caller may sort and shorten in place, and of files.
    """
    chains = {folder: frozenset([_identity(folder)])}  # of folders not walked yet: they and what lies above them
    for parent, folders, files in os.walk(folder, onerror=unreadable, followlinks=True):
        path = Path(parent)
        chain, found = chains.pop(path), {name: _identity(path / name) for name in folders}
        folders[:] = [name for name in folders if found[name] not in chain]
        for name in found.keys() - set(folders):
            log.warning("%s: a link to a folder above it, not followed", path / name)
        yield path, folders, files
        chains.update((path / name, chain | {found[name]}) for name in folders)


def _identity(folder: Path) -> object:
    """Device and inode; the path where they are not told, and listing the folder will say why."""
    try:
        status = folder.stat()
    except OSError:
        return folder
    return status.st_dev, status.st_ino

"""The files of a dataset, in folders, archives and archives in archives, and the items made of them."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from data_prep.archives import TAR_SUFFIXES, TarMember, ZipMember, tar_members, tar_stem, zip_members
from data_prep.mesh import Axis, Mesh, load_mesh, parse_mesh
from data_prep.run import Item
from data_prep.sound_loading import load_sound, parse_sound
from pcrq import InputError

if TYPE_CHECKING:
    from tqdm import tqdm

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SourceFile:
    """One file or folder of a dataset. It is picklable, and a worker reads the file without listing the others.

    Args:
        name: path with forward slashes, beginning with the name of the source; the name of a folder ends with a slash.
        place: its path, or its position in an archive.
    """

    name: str
    place: Path | ZipMember | TarMember

    def read(self) -> bytes:
        """The content.

        Raises:
            InputError: it cannot be read or is damaged; the message begins with ``name``.
        """
        try:
            return self.place.read_bytes() if isinstance(self.place, Path) else self.place.read()
        except OSError as error:
            raise InputError(f"{self.name}: cannot be read ({error.strerror or error})") from error
        except InputError as error:
            raise InputError(str(error).replace(self.place.name, self.name, 1)) from error

    def stamp(self) -> str:
        """Size and modification time of a file on disk; for a member of an archive, see there."""
        if not isinstance(self.place, Path):
            return self.place.stamp()
        try:
            status = self.place.stat()
        except OSError:  # a dangling link: reading it raises the error
            return ""
        return f"{status.st_size} {status.st_mtime_ns}"


def mesh_item(file: SourceFile, id: str, *, up: Axis = "y", category: str = "", split: str = "") -> Item:
    """The item of a mesh file; the file is read when the item is loaded.

    Args:
        file: the file.
        id: id of the item, with which error messages begin.
        up: axis of the file that points upward.
        category, split: passed on to the item.
    """
    return Item(id, partial(_load_mesh, file, id, up), category, split, stamp=f"{up} {file.stamp()}".rstrip())


def sound_item(file: SourceFile, id: str, *, category: str = "", split: str = "", fold: int = -1) -> Item:
    """The item of a sound file; the file is read when the item is loaded. For the arguments see :func:`mesh_item`."""
    return Item(id, partial(read_sound, file, id), category, split, stamp=file.stamp(), fold=fold)


def read_sound(file: SourceFile, id: str) -> np.ndarray:
    """(N,) float32 samples at 16 kHz; error messages begin with ``id``."""
    with _errors_begin_with(id, file):
        if isinstance(file.place, Path):
            return load_sound(file.place)
        return parse_sound(file.read(), file.name)


def _load_mesh(file: SourceFile, id: str, up: Axis) -> Mesh:
    with _errors_begin_with(id, file):
        if isinstance(file.place, Path):
            return load_mesh(file.place, up=up)
        read_buffer = file.place.read_sibling if isinstance(file.place, ZipMember) else None
        return parse_mesh(file.read(), file.name, up=up, read_buffer=read_buffer)


@contextmanager
def _errors_begin_with(id: str, file: SourceFile) -> Iterator[None]:
    """Replace the path of a file in errors by the id of its item."""
    try:
        yield
    except InputError as error:
        path = str(file.place) if isinstance(file.place, Path) else file.name
        raise InputError(str(error).replace(path, id, 1)) from error


@dataclass(frozen=True)
class Archives:
    """The archives in a folder that belong to a dataset.

    Args:
        name: matches their complete names.
        unpacked: where the content is found if an archive has been extracted already, in which case the archive is
            ignored: a template for ``re.Match.expand``, ending with a slash for a folder.
    """

    name: re.Pattern[str]
    unpacked: str


def walk(
    source: Path,
    *,
    archives: re.Pattern[str] | None = None,
    unreadable: Callable[[OSError], object] | None = None,
) -> Iterator[SourceFile]:
    """All files and folders of a folder or zip archive, following links, without hidden files.

    Args:
        source: a folder or a .zip file.
        archives: zip archives in it whose path matches are treated as a folder of their name.
        unreadable: called with the error if a folder cannot be listed; by default that raises.

    Raises:
        InputError: the source is missing, neither of both or cannot be read, or an archive is damaged or hostile.
    """
    if not source.exists():
        raise InputError(f"{source}: no such file or folder")
    place = source.resolve()
    if source.is_dir():
        files = _in_folder(place, unreadable or _raise_unreadable)
    elif source.suffix.lower() == ".zip":
        files = _in_zip(place, place.stem)
    else:
        raise InputError(f"{source}: neither a folder nor a .zip archive; extract other archives and pass the folder")
    for file in files:
        if archives is not None and archives.search(file.name):
            yield from _in_zip(file.place, file.name[: -len(".zip")])
        else:
            yield file


def find_files(
    source: Path, archives: Archives, folder: Path, *, unreadable: Callable[[str, InputError], None] | None = None
) -> Iterator[SourceFile]:
    """All files of a dataset that is published as several archives, without hidden files.

    Args:
        source: a folder, whose ``archives`` are treated as folders of their name, or one archive of any name: .zip,
            .tar, .tar.gz or .tgz.
        archives: the archives in the folder that are read.
        folder: where compressed tar archives are decompressed, see :func:`~data_prep.archives.plain_tar`.
        unreadable: called with path and error of an archive that cannot be read; by default that raises.

    Raises:
        InputError: the source is missing or of another kind, or an archive is damaged or hostile.
    """
    if source.is_dir():
        files = list(walk(source))
        entered = _archives_to_read(files, archives)
    elif source.suffix.lower() == ".zip":
        files, entered = list(walk(source)), []
    elif tar_stem(source.name) and source.exists():
        files, entered = [], [SourceFile(source.name, source.absolute())]
    elif source.exists():
        raise InputError(f"{source}: neither a folder nor an archive ({' '.join(('.zip', *TAR_SUFFIXES))})")
    else:
        raise InputError(f"{source}: no such file or folder")
    yield from (file for file in files if not file.name.endswith("/"))
    with _progress_bar(entered) as bar:
        for archive in entered:
            try:
                if archive.name.lower().endswith(".zip"):
                    inside = [file for file in walk(archive.place) if not file.name.endswith("/")]
                else:
                    inside = list(_in_tar(archive, folder, bar.update))
            except InputError as error:
                if unreadable is None:
                    raise
                unreadable(archive.name, error)
                continue
            yield from inside


def is_hidden(name: str) -> bool:
    """Whether a path is hidden: dot files, and the files that macOS adds to archives."""
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


def walk_folder(
    folder: Path, *, unreadable: Callable[[OSError], object] | None = None
) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Every folder and the names in it, top down: ``os.walk`` that follows links except in circles.

    Large datasets are often put together from several disks by links. A folder with links from two places is visited
    twice, under both names. A link to a folder above it is not followed, and logged; folders are identified by device
    and inode.

    Args:
        folder: where to begin.
        unreadable: called with the error if a folder cannot be listed.

    Yields:
        The path of a folder, the names of its folders, which the caller may sort and shorten in place, and of files.
    """
    chains = {folder: frozenset([_identity(folder)])}  # of folders still to visit: they and the folders above them
    for parent, folders, files in os.walk(folder, onerror=unreadable, followlinks=True):
        path = Path(parent)
        chain, found = chains.pop(path), {name: _identity(path / name) for name in folders}
        folders[:] = [name for name in folders if found[name] not in chain]
        for name in found.keys() - set(folders):
            log.warning("%s: a link to a folder above it, not followed", path / name)
        yield path, folders, files
        chains.update((path / name, chain | {found[name]}) for name in folders)


def _identity(folder: Path) -> object:
    """Device and inode; the path if they are unknown, in which case listing the folder raises the error."""
    try:
        status = folder.stat()
    except OSError:
        return folder
    return status.st_dev, status.st_ino


def _in_folder(folder: Path, unreadable: Callable[[OSError], object]) -> Iterator[SourceFile]:
    for parent, folders, files in walk_folder(folder, unreadable=unreadable):
        above = "/".join((folder.name, *parent.relative_to(folder).parts))
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        yield from (SourceFile(f"{above}/{name}/", parent / name) for name in folders)
        yield from (SourceFile(f"{above}/{name}", parent / name) for name in sorted(files) if not is_hidden(name))


def _raise_unreadable(error: OSError) -> None:
    raise InputError(f"{error.filename}: the folder cannot be read ({error.strerror})") from error


def _in_zip(archive: Path | ZipMember, name: str) -> Iterator[SourceFile]:
    for member in zip_members(archive):
        if not is_hidden(member.name):
            yield SourceFile(f"{name}/{member.name}", member)


def _in_tar(archive: SourceFile, folder: Path, advance: Callable[[int], object]) -> Iterator[SourceFile]:
    for member in tar_members(archive.place, folder, advance):
        if not is_hidden(member.name):
            yield SourceFile(f"{tar_stem(archive.name)}/{member.name}", member)


def _archives_to_read(files: list[SourceFile], archives: Archives) -> list[SourceFile]:
    """The archives of a dataset; those that are extracted already are ignored, and logged."""
    names, entered = {file.name for file in files}, []
    for file in files:
        parent, _, name = file.name.rpartition("/")
        match = archives.name.fullmatch(name)
        if match is None:
            continue
        unpacked = f"{parent}/{match.expand(archives.unpacked)}"
        if unpacked in names:
            log.info("%s is ignored, because %s is beside it", file.name, unpacked)
        else:
            entered.append(file)
    return entered


def _progress_bar(archives: list[SourceFile]) -> tqdm:
    """A bar over the bytes of the archives that have to be decompressed; hidden if there are none."""
    from tqdm import tqdm

    compressed = [file.place for file in archives if not file.name.lower().endswith((".zip", ".tar"))]
    total = sum(path.stat().st_size for path in compressed if path.exists())  # a dangling link raises when it is read
    interval = 0.2 if sys.stderr.isatty() else 10
    return tqdm(total=total, desc="decompressing", unit="B", unit_scale=True, disable=not total, mininterval=interval)

"""The files of a data set of sounds: in folders, in zip archives, and in tar archives, compressed or not."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from data_prep.hidden_files import is_hidden
from data_prep.public_datasets.source_files import SourceFile, walk
from data_prep.safe_tar import TAR_SUFFIXES, locate_tar_members, origin, plain_tar, tar_stem
from pcrq.errors import InputError

if TYPE_CHECKING:
    from tqdm import tqdm

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Archives:
    """Which archives in a folder belong to a data set.

    Args:
        name: matches their names as a whole.
        unpacked: what lies beside an archive where it has been unpacked already, which then counts: a template for
            ``re.Match.expand``, with a slash at the end for a folder.
    """

    name: re.Pattern[str]
    unpacked: str


def find_files(
    source: Path, archives: Archives, folder: Path, *, unreadable: Callable[[str, InputError], None] | None = None
) -> Iterator[SourceFile]:
    """All files of a data set, hidden ones excepted.

    Args:
        source: a folder, in which the data set's archives are entered, or one archive of any name: .zip, .tar, .tar.gz
            or .tgz. An archive stands for a folder of its name.
        archives: which archives in a folder are entered.
        folder: where compressed tar archives are decompressed to, see :func:`~data_prep.safe_tar.plain_tar`.
        unreadable: called with the path and the error of an archive that cannot be read; without it that is raised.

    Raises:
        InputError: the source is missing or of another kind, or an archive is damaged or hostile or grows like a bomb.
    """
    if source.is_dir():
        files = list(walk(source))
        entered = _archives(files, archives)
    elif source.suffix.lower() == ".zip":
        files, entered = list(walk(source)), []
    elif tar_stem(source.name) and source.exists():
        files, entered = [], [SourceFile(source.name, source.absolute())]
    elif source.exists():
        raise InputError(f"{source}: neither a folder nor an archive ({' '.join(('.zip', *TAR_SUFFIXES))})")
    else:
        raise InputError(f"{source}: no such file or folder")
    yield from (file for file in files if not file.name.endswith("/"))
    with _bar(entered) as bar:
        for archive in entered:
            try:
                inside = list(_zip_members(archive) if _is_zip(archive) else _tar_members(archive, folder, bar.update))
            except InputError as error:
                if unreadable is None:
                    raise
                unreadable(archive.name, error)
                continue
            yield from inside


def _archives(files: list[SourceFile], archives: Archives) -> list[SourceFile]:
    """Those to enter; says in the log which are passed over."""
    names, entered = {file.name for file in files}, []
    for file in files:
        parent, _, name = file.name.rpartition("/")
        match = archives.name.fullmatch(name)
        if match is None:
            continue
        beside = f"{parent}/{match.expand(archives.unpacked)}"
        if beside in names:
            log.info("%s is passed over, as %s lies beside it", file.name, beside)
        else:
            entered.append(file)
    return entered


def _bar(entered: list[SourceFile]) -> tqdm:
    """A bar over the bytes of the archives that have to be decompressed; none where there are none."""
    from tqdm import tqdm

    total = sum(_size(file) for file in entered if not file.name.lower().endswith((".zip", ".tar")))
    interval = 0.2 if sys.stderr.isatty() else 10
    return tqdm(total=total, desc="decompressing", unit="B", unit_scale=True, disable=not total, mininterval=interval)


def _size(file: SourceFile) -> int:
    return file.place.stat().st_size if file.place.exists() else 0  # a dangling link: reading it says so


def _is_zip(archive: SourceFile) -> bool:
    return archive.name.lower().endswith(".zip")


def _zip_members(archive: SourceFile) -> Iterator[SourceFile]:
    return (file for file in walk(archive.place) if not file.name.endswith("/"))


def _tar_members(archive: SourceFile, folder: Path, advance: Callable[[int], object]) -> Iterator[SourceFile]:
    plain, inside = plain_tar(archive.place, folder, advance), tar_stem(archive.name)
    for member in locate_tar_members(plain, str(archive.place), origin(archive.place)):
        if not is_hidden(member.name):
            yield SourceFile(f"{inside}/{member.name}", member)

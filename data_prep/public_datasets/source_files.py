"""The files of a data set behind one small interface: a folder, a zip archive, or archives within either."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_prep.folder_walk import walk_folder
from data_prep.hidden_files import is_hidden
from data_prep.safe_tar import TarMember, read_tar_member
from data_prep.safe_zip import Member, locate_members, read_located
from pcrq.errors import InputError


@dataclass(frozen=True)
class SourceFile:
    """One file or folder; it pickles, and a worker reads the file without listing the others.

    Args:
        name: path with forward slashes, beginning with the name of the source; that of a folder ends with a slash.
        place: where it is.
    """

    name: str
    place: Path | Member | TarMember

    def read(self) -> bytes:
        """The content.

        Raises:
            InputError: it cannot be read or is damaged; the message begins with ``name``.
        """
        try:
            if isinstance(self.place, Path):
                return self.place.read_bytes()
            return read_located(self.place) if isinstance(self.place, Member) else read_tar_member(self.place)
        except OSError as error:
            raise InputError(f"{self.name}: cannot be read ({error.strerror or error})") from error
        except InputError as error:
            raise InputError(str(error).replace(self.place.name, self.name, 1)) from error

    def stamp(self) -> str:
        """Size and time of change of a file on disk, size and checksum of a member of a zip archive.

        Tar archives have no checksums: of their members, the size, and size and time of change of the archive.
        """
        if isinstance(self.place, Member):
            return f"{self.place.size} {self.place.checksum:08x}"
        if isinstance(self.place, TarMember):
            return f"{self.place.size} in {self.place.origin}"
        try:
            status = self.place.stat()
        except OSError:  # a dangling link: reading it says so
            return ""
        return f"{status.st_size} {status.st_mtime_ns}"


def walk(source: Path, *, archives: re.Pattern[str] | None = None) -> Iterator[SourceFile]:
    """All files and folders of a data set, links followed, hidden ones and the shadow files of macOS excepted.

    Args:
        source: a folder or a .zip file.
        archives: zip archives in it whose path matches are entered, and stand for a folder of their name.

    Raises:
        InputError: the source is missing, of another kind or cannot be read, or an archive is damaged or hostile.
    """
    if not source.exists():
        raise InputError(f"{source}: no such file or folder")
    place = source.resolve()
    if source.is_dir():
        files = _in_folder(place)
    elif source.suffix.lower() == ".zip":
        files = _in_archive(place, place.stem)
    else:
        raise InputError(f"{source}: neither a folder nor a .zip archive; unpack other archives and name the folder")
    for file in files:
        if archives is not None and archives.search(file.name):
            yield from _in_archive(file.place, file.name[: -len(".zip")])
        else:
            yield file


def _in_folder(folder: Path) -> Iterator[SourceFile]:
    for parent, folders, files in walk_folder(folder, unreadable=_unreadable):
        above = "/".join((folder.name, *parent.relative_to(folder).parts))
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        yield from (SourceFile(f"{above}/{name}/", parent / name) for name in folders)
        yield from (SourceFile(f"{above}/{name}", parent / name) for name in sorted(files) if not is_hidden(name))


def _unreadable(error: OSError) -> None:
    raise InputError(f"{error.filename}: the folder cannot be read ({error.strerror})") from error


def _in_archive(archive: Path | Member, name: str) -> Iterator[SourceFile]:
    for member in locate_members(archive):
        if not is_hidden(member.name):
            yield SourceFile(f"{name}/{member.name}", member)

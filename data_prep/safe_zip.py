"""Read members of a zip archive that may be hostile; nothing is ever unpacked to disk."""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

from pcrq.errors import InputError

MAX_MEMBER = 512 * 2**20
"""Bytes of the largest member that is read; the largest meshes of public data sets have about 200 MB."""
_MAX_RATIO, _RATIO_FROM = 100, 16 * 2**20  # meshes as text shrink 3 to 20 times, bombs about 1000 times
_LATEST_BEGINNING = 4  # bytes before the first member: four in an archive that was split and joined again
_BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, NotImplementedError)


@dataclass(frozen=True)
class Member:
    """Where a member lies: enough to read it without the directory of its archive.

    A directory may list a million files, and every worker process would read all of it for its first one.

    Args:
        archive: the file on disk; for a member of an archive within the archive, that of the outer one.
        name: path in its own archive, with forward slashes; that of a folder ends with one.
        offset: of its local header from the beginning of ``archive``, in bytes.
        packed, size: bytes in the archive and unpacked.
        checksum: CRC-32 of its content.
        method: of compression, as in the zip format.
    """

    archive: Path
    name: str
    offset: int
    packed: int
    size: int
    checksum: int
    method: int


def list_members(path: Path) -> dict[str, zipfile.ZipInfo]:
    """The files in an archive by name.

    Raises:
        InputError: it is no zip archive, damaged or encrypted, or a name would lead out of the folder that the
            archive stands for.
    """
    return {info.filename: info for info in _checked(_archive(path), str(path)) if not info.is_dir()}


def read_member(path: Path, name: str) -> bytes:
    """The content of one member.

    Raises:
        InputError: it is not there, damaged, or larger or denser than any mesh or sound.
    """
    archive = _archive(path)
    try:
        info = archive.getinfo(name)
    except KeyError:
        raise InputError(f"{name}: not in the archive") from None
    _refuse_bomb(name, info.file_size, info.compress_size)
    try:
        with archive.open(info) as file:
            return file.read(MAX_MEMBER + 1)[: info.file_size]  # never more than announced, whatever the stream holds
    except (*_BROKEN, RuntimeError) as error:
        raise InputError(f"{name}: damaged in the archive ({error})") from error


def locate_members(archive: Path | Member) -> Iterator[Member]:
    """The files and folders in an archive, or in an archive that is itself a member of one.

    Args:
        archive: a zip file, or a member that is one; it must be stored in the outer archive without compression, as
            archives in archives usually are, since only then its members have a place on disk.

    Raises:
        InputError: as :func:`list_members`, or the inner archive is compressed once more.
    """
    inner = isinstance(archive, Member)
    path, name = (archive.archive, f"{archive.archive}: {archive.name}") if inner else (archive, str(archive))
    if inner and archive.method != zipfile.ZIP_STORED:
        raise InputError(f"{name} is compressed once more; unpack the outer archive only, and name the folder")
    try:
        with path.open("rb") as file:
            start = _content_offset(file, archive) if inner else 0
            whole = io.BufferedReader(_Stretch(file, start, archive.size)) if inner else file
            with zipfile.ZipFile(whole) as opened:
                # In what is left of a cut archive of archives, the end of an inner one passes for its own.
                if min((info.header_offset for info in opened.infolist()), default=0) > _LATEST_BEGINNING:
                    raise zipfile.BadZipFile("its directory does not reach back to its beginning")
                yield from _located(opened, path, start, name)
    except InputError:
        raise
    except _BROKEN as error:
        raise _unreadable(name, error) from error


def read_located(member: Member) -> bytes:
    """The content of one member.

    Raises:
        InputError: it is damaged, the archive has changed, or it is larger or denser than any mesh.
    """
    _refuse_bomb(member.name, member.size, member.packed)
    if member.method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(f"{member.name}: compressed in an unusual way (method {member.method}); unpack the archive")
    try:
        with member.archive.open("rb") as file:
            file.seek(_content_offset(file, member))
            content = file.read(member.packed)
        if member.method == zipfile.ZIP_DEFLATED:
            content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, member.size + 1)
        if len(content) != member.size or zlib.crc32(content) != member.checksum:
            raise zipfile.BadZipFile("its checksum is another one")
    except _BROKEN as error:
        raise InputError(f"{member.name}: damaged in the archive ({error})") from error
    return content


def _located(archive: zipfile.ZipFile, path: Path, start: int, name: str) -> Iterator[Member]:
    for info in _checked(archive, name):
        yield Member(
            archive=path,
            name=info.orig_filename.replace("\\", "/"),
            offset=start + info.header_offset,
            packed=info.compress_size,
            size=info.file_size,
            checksum=info.CRC,
            method=info.compress_type,
        )


def _checked(archive: zipfile.ZipFile, path: str) -> Iterator[zipfile.ZipInfo]:
    """The entries of an archive, folders included; raises where one is hostile or encrypted."""
    for info in archive.infolist():
        name = info.orig_filename.replace("\\", "/")
        if name.startswith("/") or ".." in PurePosixPath(name).parts or re.match(r"[A-Za-z]:", name) or "\0" in name:
            raise InputError(f"{path}: the archive is hostile or damaged: it has a file named {info.orig_filename!r}")
        if info.flag_bits & 1 and not info.is_dir():
            raise InputError(f"{path}: {name} is encrypted; unpack the archive with its password and name the folder")
        yield info


def _refuse_bomb(name: str, size: int, packed: int) -> None:
    if max(size, packed) > MAX_MEMBER:
        raise InputError(f"{name}: {size / 2**20:.0f} MiB unpacked, the limit is {MAX_MEMBER / 2**20:.0f} MiB")
    ratio = size / max(packed, 1)
    if size > _RATIO_FROM and ratio > _MAX_RATIO:
        raise InputError(f"{name}: unpacks to {ratio:.0f} times its size like a zip bomb; not unpacked")


def _content_offset(file: io.BufferedReader, member: Member) -> int:
    """Where the content of a member begins: behind its local header, whose length only the header tells."""
    file.seek(member.offset)
    signature, name_length, extra_length = struct.unpack("<4s22x2H", file.read(30))
    if signature != b"PK\3\4":
        raise zipfile.BadZipFile("there is no member where the directory says")
    return member.offset + 30 + name_length + extra_length


class _Stretch(io.RawIOBase):
    """Bytes ``start`` to ``start + size`` of an open file as a file of their own."""

    def __init__(self, file: io.BufferedReader, start: int, size: int):
        self._file, self._start, self._size, self._at = file, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if at < 0:
            raise ValueError("seek before the beginning")
        self._at = at
        return at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer) -> int:
        self._file.seek(self._start + self._at)
        content = self._file.read(max(0, min(len(buffer), self._size - self._at)))
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)


def _archive(path: Path) -> zipfile.ZipFile:
    try:
        status = path.stat()
        return _open(path, status.st_size, status.st_mtime_ns)
    except _BROKEN as error:
        raise _unreadable(str(path), error) from error


def _unreadable(name: str, error: Exception) -> InputError:
    cut = "; it may be cut short: copy or download it again" if isinstance(error, zipfile.BadZipFile) else ""
    return InputError(f"{name}: not a readable zip archive ({error}){cut}")


@lru_cache(maxsize=1)
def _open(path: Path, size: int, modified: int) -> zipfile.ZipFile:
    """Kept open: reading the directory of a large archive anew for every member would take longer than the member."""
    return zipfile.ZipFile(path)

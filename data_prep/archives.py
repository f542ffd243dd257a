"""Members of zip and tar archives that may be hostile, read one by one without extracting them to files.

A compressed tar archive can only be read from its beginning, so many workers cannot share it. It is decompressed once
into a plain tar file, in which every member has a known position.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import hashlib
import io
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

from pcrq import InputError

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")
MAX_MEMBER = 512 * 2**20
"""Maximum size of a member in bytes; the largest meshes of public datasets have about 200 MB."""
_MAX_RATIO, _RATIO_FROM = 100, 16 * 2**20  # meshes and sounds compress 2 to 20 times, bombs about 1000 times
_MAX_FIRST_OFFSET = 4  # bytes before the first member: four in an archive that was split and joined again
_BLOCK = 2**20
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, NotImplementedError)
_TAR_ERRORS = (tarfile.TarError, zlib.error, EOFError, OSError, ValueError)


@dataclass(frozen=True)
class ZipMember:
    """Position of a member of a zip archive: enough to read it without the central directory of the archive.

    A directory may list a million files, and every worker process would have to read all of it.

    Args:
        archive: the file on disk; the outer archive for a member of an archive within an archive.
        name: path in its own archive, with forward slashes; the name of a folder ends with one.
        offset: bytes from the beginning of ``archive`` to its local header.
        packed, size: bytes in the archive, and decompressed.
        checksum: CRC-32 of its content.
        method: compression method, as in the zip format.
    """

    archive: Path
    name: str
    offset: int
    packed: int
    size: int
    checksum: int
    method: int

    def stamp(self) -> str:
        """Size and checksum."""
        return f"{self.size} {self.checksum:08x}"

    def read(self) -> bytes:
        """The content.

        Raises:
            InputError: it is damaged, the archive has changed, or it is larger or compressed further than any mesh.
        """
        if max(self.size, self.packed) > MAX_MEMBER:
            limit = MAX_MEMBER / 2**20
            raise InputError(f"{self.name}: {self.size / 2**20:.0f} MiB decompressed, the limit is {limit:.0f} MiB")
        ratio = self.size / max(self.packed, 1)
        if self.size > _RATIO_FROM and ratio > _MAX_RATIO:
            raise InputError(f"{self.name}: expands to {ratio:.0f} times its size like a zip bomb; not decompressed")
        try:
            with self.archive.open("rb") as file:
                file.seek(_content_offset(file, self))
                content = file.read(self.packed)
            if self.method == zipfile.ZIP_DEFLATED:
                content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, self.size + 1)
            elif self.method == zipfile.ZIP_BZIP2:
                content = bz2.BZ2Decompressor().decompress(content, self.size + 1)
            elif self.method != zipfile.ZIP_STORED:
                raise InputError(
                    f"{self.name}: compressed in an unusual way (method {self.method}); extract the archive and pass "
                    "the folder"
                )
            if len(content) != self.size or zlib.crc32(content) != self.checksum:
                raise zipfile.BadZipFile("the checksum differs")
        except InputError:
            raise
        except _ZIP_ERRORS as error:
            raise InputError(f"{self.name}: damaged in the archive ({error})") from error
        return content

    def read_sibling(self, path: str) -> bytes:
        """The content of another member of an archive on disk, given its path relative to the folder of this one.

        Raises:
            InputError: the path leads outside that folder, or the member is missing, damaged or too large.
        """
        folder = PurePosixPath(self.name).parent
        parts = (folder / path).parts
        if path.startswith("/") or ".." in parts:
            raise InputError(f"refers to {path!r} outside its folder; put buffers beside the file")
        sibling = _members(self.archive, self.archive.stat().st_mtime_ns).get("/".join(parts))
        if sibling is None:
            raise InputError(f"{path}: not in the archive")
        return sibling.read()


@dataclass(frozen=True)
class TarMember:
    """Position of a member of a tar archive: enough to read it without the headers before it.

    Args:
        archive: the plain tar file on disk.
        name: path in the archive, with forward slashes.
        offset: bytes from the beginning of ``archive`` to its content.
        size: of its content, in bytes.
        origin: size and modification time of the published archive.
    """

    archive: Path
    name: str
    offset: int
    size: int
    origin: str

    def stamp(self) -> str:
        """Its size, and size and modification time of the archive: tar archives have no checksums."""
        return f"{self.size} in {self.origin}"

    def read(self) -> bytes:
        """The content.

        Raises:
            InputError: it is larger than any sound, or the archive has changed or cannot be read.
        """
        if self.size > MAX_MEMBER:
            raise InputError(f"{self.name}: {self.size / 2**20:.0f} MiB, the limit is {MAX_MEMBER / 2**20:.0f} MiB")
        try:
            with self.archive.open("rb") as file:
                file.seek(self.offset)
                content = file.read(self.size)
        except OSError as error:
            raise InputError(f"{self.name}: cannot be read ({error.strerror or error})") from error
        if len(content) != self.size:
            raise InputError(f"{self.name}: damaged in the archive (truncated); run the same command again")
        return content


def zip_members(archive: Path | ZipMember) -> Iterator[ZipMember]:
    """The files and folders in a zip archive, or in a zip archive that is itself a member of one.

    Args:
        archive: a zip file, or a member that is one. The latter must be stored in the outer archive without
            compression, as is usual, because only then its members have a position on disk.

    Raises:
        InputError: the file is not a zip archive, damaged or encrypted, a member has a path outside the archive, or
            the inner archive is compressed.
    """
    inner = isinstance(archive, ZipMember)
    path, name = (archive.archive, f"{archive.archive}: {archive.name}") if inner else (archive, str(archive))
    if inner and archive.method != zipfile.ZIP_STORED:
        raise InputError(f"{name} is compressed once more; extract the outer archive only, and pass the folder")
    try:
        with path.open("rb") as file:
            start = _content_offset(file, archive) if inner else 0
            whole = io.BufferedReader(_FileSection(file, start, archive.size)) if inner else file
            with zipfile.ZipFile(whole) as opened:
                # In a truncated archive of archives, the end of an inner one is taken for the end of the outer one.
                if min((info.header_offset for info in opened.infolist()), default=0) > _MAX_FIRST_OFFSET:
                    raise zipfile.BadZipFile("its directory does not reach back to its beginning")
                for info in opened.infolist():
                    member = info.orig_filename.replace("\\", "/")
                    _check_path(member, info.orig_filename, name)
                    if info.flag_bits & 1 and not info.is_dir():
                        raise InputError(
                            f"{name}: {member} is encrypted; extract the archive with its password and pass the folder"
                        )
                    position = (start + info.header_offset, info.compress_size, info.file_size)
                    yield ZipMember(path, member, *position, info.CRC, info.compress_type)
    except InputError:
        raise
    except _ZIP_ERRORS as error:
        truncated = "; it may be truncated: copy or download it again" if isinstance(error, zipfile.BadZipFile) else ""
        raise InputError(f"{name}: not a readable zip archive ({error}){truncated}") from error


def tar_members(archive: Path, folder: Path, advance: Callable[[int], object]) -> Iterator[TarMember]:
    """The files in a tar archive, compressed or not; see :func:`plain_tar` for the arguments.

    Raises:
        InputError: as :func:`plain_tar`; or the file is not a tar archive, is truncated, has a path outside the
            archive, or a member is neither file nor folder.
    """
    plain, origin = plain_tar(archive, folder, advance), _origin(archive)
    try:
        with tarfile.open(plain, "r:") as opened:
            for info in opened:
                _check_path(info.name.replace("\\", "/"), info.name, str(archive))
                if not (info.isdir() or info.isfile()) or info.issparse():
                    raise InputError(
                        f"{archive}: the archive is hostile or damaged: {info.name!r} is a link or device, not a file"
                    )
                if info.isfile():
                    member = PurePosixPath(info.name.replace("\\", "/")).as_posix()  # "./a" is "a"
                    yield TarMember(plain, member, info.offset_data, info.size, origin)
    except InputError:
        raise
    except _TAR_ERRORS as error:
        raise _unreadable_tar(archive, error) from error


def tar_stem(name: str) -> str | None:
    """The name of a tar archive without its suffix, None for another file."""
    return next((name[: -len(end)] for end in (".tar.gz", ".tgz", ".tar") if name.lower().endswith(end)), None)


def plain_tar(archive: Path, folder: Path, advance: Callable[[int], object] = lambda count: None) -> Path:
    """The archive itself if it is not compressed, otherwise a decompressed copy in ``folder``.

    The copy is written atomically, after gzip's checksum was verified, and later calls find it again. Only one process
    at a time may use a folder.

    Args:
        archive: a .tar, .tar.gz or .tgz file.
        folder: folder of the copies; it is created if necessary.
        advance: called with the number of further bytes of the archive that have been read.

    Raises:
        InputError: the archive is damaged, of another format, expands like a bomb, or does not fit on the disk.
    """
    if archive.name.lower().endswith(".tar"):
        return archive
    try:
        known = hashlib.sha256(f"{archive.resolve()} {_origin(archive)}".encode()).hexdigest()[:16]
        target = folder / f"{tar_stem(archive.name)}.{known}.tar"
        if not target.exists():
            folder.mkdir(exist_ok=True)
            _decompress(archive, target, advance)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(
                f"{folder}: the disk is full; {archive.name} is decompressed there: free space and run the same again"
            ) from error
        raise _unreadable_tar(archive, error) from error
    except (zlib.error, EOFError) as error:
        raise _unreadable_tar(archive, error) from error
    return target


def _decompress(archive: Path, target: Path, advance: Callable[[int], object]) -> None:
    temporary = target.with_name(f".{target.name}.writing")  # overwritten after a killed call
    limit = max(_RATIO_FROM, _MAX_RATIO * archive.stat().st_size)
    try:
        with archive.open("rb") as packed, temporary.open("wb") as plain:
            blocks, before = gzip.GzipFile(fileobj=packed), 0
            while block := blocks.read(_BLOCK):
                if plain.tell() + len(block) > limit:
                    raise InputError(f"{archive}: expands to {_MAX_RATIO} times its size like a bomb; not decompressed")
                plain.write(block)
                advance(packed.tell() - before)
                before = packed.tell()
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _origin(archive: Path) -> str:
    """Size and modification time, which identify an archive."""
    status = archive.stat()
    return f"{status.st_size} {status.st_mtime_ns}"


def _unreadable_tar(archive: Path, error: Exception) -> InputError:
    reason = getattr(error, "strerror", None) or error
    return InputError(
        f"{archive}: not a readable tar archive ({reason}); it may be truncated: copy or download it again"
    )


def _check_path(path: str, original: str, archive: str) -> None:
    if path.startswith("/") or ".." in PurePosixPath(path).parts or re.match(r"[A-Za-z]:", path) or "\0" in path:
        raise InputError(f"{archive}: the archive is hostile or damaged: it contains a file named {original!r}")


def _content_offset(file: io.BufferedReader, member: ZipMember) -> int:
    """Where the content of a member begins: after its local header, which contains its own length."""
    file.seek(member.offset)
    signature, name_length, extra_length = struct.unpack("<4s22x2H", file.read(30))
    if signature != b"PK\3\4":
        raise zipfile.BadZipFile("no member at the position given in the directory")
    return member.offset + 30 + name_length + extra_length


@lru_cache(maxsize=1)
def _members(archive: Path, modified: int) -> dict[str, ZipMember]:
    """Members by name, cached: listing a large archive again for every member takes longer than reading it."""
    return {member.name: member for member in zip_members(archive)}


class _FileSection(io.RawIOBase):
    """Bytes ``start`` to ``start + size`` of an open file, as a file."""

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

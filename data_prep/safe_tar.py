"""Read members of a tar archive that may be hostile; of a compressed one a plain copy is made first.

A compressed tar can only be read from its beginning, so many workers cannot share it. It is decompressed once into a
plain tar, in which every member has a place; members are never unpacked to files of their own.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from data_prep.safe_zip import MAX_MEMBER
from pcrq.errors import InputError

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")
_MAX_RATIO, _RATIO_FROM = 100, 16 * 2**20  # sound shrinks to a half or a tenth, bombs to a thousandth
_BLOCK = 2**20
_BROKEN = (tarfile.TarError, zlib.error, EOFError, OSError, ValueError)


@dataclass(frozen=True)
class TarMember:
    """Where a member lies: enough to read it without the headers before it.

    Args:
        archive: the plain tar on disk.
        name: path in the archive, with forward slashes.
        offset: of its content from the beginning of ``archive``, in bytes.
        size: of its content in bytes.
        origin: what tells the published archive from another one: its size and time of change.
    """

    archive: Path
    name: str
    offset: int
    size: int
    origin: str


def tar_stem(name: str) -> str | None:
    """The name of a tar archive without its suffix, None for another file."""
    return next((name[: -len(end)] for end in (".tar.gz", ".tgz", ".tar") if name.lower().endswith(end)), None)


def origin(archive: Path) -> str:
    """Size and time of change, by which an archive is known again."""
    status = archive.stat()
    return f"{status.st_size} {status.st_mtime_ns}"


def plain_tar(archive: Path, folder: Path, advance: Callable[[int], object] = lambda count: None) -> Path:
    """The archive itself where it is not compressed, else a decompressed copy in ``folder``.

    The copy appears whole or not at all, gzip's checksum included, and is found again by a later call. Only one process
    at a time may use a folder.

    Args:
        archive: a .tar, .tar.gz or .tgz file.
        folder: where copies are kept; it is made when one is needed.
        advance: called now and then with how many more bytes of the archive have been read.

    Raises:
        InputError: the archive is damaged, of another kind, grows like a bomb, or does not fit on the disk.
    """
    if archive.name.lower().endswith(".tar"):
        return archive
    try:
        known = hashlib.sha256(f"{archive.resolve()} {origin(archive)}".encode()).hexdigest()[:16]
        target = folder / f"{tar_stem(archive.name)}.{known}.tar"
        if not target.exists():
            folder.mkdir(exist_ok=True)
            _decompress(archive, target, advance)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(f"{folder}: the disk is full; {archive.name} is decompressed there, make room") from error
        raise _unreadable(archive, error) from error
    except (zlib.error, EOFError) as error:
        raise _unreadable(archive, error) from error
    return target


def _decompress(archive: Path, target: Path, advance: Callable[[int], object]) -> None:
    temporary = target.with_name(f".{target.name}.writing")  # of a call that was killed, too: it is written over
    limit = max(_RATIO_FROM, _MAX_RATIO * archive.stat().st_size)
    try:
        with archive.open("rb") as packed, temporary.open("wb") as plain:
            blocks, before = gzip.GzipFile(fileobj=packed), 0
            while block := blocks.read(_BLOCK):
                if plain.tell() + len(block) > limit:
                    raise InputError(f"{archive}: unpacks to {_MAX_RATIO} times its size like a bomb; not unpacked")
                plain.write(block)
                advance(packed.tell() - before)
                before = packed.tell()
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def locate_tar_members(archive: Path, name: str, origin: str) -> Iterator[TarMember]:
    """The files in a plain tar.

    Args:
        archive: the tar.
        name: what error messages call it.
        origin: noted in the members.

    Raises:
        InputError: it is no tar archive, cut short, or hostile: a name leads out of the archive's own folder, or a
            member is neither file nor folder.
    """
    try:
        with tarfile.open(archive, "r:") as opened:
            for info in opened:
                _check(info, name)
                if info.isfile():
                    member = PurePosixPath(info.name.replace("\\", "/")).as_posix()  # "./a" is "a"
                    yield TarMember(archive, member, info.offset_data, info.size, origin)
    except _BROKEN as error:
        if isinstance(error, InputError):
            raise
        raise _unreadable(Path(name), error) from error


def read_tar_member(member: TarMember) -> bytes:
    """The content of one member.

    Raises:
        InputError: it is larger than any sound, or the archive has changed or cannot be read.
    """
    if member.size > MAX_MEMBER:
        raise InputError(f"{member.name}: {member.size / 2**20:.0f} MiB, the limit is {MAX_MEMBER / 2**20:.0f} MiB")
    try:
        with member.archive.open("rb") as file:
            file.seek(member.offset)
            content = file.read(member.size)
    except OSError as error:
        raise InputError(f"{member.name}: cannot be read ({error.strerror or error})") from error
    if len(content) != member.size:
        raise InputError(f"{member.name}: damaged in the archive (cut short); run the same command again")
    return content


def _check(info: tarfile.TarInfo, archive: str) -> None:
    name = info.name.replace("\\", "/")
    if name.startswith("/") or ".." in PurePosixPath(name).parts or re.match(r"[A-Za-z]:", name) or "\0" in name:
        raise InputError(f"{archive}: the archive is hostile or damaged: it has a file named {info.name!r}")
    if not (info.isdir() or info.isfile()) or info.issparse():
        raise InputError(f"{archive}: the archive is hostile or damaged: {info.name!r} is a link or device, no file")


def _unreadable(archive: Path, error: Exception) -> InputError:
    reason = getattr(error, "strerror", None) or error
    return InputError(
        f"{archive}: not a readable tar archive ({reason}); it may be cut short: copy or download it again"
    )

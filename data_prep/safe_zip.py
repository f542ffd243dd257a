"""Read members of a zip archive that may be hostile; nothing is ever unpacked to disk."""

from __future__ import annotations

import re
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path, PurePosixPath

from pcrq.errors import InputError

MAX_MEMBER = 512 * 2**20
"""Bytes of the largest member that is read; the largest meshes of public data sets have about 200 MB."""
_MAX_RATIO, _RATIO_FROM = 100, 16 * 2**20  # meshes as text shrink 3 to 20 times, bombs about 1000 times


def list_members(path: Path) -> dict[str, zipfile.ZipInfo]:
    """The files in an archive by name.

    Raises:
        InputError: it is no zip archive, damaged or encrypted, or a name would lead out of the folder that the
            archive stands for.
    """
    members = {}
    for info in _archive(path).infolist():
        name = info.orig_filename.replace("\\", "/")
        if name.startswith("/") or ".." in PurePosixPath(name).parts or re.match(r"[A-Za-z]:", name) or "\0" in name:
            raise InputError(f"{path}: the archive is hostile or damaged: it has a file named {info.orig_filename!r}")
        if info.is_dir():
            continue
        if info.flag_bits & 1:
            raise InputError(f"{path}: {name} is encrypted; unpack the archive with its password and name the folder")
        members[info.filename] = info
    return members


def read_member(path: Path, name: str) -> bytes:
    """The content of one member.

    Raises:
        InputError: it is not there, damaged, or larger or denser than any mesh.
    """
    archive = _archive(path)
    try:
        info = archive.getinfo(name)
    except KeyError:
        raise InputError(f"{name}: not in the archive") from None
    size, ratio = info.file_size, info.file_size / max(info.compress_size, 1)
    if size > MAX_MEMBER:
        raise InputError(f"{name}: {size / 2**20:.0f} MiB unpacked, the limit is {MAX_MEMBER / 2**20:.0f} MiB")
    if size > _RATIO_FROM and ratio > _MAX_RATIO:
        raise InputError(f"{name}: unpacks to {ratio:.0f} times its size like a zip bomb; not unpacked")
    try:
        with archive.open(info) as file:
            return file.read(MAX_MEMBER + 1)[:size]  # never more than announced, whatever the stream holds
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{name}: damaged in the archive ({error})") from error


def _archive(path: Path) -> zipfile.ZipFile:
    try:
        status = path.stat()
        return _open(path, status.st_size, status.st_mtime_ns)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise InputError(f"{path}: not a readable zip archive ({error})") from error


@lru_cache(maxsize=1)
def _open(path: Path, size: int, modified: int) -> zipfile.ZipFile:
    """Kept open: reading the directory of a large archive anew for every member would take longer than the member."""
    return zipfile.ZipFile(path)

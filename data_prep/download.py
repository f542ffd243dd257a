"""Download a file: whole or not at all, and on from where the connection was cut.

pooch checks the sum and puts the file in its place. It would begin anew after every cut, so the transfer is ours.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

from data_prep.resuming_transfer import CONTENT, ResumingTransfer
from pcrq.errors import InputError


def download(url: str, target: Path, *, sha256: str | None = None, size: int | None = None) -> Path:
    """Download a file unless it is there already.

    What has come waits in the folder ``TARGET.part`` beside the target, also after Ctrl-C or a kill, and the next call
    goes on from there. Where the file on the server has changed in the meantime (address, ETag, date or length), the
    call begins anew.

    Args:
        url: address, http or https.
        target: the file to write; its folder is created.
        sha256: checksum in hexadecimal digits, if known.
        size: bytes, if known; without it the length that the server announces is checked.

    Returns:
        ``target``. A name that ends in ".zip" holds a zip archive.

    Raises:
        InputError: the file cannot be had or written, is another one than expected, or ``target`` is.
    """
    target = Path(target)
    part = target.with_name(f"{target.name}.part")
    try:
        if not target.exists():
            part.mkdir(parents=True, exist_ok=True)
            with _held(part):
                try:
                    _fetch(url, part, sha256, size, zipped=target.suffix.lower() == ".zip").replace(target)
                    (part / CONTENT).unlink(missing_ok=True)
                finally:
                    if not (part / CONTENT).exists():  # nothing to go on with
                        shutil.rmtree(part)
        elif not _is_expected(target, sha256, size):
            raise InputError(f"{target}: exists, but is not the file at {url}; move it away and download again")
    except BlockingIOError as error:
        raise InputError(f"{target}: another process is downloading it; wait for its end") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(f"{target}: the disk is full; make room and run the same again, it goes on") from error
        raise InputError(f"{target}: cannot be written ({error.strerror or error}); choose another place") from error
    return target


def _is_expected(target: Path, sha256: str | None, size: int | None) -> bool:
    import pooch

    if not target.is_file() or size not in (None, target.stat().st_size):
        return False
    return sha256 is None or pooch.file_hash(target) == sha256.lower()


def _fetch(url: str, part: Path, sha256: str | None, size: int | None, *, zipped: bool) -> Path:
    """The whole and checked file, still in the folder ``part``; what turns out to be wrong is removed."""
    import pooch

    pooch.get_logger().setLevel(logging.WARNING)
    name = "whole"
    checksum = None if sha256 is None else f"sha256:{sha256.lower()}"
    source = pooch.create(part, base_url="", registry={name: checksum}, urls={name: url})
    try:
        whole = Path(source.fetch(name, downloader=ResumingTransfer(part, size)))
        if zipped:
            zipfile.ZipFile(whole).close()
    except InputError:
        raise
    except zipfile.BadZipFile as error:
        (part / CONTENT).unlink(missing_ok=True)
        raise InputError(f"{url}: what came is no zip archive; look at it with a browser") from error
    except ValueError as error:
        (part / CONTENT).unlink(missing_ok=True)
        raise InputError(
            f"{url}: the checksum differs, so the file was damaged on its way or has changed there; try once more"
        ) from error
    return whole


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a folder for this process; raises BlockingIOError where another one does."""
    try:
        import fcntl
    except ImportError:  # Windows: two downloads of one file are up to the user there
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)

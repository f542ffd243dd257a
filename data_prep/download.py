"""Downloads that are verified, written atomically and resumed where the connection was interrupted.

pooch verifies the checksum and moves the file into place. It restarts an interrupted transfer from the beginning, so
the transfer is ours: range requests (RFC 9110, section 14).
"""

from __future__ import annotations

import errno
import json
import logging
import re
import shutil
import sys
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_prep.working_folder import locked_folder
from pcrq import InputError

if TYPE_CHECKING:
    from requests import Response

log = logging.getLogger(__name__)

CONTENT = "content"
"""The received part, in the folder of a transfer."""
_WAITS = (1, 2, 4, 8)
"""Seconds before each new attempt; they restart whenever an attempt gets further than those before."""
_TIMEOUT = 30
"""Seconds without a byte after which a connection counts as interrupted."""
_BUSY = (408, 429, 500, 502, 503, 504)
_VERSION = ("ETag", "Last-Modified")
"""The headers that identify a version of a file."""


def download(url: str, target: Path, *, sha256: str | None = None, size: int | None = None) -> Path:
    """Download a file unless it exists.

    The received part stays in the folder ``TARGET.part`` beside the target, also after Ctrl-C or a kill, and the next
    call resumes from there. If the file on the server has changed (URL, ETag, date or length), the call restarts.

    Args:
        url: http or https.
        target: the file to write; its folder is created.
        sha256: checksum in hexadecimal digits, if known.
        size: bytes, if known; otherwise the length that the server declares is checked.

    Returns:
        ``target``. If its name ends in ".zip", the file is a zip archive.

    Raises:
        InputError: the download failed, or the downloaded or existing file is not the expected one.
    """
    target = Path(target)
    part = target.with_name(f"{target.name}.part")
    try:
        if not target.exists():
            with locked_folder(part, f"{target}: another process is downloading it; wait until it ends"):
                try:
                    _fetch(url, part, sha256, size, zipped=target.suffix.lower() == ".zip").replace(target)
                    (part / CONTENT).unlink(missing_ok=True)
                finally:
                    if not (part / CONTENT).exists():  # nothing to resume
                        shutil.rmtree(part)
        elif not _is_expected(target, sha256, size):
            raise InputError(f"{target}: exists, but is not the file at {url}; move it away and download again")
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(f"{target}: the disk is full; free space and run the same again, it resumes") from error
        raise InputError(f"{target}: cannot be written ({error.strerror or error}); choose another place") from error
    return target


@dataclass(frozen=True)
class PublishedArchive:
    """An archive that the authors of a dataset publish.

    Args:
        name: name of the dataset.
        url: URL of the archive, a .zip or .tar.gz file.
        sha256: checksum in hexadecimal digits; None if none is published.
        advice: what to do if the download fails.
    """

    name: str
    url: str
    sha256: str | None
    advice: str

    def fetch(self, target: Path) -> Path:
        """Download the archive to ``target`` unless it exists.

        Raises:
            InputError: the suffix of ``target`` is not that of the archive, or the download failed; the message then
                ends with the advice.
        """
        if target.exists():
            return target
        suffix = ".tar.gz" if self.url.endswith(".tar.gz") else ".zip"
        if not target.name.lower().endswith(suffix):
            raise InputError(f"{target}: --download writes an archive; the name must end in {suffix}")
        try:
            return download(self.url, target, sha256=self.sha256)
        except InputError as error:
            raise InputError(f"{error}; {self.advice}") from error


def _is_expected(target: Path, sha256: str | None, size: int | None) -> bool:
    import pooch

    if not target.is_file() or size not in (None, target.stat().st_size):
        return False
    return sha256 is None or pooch.file_hash(target) == sha256.lower()


def _fetch(url: str, part: Path, sha256: str | None, size: int | None, *, zipped: bool) -> Path:
    """The complete and verified file in the folder ``part``; a file that fails verification is removed."""
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
        raise InputError(f"{url}: the downloaded file is not a zip archive; open the URL in a browser") from error
    except ValueError as error:
        (part / CONTENT).unlink(missing_ok=True)
        raise InputError(
            f"{url}: the checksum differs, so the file was damaged in transit or has changed; try again"
        ) from error
    return whole


class _Interrupted(Exception):
    """The connection ended too early, or the server is busy."""


class ResumingTransfer:
    """A downloader for pooch that resumes.

    Args:
        folder: folder of :data:`CONTENT` and of ``origin.json``, which describes the file that it is a part of.
        size: bytes of the complete file, if known.
    """

    def __init__(self, folder: Path, size: int | None):
        self.content, self.origin, self.size = folder / CONTENT, folder / "origin.json", size

    def __call__(self, url: str, output_file: str, pooch: Any) -> None:
        import requests
        import urllib3

        furthest, waits = self._have(), iter(_WAITS)
        while True:
            try:
                self._get_rest(url)
                break
            except requests.exceptions.SSLError as error:
                raise InputError(f"{url}: the server's certificate is not accepted ({error})") from error
            except (
                _Interrupted,
                urllib3.exceptions.HTTPError,
                requests.exceptions.ConnectionError,
                requests.exceptions.Timeout,
            ) as error:
                if self._have() > furthest:
                    furthest, waits = self._have(), iter(_WAITS)
                wait = next(waits, None)
                if wait is None:
                    raise InputError(
                        f"{url}: {_reason(error)}; check the network and run the same again, it resumes"
                    ) from error
                log.warning("%s: %s; retrying in %d s", url, _reason(error), wait)
                time.sleep(wait)
            except requests.exceptions.RequestException as error:  # not a URL, endless redirections
                raise InputError(f"{url}: cannot be downloaded ({error})") from error
        # A second name for the content, so that nothing is lost if the verification is interrupted.
        Path(output_file).unlink()
        try:
            Path(output_file).hardlink_to(self.content)
        except OSError:  # a file system without links
            self.content.replace(output_file)

    def _have(self) -> int:
        return self.content.stat().st_size if self.content.exists() else 0

    def _get_rest(self, url: str) -> None:
        """One request for the missing part."""
        import requests

        known, have = self._read_origin(url), self._have()
        if known is None:
            have = 0
        elif known["length"] == have:
            return None
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
            if have and response.status_code in (206, 416):
                if not _continues(response, have, known):
                    self.origin.unlink()
                    return self._get_rest(url)
            else:
                have = 0
                _require_success(url, response)
            length = _length(response)
            if length is not None and self.size not in (None, length):
                raise InputError(
                    f"{url}: the server declares {length} bytes instead of {self.size}; it is another file"
                )
            if not have:
                self._write_origin(url, response, length)
            self._write(response, have, length)
        if length is not None and self._have() != length:
            raise _Interrupted(f"{self._have()} of {length} bytes received")
        if self.size not in (None, self._have()):
            self.origin.unlink()
            raise InputError(f"{url}: {self._have()} bytes received instead of {self.size}; it is another file")
        return None

    def _write(self, response: Response, start: int, length: int | None) -> None:
        from tqdm import tqdm

        if length is not None and shutil.disk_usage(self.content.parent).free < length - start:
            raise OSError(errno.ENOSPC, "No space left on device")
        bar = tqdm(
            total=length,
            initial=start,
            desc="downloading",
            unit="B",
            unit_scale=True,
            mininterval=0.2 if sys.stderr.isatty() else 10,
        )
        with bar, self.content.open("r+b" if start else "wb") as file:
            file.seek(start)
            for block in response.raw.stream(2**20, decode_content=False):
                file.write(block)
                bar.update(len(block))

    def _read_origin(self, url: str) -> dict[str, Any] | None:
        """The description of the partly received file; None if there is none."""
        try:
            origin = json.loads(self.origin.read_text(encoding="utf-8"))
            return origin if origin["url"] == url and "length" in origin else None
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def _write_origin(self, url: str, response: Response, length: int | None) -> None:
        self.content.unlink(missing_ok=True)  # first, so that a kill in between leaves no wrong pair
        origin = {"url": url, "length": length} | {name: response.headers.get(name) for name in _VERSION}
        self.origin.write_text(json.dumps(origin), encoding="utf-8")


def _continues(response: Response, have: int, known: dict[str, Any]) -> bool:
    """Whether a partial response continues the same file after ``have`` bytes."""
    span = _span(response)
    if span is None or span[0] != have or known["length"] not in (None, span[1]):
        return False
    return all(known.get(name) in (None, response.headers.get(name, known[name])) for name in _VERSION)


def _span(response: Response) -> tuple[int, int | None] | None:
    """First byte, and length of the complete file, of a partial response."""
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if response.status_code != 206 or found is None:
        return None
    return int(found[1]), None if found[2] == "*" else int(found[2])


def _length(response: Response) -> int | None:
    """Bytes of the complete file, if the server declares them."""
    span = _span(response)
    if span is not None:
        return span[1]
    announced = response.headers.get("Content-Length", "")
    return int(announced) if announced.isdecimal() else None


def _require_success(url: str, response: Response) -> None:
    status, answer = response.status_code, f"{response.status_code} {response.reason or ''}".strip()
    if status in _BUSY:
        raise _Interrupted(f"the server responded {answer}")
    if status in (401, 403):
        raise InputError(f"{url}: the server refuses it ({answer}); log in with a browser and download it there")
    if status != 200:
        raise InputError(f"{url}: the server does not have it ({answer}); check the address")


def _reason(error: Exception) -> str:
    """Why a connection failed, without the object names in the messages of the libraries."""
    text = str(error)
    for words, reason in (
        ("NameResolution", "the name of the server cannot be resolved"),
        ("refused", "the server refuses connections"),
        ("timed out", "the server does not respond"),
    ):
        if words in text:
            return reason
    return text if isinstance(error, _Interrupted) else "the connection was interrupted"

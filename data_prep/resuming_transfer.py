"""A transfer by HTTP that goes on after a cut, by range requests (RFC 9110, section 14)."""

from __future__ import annotations

import errno
import json
import logging
import re
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pcrq.errors import InputError

if TYPE_CHECKING:
    from requests import Response

log = logging.getLogger(__name__)

CONTENT = "content"
"""What has come, in the folder of a transfer."""
_WAITS = (1, 2, 4, 8)
"""Seconds before each new attempt; counted anew whenever an attempt gets further than those before."""
_TIMEOUT = 30
"""Seconds without a byte after which a connection counts as cut."""
_BUSY = (408, 429, 500, 502, 503, 504)
_VERSION = ("ETag", "Last-Modified")
"""The headers by which a server tells one version of a file from another."""


class _Cut(Exception):
    """The connection ended too early, or the server is busy."""


class ResumingTransfer:
    """A downloader for pooch.

    Args:
        folder: where :data:`CONTENT` grows, with ``origin.json`` about the file that it begins.
        size: bytes of the whole file, if known.
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
                _Cut,
                urllib3.exceptions.HTTPError,
                requests.exceptions.ConnectionError,
                requests.exceptions.Timeout,
            ) as error:
                if self._have() > furthest:
                    furthest, waits = self._have(), iter(_WAITS)
                wait = next(waits, None)
                if wait is None:
                    raise InputError(
                        f"{url}: {_reason(error)}; check the network and run the same again, it goes on from there"
                    ) from error
                log.warning("%s: %s; trying again in %d s", url, _reason(error), wait)
                time.sleep(wait)
            except requests.exceptions.RequestException as error:  # no address, endless redirections
                raise InputError(f"{url}: cannot be downloaded ({error})") from error
        # A second name for the content, so that nothing is lost when the check of its sum is interrupted.
        Path(output_file).unlink()
        try:
            Path(output_file).hardlink_to(self.content)
        except OSError:  # a file system without links
            self.content.replace(output_file)

    def _have(self) -> int:
        return self.content.stat().st_size if self.content.exists() else 0

    def _get_rest(self, url: str) -> None:
        """One request for what is missing."""
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
                raise InputError(f"{url}: the server announces {length} bytes instead of {self.size}; another file")
            if not have:
                self._write_origin(url, response, length)
            self._write(response, have, length)
        if length is not None and self._have() != length:
            raise _Cut(f"{self._have()} of {length} bytes came")
        if self.size not in (None, self._have()):
            self.origin.unlink()
            raise InputError(f"{url}: {self._have()} bytes came instead of {self.size}; another file")
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
        """What is known of the file whose beginning is there; None where there is none."""
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
    """Whether a partial answer goes on after ``have`` bytes of the same file."""
    span = _span(response)
    if span is None or span[0] != have or known["length"] not in (None, span[1]):
        return False
    return all(known.get(name) in (None, response.headers.get(name, known[name])) for name in _VERSION)


def _span(response: Response) -> tuple[int, int | None] | None:
    """First byte and length of the whole file, of a partial answer."""
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if response.status_code != 206 or found is None:
        return None
    return int(found[1]), None if found[2] == "*" else int(found[2])


def _length(response: Response) -> int | None:
    """Bytes of the whole file, as far as the server announces them."""
    span = _span(response)
    if span is not None:
        return span[1]
    announced = response.headers.get("Content-Length", "")
    return int(announced) if announced.isdecimal() else None


def _require_success(url: str, response: Response) -> None:
    status, answer = response.status_code, f"{response.status_code} {response.reason or ''}".strip()
    if status in _BUSY:
        raise _Cut(f"the server answers {answer}")
    if status in (401, 403):
        raise InputError(f"{url}: the server refuses it ({answer}); log in with a browser and download it there")
    if status != 200:
        raise InputError(f"{url}: the server does not have it ({answer}); check the address")


def _reason(error: Exception) -> str:
    """Why a connection failed, without the names of objects that the libraries put into it."""
    text = str(error)
    for words, reason in (
        ("NameResolution", "the name of the server cannot be looked up"),
        ("refused", "the server refuses connections"),
        ("timed out", "the server does not answer"),
    ):
        if words in text:
            return reason
    return text if isinstance(error, _Cut) else "the connection was cut"

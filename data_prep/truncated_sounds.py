"""Recognise sound files that were cut short by what their format promises.

libsndfile reads what is there of a WAV, OGG or MP3 file without complaint, as a shorter sound.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import BinaryIO

from pcrq.errors import InputError

MISSING_SECONDS = 0.5
"""Of an MP3 file: what may be missing; encoders count their delay and padding differently."""
_UNKNOWN_SIZE = 0x7FFF0000  # WAV sizes from here on are what programs write that do not know the size yet
_SLACK = 1024  # bytes; some programs count headers and padding wrongly
_OGG_PAGE = 27 + 255 + 255 * 255  # bytes, at most: header, segment table, segments
_OGG_LAST = 4  # the flag "end of stream" of a page
_MP3_RATES = (44_100, 48_000, 32_000)  # Hz of MPEG 1; half of them in MPEG 2, a quarter in MPEG 2.5
_MP3_HEAD = 4 + 2 + 32 + 16  # bytes: frame header, checksum, side information and the numbers in the first frame


def refuse_truncated(file: BinaryIO, name: str) -> float:
    """Raise if a sound file is certainly shorter than it was written.

    Args:
        file: the file, read from its beginning and left anywhere.
        name: what error messages call it.

    Returns:
        Seconds that an MP3 file announces, of which a decoder must find all but :data:`MISSING_SECONDS`; 0 for a file
        that announces nothing, and for other formats.

    Raises:
        InputError: counts or end marks show that something is missing.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(12)
    missing, seconds = None, 0.0
    if head[:4] == b"RIFF" and len(head) >= 8:
        missing = _wav(head, size)
    elif head[:4] == b"OggS":
        missing = _ogg(file, size)
    elif announced := _announced(file, head):
        missing, seconds = announced.missing(size), announced.seconds
    if missing:
        raise InputError(f"{name}: damaged or cut short ({missing}); copy it again")
    return seconds


def _wav(head: bytes, size: int) -> str | None:
    """A RIFF file begins with its length."""
    announced = struct.unpack_from("<I", head, 4)[0] + 8
    return f"{announced} bytes promised, {size} found" if size + _SLACK < announced < _UNKNOWN_SIZE else None


def _ogg(file: BinaryIO, size: int) -> str | None:
    """An Ogg stream consists of pages that count their bytes; the last one is marked.

    Source: RFC 3533, section 6.
    """
    start = file.seek(max(0, size - 2 * _OGG_PAGE))  # a tag or padding may follow the last page
    tail = file.read()
    page = tail.rfind(b"OggS")
    while page >= 0 and tail[page + 4 : page + 5] != b"\0":  # of another version: no page, but sound
        page = tail.rfind(b"OggS", 0, page)
    if page < 0 or len(tail) < page + 27:
        return "its last page is missing"
    segments = tail[page + 27 : page + 27 + tail[page + 26]]
    end = page + 27 + tail[page + 26] + sum(segments)
    if end > len(tail):
        return f"{start + end} bytes promised, {size} found"
    return None if tail[page + 5] & _OGG_LAST else "its last page is missing"


@dataclass(frozen=True)
class _Announced:
    """What the first frame of an MP3 file says of the others.

    Args:
        start: where that frame begins.
        seconds: duration, more than 0.
        stream: bytes from ``start`` on, 0 where it does not tell.
    """

    start: int
    seconds: float
    stream: int

    def missing(self, size: int) -> str | None:
        absent = self.start + self.stream - size
        if absent * self.seconds <= MISSING_SECONDS * self.stream:
            return None
        return f"{self.start + self.stream} bytes promised, {size} found"


def _announced(file: BinaryIO, head: bytes) -> _Announced | None:
    """Read the frame "Xing" or "Info" that encoders put before the sound; None where there is none.

    Its place follows the side information, whose length depends on version and channels; then come flags, the number
    of frames and the number of bytes, where the flags say so.
    """
    start = 0
    if head[:3] == b"ID3" and len(head) >= 10:  # a tag, its length in four times seven bits
        start = 10 + sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
        start += 10 * (head[5] >> 4 & 1)  # and a copy of its header at the end
    file.seek(start)
    frame = file.read(_MP3_HEAD)
    if len(frame) < _MP3_HEAD or frame[0] != 0xFF or frame[1] & 0xE6 != 0xE2:  # 11 bits of sync, layer III
        return None
    version, rate = frame[1] >> 3 & 3, frame[2] >> 2 & 3  # version 3 is MPEG 1, 2 is MPEG 2, 0 is MPEG 2.5
    place = next((place for tag in (b"Xing", b"Info") if (place := frame.find(tag, 4, 4 + 2 + 32 + 4)) > 0), 0)
    if not place or version == 1 or rate == 3:
        return None
    flags, *numbers = struct.unpack_from(">III", frame, place + 4)
    frames = numbers.pop(0) if flags & 1 else 0
    stream = numbers.pop(0) if flags & 2 else 0
    samples, divisor = {3: (1152, 1), 2: (576, 2), 0: (576, 4)}[version]
    seconds = frames * samples * divisor / _MP3_RATES[rate]
    return _Announced(start, seconds, stream) if seconds else None

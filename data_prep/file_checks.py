"""Checks that a file has the format of its suffix and was not truncated, made before it is parsed.

Parsers often read a truncated file without an error, as half a shape or a shorter sound.
"""

from __future__ import annotations

import io
import re
import struct
from typing import BinaryIO

from pcrq import InputError

_SIGNATURES = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "a gzip archive",
    b"\x89HDF": "an HDF5 file",
    b"glTF": "a binary glTF file",
    b"Kaydara FBX": "an FBX file",
    b"BLENDER": "a Blender file",
    b"version https://git-lfs": "a Git LFS pointer to the file",
    b"<!DOCTYPE": "a web page",
    b"<!doctype": "a web page",
    b"<html": "a web page",
}
_TEXT_FORMATS = (".obj", ".off", ".gltf", ".xyz", ".pts", ".txt")
_REQUIRED_SIGNATURE = {".glb": b"glTF", ".npz": b"PK\x03\x04"}

MP3_TOLERANCE = 0.5
"""Seconds of an MP3 file that may be missing: encoders count their delay and padding differently."""
_UNKNOWN_SIZE = 0x7FFF0000  # larger WAV sizes are written by programs that do not know the size yet
_WAV_TOLERANCE = 1024  # bytes; some programs count headers and padding incorrectly
_OGG_PAGE = 27 + 255 + 255 * 255  # maximum bytes of a page: header, segment table, segments
_OGG_LAST = 4  # the flag "end of stream" of a page
_MP3_RATES = (44_100, 48_000, 32_000)  # Hz of MPEG 1; half of them in MPEG 2, a quarter in MPEG 2.5
_MP3_HEAD = 4 + 2 + 32 + 16  # bytes: frame header, checksum, side information and the numbers in the first frame


def check_format(data: bytes, suffix: str, name: str) -> None:
    """Raise if the content of a file is of another format than its suffix.

    Args:
        data: content of the file, or its first bytes.
        suffix: lower case, such as ".obj".
        name: name of the file in error messages.

    Raises:
        InputError: the file is empty, of another known format, or binary where the format is text.
    """
    required = _REQUIRED_SIGNATURE.get(suffix)
    if not data.strip():
        raise InputError(f"{name}: the file is empty")
    for signature, meaning in _SIGNATURES.items():
        if data.startswith(signature) and required != signature:
            raise InputError(f"{name}: is {meaning}, but its suffix is {suffix}")
    if required and not data.startswith(required):
        raise InputError(f"{name}: does not begin like a {suffix} file; it is damaged or of another format")
    if suffix in _TEXT_FORMATS and b"\0" in data:
        raise InputError(f"{name}: contains binary data, but {suffix} is text; it is damaged or of another format")


def check_mesh_complete(data: bytes, suffix: str, name: str) -> None:
    """Raise if a mesh file was certainly truncated.

    Args:
        data: content of the file.
        suffix: ".off", ".stl", ".glb" or ".obj"; other formats are checked by their parser only.
        name: name of the file in error messages.

    Raises:
        InputError: counts or end marks show that data is missing.
    """
    check = {".off": _off, ".stl": _stl, ".glb": _glb, ".obj": _obj}.get(suffix)
    _raise_if_missing(check(data) if check else None, name)


def check_sound_complete(file: BinaryIO, name: str) -> float:
    """Raise if a sound file was certainly truncated.

    Args:
        file: the open file; it is read from its beginning, and its position changes.
        name: name of the file in error messages.

    Returns:
        Duration in seconds that an MP3 file declares, of which a decoder must find all but :data:`MP3_TOLERANCE`;
        0 if the file declares none, and for other formats.

    Raises:
        InputError: counts or end marks show that data is missing.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(12)
    missing, seconds = None, 0.0
    if head[:4] == b"RIFF" and len(head) >= 8:
        missing = _wav(head, size)
    elif head[:4] == b"OggS":
        missing = _ogg(file, size)
    else:
        missing, seconds = _mp3(file, head, size)
    _raise_if_missing(missing, name)
    return seconds


def _raise_if_missing(missing: str | None, name: str) -> None:
    if missing:
        raise InputError(f"{name}: damaged or truncated ({missing}); copy it again")


def _off(data: bytes) -> str | None:
    """OFF counts its lines. ModelNet40 has files with the counts on the line of the word OFF: ``OFF490 518 0``."""
    lines = [line for line in (raw.split(b"#")[0].strip() for raw in data.splitlines()) if line]
    match = re.match(rb"(?:ST|C|N|4|n)*OFF\s*(.*)", lines[0] if lines else b"")
    if not match:
        return "it does not begin with the word OFF"
    counts, body = (match[1], lines[1:]) if match[1] else (b"".join(lines[1:2]), lines[2:])
    try:
        vertices, faces = map(int, counts.split()[:2])
    except ValueError:
        return "the counts of vertices and faces are missing after the word OFF"
    if len(body) < vertices + faces:
        return f"{vertices} vertices and {faces} faces declared, {len(body)} lines found"
    return None


def _stl(data: bytes) -> str | None:
    """A binary STL counts its triangles, 50 bytes each after a header of 84; an ASCII one ends with ``endsolid``."""
    declared = struct.unpack_from("<I", data, 80)[0] if len(data) >= 84 else 0
    if declared and len(data) >= 84 + 50 * declared:
        return None
    if data.lstrip()[:5].lower() == b"solid" and b"facet" in data[:2000]:
        return None if b"endsolid" in data[-1000:] else "the closing endsolid is missing"
    return f"{declared} triangles declared, {max(0, len(data) - 84) // 50} found"


def _glb(data: bytes) -> str | None:
    """A GLB header consists of magic, version and the length of the file."""
    declared = struct.unpack_from("<I", data, 8)[0] if len(data) >= 12 else 12
    return f"{declared} bytes declared, {len(data)} found" if len(data) < declared else None


def _obj(data: bytes) -> str | None:
    """OBJ declares no counts, but an incomplete last line shows that it was truncated."""
    last = data.rstrip(b" \t\0").rsplit(b"\n", 1)[-1].split()
    broken = last[:1] in ([b"v"], [b"f"]) and (len(last) < 4 or last[-1].endswith((b"/", b"-", b".", b"e")))
    return f"the last line is {b' '.join(last).decode('latin-1')!r}" if broken else None


def _wav(head: bytes, size: int) -> str | None:
    """A RIFF file begins with its length."""
    declared = struct.unpack_from("<I", head, 4)[0] + 8
    return f"{declared} bytes declared, {size} found" if size + _WAV_TOLERANCE < declared < _UNKNOWN_SIZE else None


def _ogg(file: BinaryIO, size: int) -> str | None:
    """An Ogg stream consists of pages that count their bytes; the last one has a flag.

    Source: RFC 3533, section 6.
    """
    start = file.seek(max(0, size - 2 * _OGG_PAGE))  # a tag or padding may follow the last page
    tail = file.read()
    page = tail.rfind(b"OggS")
    while page >= 0 and tail[page + 4 : page + 5] != b"\0":  # another version: not a page, but part of the sound
        page = tail.rfind(b"OggS", 0, page)
    if page < 0 or len(tail) < page + 27:
        return "its last page is missing"
    segments = tail[page + 27 : page + 27 + tail[page + 26]]
    end = page + 27 + tail[page + 26] + sum(segments)
    if end > len(tail):
        return f"{start + end} bytes declared, {size} found"
    return None if tail[page + 5] & _OGG_LAST else "its last page is missing"


def _mp3(file: BinaryIO, head: bytes, size: int) -> tuple[str | None, float]:
    """What is missing, and the declared seconds, from the frame "Xing" or "Info" that encoders put before the sound.

    The position of its numbers depends on the length of the side information, and so on version and channels; then
    follow flags, the number of frames and the number of bytes, the latter two if the flags are set.
    """
    start = 0
    if head[:3] == b"ID3" and len(head) >= 10:  # a tag; its length is in four times seven bits
        start = 10 + sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
        start += 10 * (head[5] >> 4 & 1)  # a copy of its header at the end
    file.seek(start)
    frame = file.read(_MP3_HEAD)
    if len(frame) < _MP3_HEAD or frame[0] != 0xFF or frame[1] & 0xE6 != 0xE2:  # 11 bits of sync, layer III
        return None, 0.0
    version, rate = frame[1] >> 3 & 3, frame[2] >> 2 & 3  # version 3 is MPEG 1, 2 is MPEG 2, 0 is MPEG 2.5
    tags = (frame.find(tag, 4, 4 + 2 + 32 + 4) for tag in (b"Xing", b"Info"))
    place = next((place for place in tags if place > 0), 0)
    if not place or version == 1 or rate == 3:
        return None, 0.0
    flags, *numbers = struct.unpack_from(">III", frame, place + 4)
    frames = numbers.pop(0) if flags & 1 else 0
    declared = start + (numbers.pop(0) if flags & 2 else 0)
    samples, divisor = {3: (1152, 1), 2: (576, 2), 0: (576, 4)}[version]
    seconds = frames * samples * divisor / _MP3_RATES[rate]
    truncated = seconds and (declared - size) * seconds > MP3_TOLERANCE * (declared - start)
    return (f"{declared} bytes declared, {size} found" if truncated else None), seconds

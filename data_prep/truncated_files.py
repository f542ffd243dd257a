"""Recognise mesh files that were cut short by what their format promises.

A parser may read half a shape without complaint.
"""

from __future__ import annotations

import re
import struct

from pcrq.errors import InputError


def refuse_truncated(data: bytes, suffix: str, name: str) -> None:
    """Raise if the content of a mesh file is certainly shorter than it was written.

    Args:
        data: the content.
        suffix: ".off", ".stl", ".glb" or ".obj"; other formats are left to their parser.
        name: what error messages call the file.

    Raises:
        InputError: counts or end marks show that something is missing.
    """
    check = {".off": _off, ".stl": _stl, ".glb": _glb, ".obj": _obj}.get(suffix)
    missing = check(data) if check else None
    if missing:
        raise InputError(f"{name}: damaged or cut short ({missing}); copy it again")


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
        return f"{vertices} vertices and {faces} faces announced, {len(body)} lines found"
    return None


def _stl(data: bytes) -> str | None:
    """A binary STL counts its triangles, 50 bytes each after a header of 84; an ASCII one ends with ``endsolid``."""
    announced = struct.unpack_from("<I", data, 80)[0] if len(data) >= 84 else 0
    if announced and len(data) >= 84 + 50 * announced:
        return None
    if data.lstrip()[:5].lower() == b"solid" and b"facet" in data[:2000]:
        return None if b"endsolid" in data[-1000:] else "the closing endsolid is missing"
    return f"{announced} triangles announced, {max(0, len(data) - 84) // 50} found"


def _glb(data: bytes) -> str | None:
    """A GLB header holds magic, version and the length of the file."""
    announced = struct.unpack_from("<I", data, 8)[0] if len(data) >= 12 else 12
    return f"{announced} bytes announced, {len(data)} found" if len(data) < announced else None


def _obj(data: bytes) -> str | None:
    """OBJ promises nothing, but a last line without its end shows where the file breaks off."""
    last = data.rstrip(b" \t\0").rsplit(b"\n", 1)[-1].split()
    broken = last[:1] in ([b"v"], [b"f"]) and (len(last) < 4 or last[-1].endswith((b"/", b"-", b".", b"e")))
    return f"the last line is {b' '.join(last).decode('latin-1')!r}" if broken else None

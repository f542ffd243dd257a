"""Bring the dialects of OBJ to the one that every parser reads: absolute vertex numbers, blanks between words."""

from __future__ import annotations

import re

_RELATIVE = re.compile(rb"^\s*f\s.*?(?<![\w/.])-\d", re.MULTILINE)


def normalise_obj(data: bytes) -> bytes:
    """Rewrite what parsers stumble over.

    Tabs become blanks. Relative vertex numbers, where -1 is the vertex defined last *so far*, become absolute ones;
    read at the end of the file they would silently name other vertices. Texture and normal numbers of such faces go.

    Args:
        data: the content of an OBJ file.

    Returns:
        The same shape; ``data`` itself where there is nothing to rewrite.
    """
    if b"\t" in data:
        data = data.replace(b"\t", b" ")
    return _absolute(data) if _RELATIVE.search(data) else data


def _absolute(data: bytes) -> bytes:
    lines, defined = data.replace(b"\\\r\n", b" ").replace(b"\\\n", b" ").splitlines(), 0
    for number, line in enumerate(lines):
        words = line.split()
        if words[:1] == [b"v"]:
            defined += 1
        elif words[:1] == [b"f"]:
            corners = (int(word.split(b"/")[0]) for word in words[1:])
            lines[number] = b"f " + b" ".join(
                b"%d" % (corner if corner > 0 else defined + 1 + corner) for corner in corners
            )
    return b"\n".join(lines) + b"\n"

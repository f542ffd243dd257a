"""Pack a layout as the public data sets are downloaded: a zip, or a zip of one zip per class."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path


def pack(folder: str | Path, archive: str | Path, *, nested: bool = False) -> None:
    """Write a folder into a zip file.

    Args:
        folder: what to pack; its name leads every path in the archive.
        archive: the file to write; an older one is replaced.
        nested: pack every folder directly under ``folder`` into a zip of its own inside, as ShapeNetCore v1 does.
    """
    folder, archive = Path(folder).absolute(), Path(archive)
    temporary = archive.with_name(f".{archive.name}.{os.getpid()}.writing")
    try:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as outer:
            for entry in sorted(folder.iterdir()):
                if nested and entry.is_dir():
                    outer.writestr(f"{folder.name}/{entry.name}.zip", _zipped(entry), zipfile.ZIP_STORED)
                    continue
                for file in _files(entry):
                    outer.write(file, file.relative_to(folder.parent))
        temporary.replace(archive)
    finally:
        temporary.unlink(missing_ok=True)


def _zipped(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as inner:
        for file in _files(folder):
            inner.write(file, file.relative_to(folder.parent))
    return buffer.getvalue()


def _files(entry: Path) -> Iterator[Path]:
    """The entry itself if it is a file, else all files below it in order."""
    return iter([entry]) if entry.is_file() else (file for file in sorted(entry.rglob("*")) if file.is_file())

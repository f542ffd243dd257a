"""Pack a folder as the public datasets are downloaded: a zip, a zip of one zip per folder, or a tar."""

import io
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path


def pack(folder: str | Path, archive: str | Path, *, nested: bool = False) -> None:
    """Write a folder into a zip file.

    Args:
        folder: the folder; its name is the first part of every path in the archive.
        archive: the file to write.
        nested: write every folder in ``folder`` as a zip of its own inside, as in ShapeNetCore v1.
    """
    folder = Path(folder).absolute()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as outer:
        for entry in sorted(folder.iterdir()):
            if nested and entry.is_dir():
                outer.writestr(f"{folder.name}/{entry.name}.zip", _zipped(entry), zipfile.ZIP_STORED)
                continue
            for file in _files(entry):
                outer.write(file, file.relative_to(folder.parent))


def pack_tar(folder: str | Path, archive: str | Path, *, top: str | None = None) -> None:
    """Write a folder into a tar archive.

    Args:
        folder: the folder.
        archive: the file to write, compressed unless its name ends in .tar.
        top: first part of every path in it; default: the name of the folder; "." as in Speech Commands.
    """
    with tarfile.open(archive, "w" if Path(archive).suffix == ".tar" else "w:gz") as packed:
        packed.add(folder, Path(folder).name if top is None else top)


def _zipped(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as inner:
        for file in _files(folder):
            inner.write(file, file.relative_to(folder.parent))
    return buffer.getvalue()


def _files(entry: Path) -> Iterator[Path]:
    """The entry itself if it is a file, otherwise all files below it in order."""
    return iter([entry]) if entry.is_file() else (file for file in sorted(entry.rglob("*")) if file.is_file())

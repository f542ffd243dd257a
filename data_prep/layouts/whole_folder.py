"""A folder that appears whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pcrq.errors import InputError

_NOTE = "README.txt"
_OURS = re.compile("Built-in (shapes|sounds) of pcrq")


@contextmanager
def whole_folder(folder: str | Path, layout: str, *, force: bool = False, kind: str = "shapes") -> Iterator[Path]:
    """Fill a hidden neighbour that becomes ``folder`` when the block ends without an exception.

    Args:
        folder: the folder to make; its parent must exist.
        layout: name of the layout, for the note that is left in the folder.
        force: replace a folder that an earlier call made; a folder from elsewhere is never removed.
        kind: what is in it, "shapes" or "sounds", for the note.

    Yields:
        The folder to write into.

    Raises:
        InputError: ``folder`` cannot be made or must not be replaced.
    """
    folder = Path(folder).absolute()
    _check(folder, force)
    process = os.getpid()
    filling, former = (folder.with_name(f".{folder.name}.{process}.{state}") for state in ("writing", "former"))
    try:
        filling.mkdir()
        note = f"Built-in {kind} of pcrq in the layout of {layout}. They are computed, not those of that data set.\n"
        (filling / _NOTE).write_text(note, encoding="utf-8")
        yield filling
        if folder.exists():
            folder.replace(former)
        filling.replace(folder)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be written ({error.strerror or error}); free space or choose another"
        ) from error
    finally:
        shutil.rmtree(filling, ignore_errors=True)
        shutil.rmtree(former, ignore_errors=True)


def _check(folder: Path, force: bool) -> None:
    if not folder.parent.is_dir():
        raise InputError(f"{folder}: the folder {folder.parent} does not exist; create it first")
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"{folder}: a file is in the way; choose another name for the folder")
    if not any(folder.iterdir()):
        return
    if not force:
        raise InputError(f"{folder}: the folder is not empty; choose another one or replace it with --force")
    note = folder / _NOTE
    if not (note.is_file() and _OURS.match(note.read_text(encoding="utf-8", errors="replace"))):
        raise InputError(f"{folder}: not made by this command, so --force does not remove it; choose another folder")

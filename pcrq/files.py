"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pcrq.errors import InputError


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A hidden neighbour to write, moved to ``path`` when the block ends without an exception.

    Raises:
        InputError: the file cannot be written there.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.writing")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); choose another place") from error
    finally:
        if temporary.exists():
            temporary.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file whole or not at all.

    Raises:
        InputError: the file cannot be written there.
    """
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")

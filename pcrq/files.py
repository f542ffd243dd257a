"""Atomic writes: a file or folder appears under its name only when it is complete."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pcrq import InputError


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Write a file to a hidden temporary path, which replaces ``path`` when the block ends without an exception.

    Args:
        path: the file to write; its folder must exist. An exception leaves the old one unchanged.

    Yields:
        The path to write to, in the same folder: ``.NAME.PID.writing``.

    Raises:
        InputError: the file cannot be written.
    """
    temporary = _hidden(path, "writing")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Fill a hidden temporary folder, which replaces ``folder`` when the block ends without an exception.

    Args:
        folder: the folder to write; its parent must exist. A folder of this name is removed, so check before that it
            may be replaced. An exception leaves the old one unchanged.

    Yields:
        The empty folder to fill, beside ``folder``: ``.NAME.PID.writing``.

    Raises:
        InputError: the folder cannot be written.
    """
    temporary, replaced = _hidden(folder, "writing"), _hidden(folder, "replaced")
    try:
        temporary.mkdir()
        yield temporary
        if folder.exists():
            folder.rename(replaced)
        try:
            temporary.rename(folder)
        except OSError:
            if replaced.exists():
                replaced.rename(folder)
            raise
    except OSError as error:
        raise _cannot_write(folder, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically.

    Raises:
        InputError: the file cannot be written.
    """
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _hidden(path: Path, state: str) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.{state}")


def _cannot_write(path: Path, error: OSError) -> InputError:
    return InputError(f"{path}: cannot be written ({error.strerror or error}); choose another place")

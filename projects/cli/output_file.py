"""The file that a command is asked to write, checked before any work."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pcrq.errors import InputError


def check_output_file(path: Path, kinds: Mapping[str, str], option: str = "--save") -> None:
    """Make sure that a file can be written, as far as that can be told beforehand.

    Args:
        path: the file.
        kinds: what may be written, by suffix: {".png": "a picture"}.
        option: what named it.

    Raises:
        InputError: the suffix is another one, the path is a folder, or its folder does not exist.
    """
    if path.suffix.lower() not in kinds:
        names = " or ".join(f"a {suffix} file ({what})" for suffix, what in kinds.items())
        raise InputError(f"{option} {path}: name {names}")
    if path.is_dir():
        raise InputError(f"{option} {path}: this is a folder; name a file in it")
    if not path.parent.is_dir():
        raise InputError(f"{option} {path}: the folder {path.parent} does not exist; create it first")

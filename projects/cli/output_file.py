"""Check that the file a command will write can be written, before any work."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pcrq import InputError


def check_output_file(path: Path, kinds: Mapping[str, str], option: str = "--save") -> None:
    """Check suffix and folder of an output file.

    Args:
        path: file to write.
        kinds: what may be written, by suffix: {".png": "picture"}.
        option: option that sets the path.

    Raises:
        InputError: the suffix is another one, the path is a folder, or its folder does not exist.
    """
    if path.suffix.lower() not in kinds:
        names = " or ".join(f"a {suffix} file ({what})" for suffix, what in kinds.items())
        raise InputError(f"{option} {path}: must be {names}")
    if path.is_dir():
        raise InputError(f"{option} {path}: this is a folder; choose a file in it")
    if not path.parent.is_dir():
        raise InputError(f"{option} {path}: the folder {path.parent} does not exist; create it first")

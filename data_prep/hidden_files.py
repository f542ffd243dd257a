"""Tell the files of a data set from what operating systems leave among them."""

from __future__ import annotations

from pathlib import PurePosixPath


def is_hidden(name: str) -> bool:
    """Whether a path is no data of its own: dot files, and the shadow files that macOS puts into archives."""
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)

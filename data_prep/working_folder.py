"""The folder of finished entries (shapes, sounds) until their store is written: ``STORE.h5.prep``.

It contains one file per entry, written atomically and named by a digest of everything the entry depends on. So a killed
run loses only the entries in progress, and a changed option or source finds no old file.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from uuid import uuid4

import numpy as np

from pcrq import InputError


class WorkingFolder:
    """Finished and refused entries by their key.

    Args:
        path: the folder; :meth:`locked` creates it.
    """

    def __init__(self, path: Path):
        self.path = path

    def entry_file(self, key: str) -> Path:
        return self.path / f"{key}.npz"

    def refusal_file(self, key: str) -> Path:
        return self.path / f"{key}.refused.txt"

    def finished(self) -> set[str]:
        """Keys of the entries that are prepared or refused."""
        names = (entry.name for entry in self.path.iterdir() if not entry.name.startswith("."))
        return {name.split(".")[0] for name in names}

    def write_entry(self, key: str, arrays: Mapping[str, np.ndarray]) -> None:
        with _atomic(self.entry_file(key)) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)

    def write_refusal(self, key: str, reason: str) -> None:
        with _atomic(self.refusal_file(key)) as temporary:
            temporary.write_text(" ".join(reason.split()), encoding="utf-8")

    def read_entry(self, key: str) -> dict[str, np.ndarray]:
        """The arrays of a key.

        Raises:
            InputError: the file is damaged; it is removed, so that the next run prepares the entry again.
        """
        file = self.entry_file(key)
        try:
            with np.load(file, allow_pickle=False) as arrays:
                return dict(arrays)
        except Exception as error:  # a damaged zip raises any exception
            file.unlink(missing_ok=True)
            raise InputError(f"{file}: damaged and removed; run the same command again") from error

    def read_refusal(self, key: str) -> str | None:
        """Why the entry of a key was refused, None if it was not."""
        try:
            return self.refusal_file(key).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def mean_bytes(self, sample: int) -> float:
        """Mean size of a finished entry in bytes, from at most ``sample`` of them; refused ones count as almost 0."""
        with os.scandir(self.path) as entries:
            whole = (entry for entry in entries if not entry.name.startswith("."))
            sizes = [entry.stat().st_size for entry in itertools.islice(whole, sample)]
        return sum(sizes) / max(1, len(sizes))

    def require_space_for_store(self, share: float) -> None:
        """Raise ``OSError`` (ENOSPC) unless the disk has room for the finished entries a second time, as a store.

        Checked beforehand, because HDF5 may end the process with a segmentation fault when a write fails.

        Args:
            share: bytes that an entry takes in the store for each byte here.
        """
        waiting = sum(entry.stat().st_size for entry in self.path.glob("*.npz"))
        needed = int(share * waiting) + 2**20
        free = shutil.disk_usage(self.path).free
        if free < needed:
            raise OSError(errno.ENOSPC, f"{needed} bytes needed, {free} free")

    def discard_others(self, keys: set[str]) -> int:
        """Remove every file that belongs to none of ``keys``; returns the number of finished entries removed."""
        others = self.finished() - keys
        for entry in self.path.iterdir():
            if entry.name.startswith(".") or entry.name.split(".")[0] in others:
                entry.unlink(missing_ok=True)
        return len(others)

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Create the folder and lock it; see :func:`locked_folder`."""
        with locked_folder(
            self.path, f"{self.path}: another run is writing this store; wait for it or choose another --out"
        ):
            yield


@contextlib.contextmanager
def locked_folder(path: Path, busy: str) -> Iterator[None]:
    """Create a folder and lock it for this process. The lock ends with the process, even if it is killed.

    Args:
        path: the folder; missing parents are created.
        busy: error message if another process has locked it.

    Raises:
        InputError: another process has locked it, or it cannot be created.
    """
    try:
        import fcntl
    except ImportError:  # Windows has no such lock: the user must not run twice at the same time
        _create(path)
        yield
        return
    while True:
        _create(path)
        try:
            handle = os.open(path, os.O_RDONLY)
        except FileNotFoundError:  # the process that had locked it has just removed it
            continue
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError(busy) from None
            if _is_at(handle, path):
                yield
                return
        finally:
            os.close(handle)


def _create(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: the folder cannot be created ({error.strerror}); choose another place") from error


def _is_at(handle: int, path: Path) -> bool:
    """Whether an open folder is the one that ``path`` refers to now."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _atomic(path: Path) -> Iterator[Path]:
    """As ``pcrq.files.atomic_write``, for several machines that write into one folder, and with the original error."""
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise

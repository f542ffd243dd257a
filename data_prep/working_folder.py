"""The folder in which finished entries (shapes, sounds) wait for their store: ``STORE.h5.prep``.

One file per entry, written whole or not at all and named by everything the entry depends on. Whatever kills a run
can therefore only lose the entries being worked on, and a changed option or source finds no old file.
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

from pcrq.errors import InputError


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
        """Keys of the entries that are done, prepared or refused."""
        names = (entry.name for entry in self.path.iterdir() if not entry.name.startswith("."))
        return {name.split(".")[0] for name in names}

    def write_entry(self, key: str, arrays: Mapping[str, np.ndarray]) -> None:
        with _whole(self.entry_file(key)) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)

    def write_refusal(self, key: str, reason: str) -> None:
        with _whole(self.refusal_file(key)) as temporary:
            temporary.write_text(" ".join(reason.split()), encoding="utf-8")

    def read_entry(self, key: str) -> dict[str, np.ndarray]:
        """The arrays of a key.

        Raises:
            InputError: the file is damaged; it is removed, so that the next run makes the entry again.
        """
        file = self.entry_file(key)
        try:
            with np.load(file, allow_pickle=False) as arrays:
                return dict(arrays)
        except Exception as error:  # a damaged zip fails in many ways
            file.unlink(missing_ok=True)
            raise InputError(f"{file}: damaged and removed; run the same command again") from error

    def read_refusal(self, key: str) -> str | None:
        """Why the entry of a key was refused, None where it was not."""
        try:
            return self.refusal_file(key).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def mean_bytes(self, sample: int) -> float:
        """Mean size of a finished entry, from at most ``sample`` of them; a refused one takes next to nothing."""
        with os.scandir(self.path) as entries:
            whole = (entry for entry in entries if not entry.name.startswith("."))
            sizes = [entry.stat().st_size for entry in itertools.islice(whole, sample)]
        return sum(sizes) / max(1, len(sizes))

    def require_room_for_store(self, share: float) -> None:
        """Raise ``OSError`` (ENOSPC) unless the finished entries fit on the disk once more, as a store.

        Asked beforehand, because HDF5 may end the process with a segmentation fault when a write fails.

        Args:
            share: bytes that an entry takes in the store for each byte here.
        """
        waiting = sum(entry.stat().st_size for entry in self.path.glob("*.npz"))
        needed = int(share * waiting) + 2**20
        free = shutil.disk_usage(self.path).free
        if free < needed:
            raise OSError(errno.ENOSPC, f"{needed} bytes needed, {free} free")

    def discard_others(self, keys: set[str]) -> int:
        """Remove every file that belongs to none of ``keys``; returns how many finished entries that were."""
        others = self.finished() - keys
        for entry in self.path.iterdir():
            if entry.name.startswith(".") or entry.name.split(".")[0] in others:
                entry.unlink(missing_ok=True)
        return len(others)

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Create the folder and hold it for this process; the lock ends with the process, however it ends.

        Raises:
            InputError: another process holds it, or it cannot be created.
        """
        try:
            import fcntl
        except ImportError:  # Windows: two runs on one store are up to the user there
            self._create()
            yield
            return
        while True:
            self._create()
            try:
                handle = os.open(self.path, os.O_RDONLY)
            except FileNotFoundError:  # the run that held it has just finished and removed it
                continue
            try:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise InputError(
                        f"{self.path}: another run is writing this store; wait for it or choose another --out"
                    ) from None
                if self._is(handle):
                    yield
                    return
            finally:
                os.close(handle)

    def _create(self) -> None:
        try:
            self.path.mkdir(exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.path}: the working folder cannot be created ({error.strerror})") from error

    def _is(self, handle: int) -> bool:
        """Whether an open folder is the one now under the path."""
        try:
            return os.path.samestat(os.fstat(handle), self.path.stat())
        except FileNotFoundError:
            return False


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A hidden neighbour to write, moved to ``path`` when the block ends well."""
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")  # of all processes of all machines
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise

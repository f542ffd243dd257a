"""What shape stores and sound stores share: an HDF5 file with a header, written atomically, with checked reading.

The root of each file has the attributes format, version, source, parameters (JSON: how it was made), digest (SHA-256
over the entries, in order) and complete (True, written last), and the dataset ``classes``, the names of the categories.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import h5py
import numpy as np

from pcrq import InputError
from pcrq.files import atomic_write

SPLITS = ("train", "val", "test")
"""Names of the splits of a store, in order. An entry of a source without splits has the split ""."""
KINDS = {"pcrq-shapes": "shape", "pcrq-sounds": "sound"}
"""What a store of each format contains."""
_TEXT = h5py.string_dtype("utf-8")
Writer = TypeVar("Writer", bound="StoreFileWriter")


def stored_kind(path: str | Path) -> str:
    """Return what a store contains: "shape" or "sound"; "" for another HDF5 file.

    Raises:
        InputError: the file is missing, unreadable or no HDF5 file.
    """
    with _open(Path(path), "store") as file:
        return KINDS.get(_format(file), "")


def check_split(split: str, name: str) -> None:
    """Check the split of an entry.

    Args:
        split: "train", "val", "test" or "".
        name: the entry, for the error message.

    Raises:
        InputError: it is another word.
    """
    if split and split not in SPLITS:
        raise InputError(f'{name}: split {split!r} is not one of {SPLITS}, nor "" for none')


class StoreFile:
    """A store opened for reading; base class of the readers.

    It can be sent to worker processes: every process opens its own handle.

    Args:
        path: an HDF5 file written by a :class:`StoreFileWriter` of the same format.

    Raises:
        InputError: the file is missing, damaged, unfinished, of another kind or of a newer version.
    """

    FORMAT: str
    VERSION: int
    offsets: np.ndarray  # of every entry, and the end; this and the next two are set by _read_tables
    category: np.ndarray
    split: list[str]

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._name = f"{KINDS[self.FORMAT]} store"
        self._handle: tuple[int, h5py.File, dict[str, h5py.Dataset]] | None = None  # process, its file and columns
        file = self._file
        try:
            self._check_header(file)
            self.source: str = file.attrs["source"]
            self.parameters: dict[str, Any] = json.loads(file.attrs["parameters"])
            self.digest: str = file.attrs["digest"]
            self.classes: list[str] = list(file["classes"].asstr()[:])
            self._read_tables(file)
        except (KeyError, OSError, RuntimeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{self.path}: the {self._name} is damaged ({error}); prepare it again") from error

    def _check_header(self, file: h5py.File) -> None:
        found = _format(file)
        if found in KINDS and found != self.FORMAT:
            raise InputError(f"{self.path}: a {KINDS[found]} store, but not a {self._name}; name another file")
        if found != self.FORMAT:
            raise InputError(f"{self.path}: an HDF5 file, but not a {self._name}; make one with 'pcrq prep'")
        if file.attrs["version"] > self.VERSION:
            raise InputError(
                f"{self.path}: {self._name} version {file.attrs['version']}, but this pcrq reads up to {self.VERSION}; "
                "update pcrq"
            )
        if not file.attrs.get("complete", False):
            raise InputError(f"{self.path}: the {self._name} was not written to its end; prepare it again")

    def _read_tables(self, file: h5py.File) -> None:
        """Read the small tables into memory; a KeyError or ValueError means that the file is damaged."""
        raise NotImplementedError

    @property
    def _file(self) -> h5py.File:
        """The handle of this process (HDF5 handles do not survive a fork)."""
        if self._handle is None or self._handle[0] != os.getpid():
            self._handle = (os.getpid(), _open(self.path, self._name), {})
        return self._handle[1]

    def _column(self, name: str) -> h5py.Dataset:
        """Return a dataset, opened once: opening takes several times as long as reading a short part of it."""
        file = self._file
        assert self._handle is not None
        columns = self._handle[2]
        if name not in columns:
            columns[name] = file[name]
        return columns[name]

    def __len__(self) -> int:
        return len(self.split)

    def indices(self, split: str | None = None) -> np.ndarray:
        """Return the (N,) int64 positions of the entries of one split, in store order; of all entries for None."""
        everything = np.arange(len(self))
        return everything if split is None else everything[np.asarray(self.split, dtype=object) == split]

    def select(self, split: str) -> tuple[str, np.ndarray]:
        """Return the entries of a split for training.

        Args:
            split: "train", "val", "test" or "all"; "auto" means "train" if the store has it, otherwise "all".

        Returns:
            The split, never "auto", and the (N,) int64 positions of its entries, in store order.

        Raises:
            InputError: the split has no entries.
        """
        if split == "auto":
            split = "train" if "train" in self.split else "all"
        indices = self.indices(None if split == "all" else split)
        if len(indices) == 0:
            available = ", ".join(sorted({name for name in self.split if name} | {"all"}))
            raise InputError(f"{self.path}: no {KINDS[self.FORMAT]} of split {split!r}; available: {available}")
        return split, indices

    def _entry_digest(self, index: int) -> bytes:
        """Read an entry as stored and return its digest, computed as by the writer."""
        raise NotImplementedError

    def verify(self) -> None:
        """Read every entry and compare the digest of all with that of the header.

        Raises:
            InputError: the content is not what was written.
        """
        digest = hashlib.sha256()
        for index in range(len(self)):
            digest.update(self._entry_digest(index))
        if digest.hexdigest() != self.digest:
            raise InputError(f"{self.path}: the content differs from what was written; prepare it again")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handle": None}

    def close(self) -> None:
        """Close the handle of this process; the next access opens it again."""
        if self._handle is not None:
            with contextlib.suppress(Exception):
                self._handle[1].close()
            self._handle = None


class StoreFileWriter:
    """A store opened for writing, a context manager; base class of the writers.

    The file appears under ``path`` only when the block ends without an exception; it replaces an older one.

    Args:
        path: the store to write; its folder must exist.
        classes: names of the categories.
        source: where the entries come from, in words.
        parameters: how they were made; plain values for JSON.

    Raises:
        InputError: the folder of ``path`` does not exist.
    """

    FORMAT: str
    VERSION: int

    def __init__(
        self,
        path: str | Path,
        *,
        classes: Sequence[str],
        source: str = "",
        parameters: dict[str, Any] | None = None,
    ):
        self.path = Path(path)
        if not self.path.parent.is_dir():
            raise InputError(f"{self.path}: the folder {self.path.parent} does not exist; create it first")
        self.classes = list(classes)
        self._about = {"source": source, "parameters": json.dumps(parameters or {}, sort_keys=True)}

    def __enter__(self: Writer) -> Writer:
        with contextlib.ExitStack() as stack:
            self._temporary = stack.enter_context(atomic_write(self.path))
            self._file = stack.enter_context(h5py.File(self._temporary, "w", track_order=False))
            self._stack = stack.pop_all()
        self._offsets = [0]
        self._rows: list[tuple[Any, ...]] = []  # of the tables, one per entry
        self._digest = hashlib.sha256()
        self._ids: set[str] = set()
        self._begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._stack:  # closes the file, then moves it to its name unless there is an exception
            if error is not None:
                raise error
            self._finish()
            header = {"format": self.FORMAT, "version": self.VERSION, "digest": self._digest.hexdigest()}
            self._file.attrs.update(**header, **self._about)
            self._file.attrs["complete"] = True
            self._file.close()
            with self._temporary.open("r+b") as written:
                os.fsync(written.fileno())

    def _begin(self) -> None:
        """Create the datasets that grow with every entry."""
        raise NotImplementedError

    def _finish(self) -> None:
        """Write the tables that are complete only at the end, including ``classes``."""
        raise NotImplementedError

    def _claim(self, id: str, category: int) -> None:
        """Check that the id is new and the category one of the classes."""
        if id in self._ids:
            raise InputError(f"{self.path}: the {KINDS[self.FORMAT]} id {id!r} occurs twice; ids must be unique")
        if not -1 <= category < len(self.classes):
            raise InputError(f"{id}: category {category} is not one of {len(self.classes)} classes")
        self._ids.add(id)

    def _extend(self, name: str, values: np.ndarray) -> None:
        """Append the values of one entry to a dataset."""
        start, stop = self._offsets[-1], self._offsets[-1] + len(values)
        self._file[name].resize(stop, axis=0)
        self._file[name][start:stop] = values

    def _write_names(self, name: str, names: Sequence[str]) -> None:
        self._file.create_dataset(name, (len(names),), _TEXT, data=list(names))


def _format(file: h5py.File) -> str:
    found = file.attrs.get("format", "")
    return found if isinstance(found, str) else ""


def _open(path: Path, name: str) -> h5py.File:
    if not path.exists():
        raise InputError(f"{path}: no such file; make a {name} with 'pcrq prep'")
    if path.is_dir():
        raise InputError(f"{path}: a folder, not a {name}; name the .h5 file")
    try:
        return h5py.File(path, "r", locking="best-effort")  # h5py's own default, so that both can be open at once
    except OSError as error:
        if "truncated" in str(error):
            raise InputError(f"{path}: the file is cut short (truncated); copy or prepare it again") from error
        if not os.access(path, os.R_OK):
            raise InputError(f"{path}: no permission to read it") from error
        raise InputError(f"{path}: not an HDF5 file, so not a {name}; make one with 'pcrq prep'") from error


_STORE = re.compile(r"(?P<path>.+\.(?:h5|hdf5))(?::(?P<key>.*))?", re.IGNORECASE | re.DOTALL)


def split_store_name(name: str) -> tuple[str, str] | None:
    """Split ``STORE.h5`` or ``STORE.h5:KEY``.

    Args:
        name: what the user named.

    Returns:
        The path of the store, and the index or id after the colon, "" without one. None if it does not name a store.
    """
    match = _STORE.fullmatch(name)
    return None if match is None else (match["path"], match["key"] or "")


def entry_index(store: StoreFile, ids: Sequence[str], key: str) -> int:
    """Return the position of an entry in its store.

    Args:
        store: an open store of shapes or sounds.
        ids: ids of its entries, in order.
        key: an index (negative ones count from the end) or an id.

    Raises:
        InputError: there is no such entry; the message names existing ones.
    """
    kind, count = KINDS[store.FORMAT], len(store)
    if count == 0:
        raise InputError(f"{store.path}: the store is empty; name a store with {kind}s")
    entries = f"the store contains {count} {kind}{'s' if count > 1 else ''}, 0 to {count - 1}"
    if not key:
        raise InputError(f"{store.path}: name one of its {kind}s, as in {store.path}:0; {entries}")
    if re.fullmatch(r"[+-]?\d+", key):
        index = int(key)
        if not -count <= index < count:
            raise InputError(f"{store.path}: there is no {kind} {index}; {entries}")
        return index
    if key not in ids:
        close = difflib.get_close_matches(key, ids, n=3)
        like = f"; close to it are {', '.join(close)}" if close else f", such as {ids[0]}"
        raise InputError(f"{store.path}: no {kind} has the id {key!r}; name an index or an id{like}")
    return ids.index(key)

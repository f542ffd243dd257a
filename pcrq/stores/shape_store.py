"""The shape store: one HDF5 file with a prepared dataset of point clouds, read shape by shape.

Layout (plain ``h5py`` reads it; S shapes, N points over all shapes)::

    /                    attributes: format "pcrq-shapes", version 1, source, parameters (JSON),
                         digest (SHA-256 over the shapes, in order), complete (True, written last)
    /points              (N, 3) float32   coordinates, normalised to the unit ball, y upward
    /normals             (N, 3) int8      unit normal * 127
    /labels              (N,)   uint8     part of every point       (only if parts are known)
    /patches             (N,)   uint8     patch of every point      (only if patches were made)
    /shapes/offsets      (S+1,) int64     shape i owns points[offsets[i]:offsets[i+1]]
    /shapes/category     (S,)   int32     index into classes, -1 if unknown
    /shapes/id           (S,)   UTF-8     name of the shape in its source, unique
    /shapes/split        (S,)   UTF-8     "train", "val", "test", or "" if the source has no splits
    /shapes/center       (S, 3) float32   \\ source coordinates = points * radius + center
    /shapes/radius       (S,)   float32   /
    /classes             (K,)   UTF-8     names of the categories
    /parts               (P,)   UTF-8     names of the parts        (only with /labels)

A point takes 15 to 17 bytes. The file is written atomically, so a file under the final name is complete.
:meth:`ShapeStore.verify` finds later damage by the digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from pcrq import InputError
from pcrq.stores.store_file import StoreFile, StoreFileWriter, check_split

FORMAT = "pcrq-shapes"
VERSION = 1
_CHUNK = 4096  # points: about 50 KB of coordinates, close to the size of one shape


@dataclass(frozen=True)
class Shape:
    """One prepared point cloud.

    Args:
        points: (N, 3) float32 coordinates inside the unit ball, y upward.
        normals: (N, 3) float32 unit normals.
        id: name of the shape in its source, unique in a store.
        category: index into the store's ``classes``, -1 if unknown.
        split: "train", "val", "test" or "".
        labels: (N,) integers in [0, 255], the part of every point, or None.
        patches: (N,) integers in [0, 255], the patch of every point, or None.
        center, radius: source coordinates = ``points * radius + center``.
        index: position in the store it was read from, -1 if it was not read from a store.
    """

    points: np.ndarray
    normals: np.ndarray
    id: str
    category: int = -1
    split: str = ""
    labels: np.ndarray | None = None
    patches: np.ndarray | None = None
    center: tuple[float, float, float] = (0.0, 0.0, 0.0)
    radius: float = 1.0
    index: int = -1


class ShapeStoreWriter(StoreFileWriter):
    """Write shapes one after another to a new store; a context manager.

    The file appears under ``path`` only when the block ends without an exception; it replaces an older one.

    Args:
        path: the store to write; its folder must exist.
        classes: names of the categories.
        parts: names of the parts; required if the shapes have ``labels``, else None.
        patches: whether the shapes have ``patches``.
        source: where the shapes come from, in words.
        parameters: how they were made; plain values for JSON.

    Raises:
        InputError: the folder of ``path`` does not exist, or (from :meth:`append`) a shape does not fit.
    """

    FORMAT, VERSION = FORMAT, VERSION

    def __init__(
        self,
        path: str | Path,
        *,
        classes: Sequence[str],
        parts: Sequence[str] | None = None,
        patches: bool = True,
        source: str = "",
        parameters: dict[str, Any] | None = None,
    ):
        super().__init__(path, classes=classes, source=source, parameters=parameters)
        self.parts = None if parts is None else list(parts)
        self.patches = patches

    def _begin(self) -> None:
        columns: dict[str, tuple[int | None, str]] = {"points": (3, "<f4"), "normals": (3, "i1")}
        if self.parts is not None:
            columns["labels"] = (None, "u1")
        if self.patches:
            columns["patches"] = (None, "u1")
        for name, (width, dtype) in columns.items():
            tail = () if width is None else (width,)
            self._file.create_dataset(name, (0, *tail), dtype, maxshape=(None, *tail), chunks=(_CHUNK, *tail))
        self._columns = list(columns)

    def append(self, shape: Shape) -> None:
        """Add one shape at the end.

        Raises:
            InputError: an array has the wrong length or range, a value is not finite, or the id is taken.
        """
        arrays = _encode(shape, self._columns)
        if self.parts is not None and int(arrays["labels"].max()) >= len(self.parts):
            raise InputError(f"{shape.id}: part label {arrays['labels'].max()} is not one of {len(self.parts)} parts")
        self._claim(shape.id, shape.category)
        for name, array in arrays.items():
            self._extend(name, array)
        self._offsets.append(self._offsets[-1] + len(arrays["points"]))
        row = (shape.category, shape.id, shape.split, tuple(map(float, shape.center)), float(shape.radius))
        self._rows.append(row)
        self._digest.update(_shape_digest(arrays, *row))

    def _finish(self) -> None:
        file, rows = self._file, self._rows
        file["shapes/offsets"] = np.asarray(self._offsets, "<i8")
        file["shapes/category"] = np.asarray([row[0] for row in rows], "<i4")
        for column, name in ((1, "id"), (2, "split")):
            self._write_names(f"shapes/{name}", [row[column] for row in rows])
        file["shapes/center"] = np.asarray([row[3] for row in rows], "<f4").reshape(-1, 3)
        file["shapes/radius"] = np.asarray([row[4] for row in rows], "<f4")
        self._write_names("classes", self.classes)
        if self.parts is not None:
            self._write_names("parts", self.parts)


class ShapeStore(StoreFile):
    """Random access to the shapes of a store: ``store[index]``, ``len(store)``, iteration.

    Opening reads the small per-shape tables; points are read on demand. The object can be sent to worker
    processes: every process opens its own handle.

    Args:
        path: an HDF5 file written by :class:`ShapeStoreWriter`.

    Raises:
        InputError: the file is missing, damaged, unfinished, of another kind or of a newer version.
    """

    FORMAT, VERSION = FORMAT, VERSION

    def _read_tables(self, file: h5py.File) -> None:
        self.offsets: np.ndarray = file["shapes/offsets"][:]
        self.category: np.ndarray = file["shapes/category"][:]
        self.id: list[str] = list(file["shapes/id"].asstr()[:])
        self.split: list[str] = list(file["shapes/split"].asstr()[:])
        self._center, self._radius = file["shapes/center"][:], file["shapes/radius"][:]
        self.parts: list[str] | None = list(file["parts"].asstr()[:]) if "parts" in file else None
        self.has_patches: bool = "patches" in file
        self._columns = ["points", "normals"]
        self._columns += ["labels"] if self.parts is not None else []
        self._columns += ["patches"] if self.has_patches else []
        lengths = {
            len(self.category),
            len(self.id),
            len(self.split),
            len(self._radius),
            len(self.offsets) - 1,
        }
        if len(lengths) != 1 or any(len(file[name]) != self.offsets[-1] for name in self._columns):
            raise InputError(f"{self.path}: the tables of the shape store differ in length; prepare it again")

    def __iter__(self) -> Iterator[Shape]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Shape:
        """Read one shape; negative indices count from the end.

        Raises:
            IndexError: there is no such shape.
            InputError: the file is damaged there.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.path}: no shape {index}; the store contains {len(self)}")
        index %= len(self)
        arrays = self._read(index)
        normals = arrays["normals"].astype(np.float32)
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
        return Shape(
            points=arrays["points"],
            normals=normals,
            id=self.id[index],
            category=int(self.category[index]),
            split=self.split[index],
            labels=arrays.get("labels"),
            patches=arrays.get("patches"),
            center=tuple(self._center[index].tolist()),
            radius=float(self._radius[index]),
            index=index,
        )

    def _read(self, index: int) -> dict[str, np.ndarray]:
        start, stop = self.offsets[index], self.offsets[index + 1]
        try:
            return {name: self._column(name)[start:stop] for name in self._columns}
        except (OSError, RuntimeError) as error:
            raise InputError(f"{self.path}: shape {index} cannot be read ({error}); prepare it again") from error

    @property
    def counts(self) -> np.ndarray:
        """(S,) int64 number of points of every shape."""
        return np.diff(self.offsets)

    def _entry_digest(self, index: int) -> bytes:
        center, radius = tuple(self._center[index].tolist()), float(self._radius[index])
        row = (int(self.category[index]), self.id[index], self.split[index], center, radius)
        return _shape_digest(self._read(index), *row)


def _encode(shape: Shape, columns: Sequence[str]) -> dict[str, np.ndarray]:
    """Check the arrays of a shape and convert them to their stored types."""
    check_split(shape.split, shape.id)
    points, normals = np.asarray(shape.points, np.float32), np.asarray(shape.normals, np.float32)
    if points.ndim != 2 or points.shape[1] != 3 or len(points) == 0:
        raise InputError(f"{shape.id}: points of shape {points.shape}, expected (N, 3) with N > 0")
    if normals.shape != points.shape:
        raise InputError(f"{shape.id}: normals of shape {normals.shape}, expected {points.shape}")
    if not (np.isfinite(points).all() and np.isfinite(normals).all()):
        raise InputError(f"{shape.id}: points or normals are not finite")
    arrays = {"points": points, "normals": np.rint(normals.clip(-1, 1) * 127).astype(np.int8)}
    for name in ("labels", "patches"):
        values = getattr(shape, name)
        if (values is not None) != (name in columns):
            given, store = ("missing", "has") if values is None else ("given", "is written without")
            raise InputError(f"{shape.id}: {name} are {given}, but the store {store} {name}")
        if values is None:
            continue
        values = np.asarray(values)
        if values.shape != (len(points),) or values.min() < 0 or values.max() > 255:
            raise InputError(f"{shape.id}: {name} must be {len(points)} integers in [0, 255]")
        arrays[name] = values.astype(np.uint8)
    return arrays


def _shape_digest(
    arrays: dict[str, np.ndarray], category: int, id_: str, split: str, center: Sequence[float], radius: float
) -> bytes:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    digest.update(json.dumps([category, id_, split]).encode())
    digest.update(np.asarray([*center, radius], "<f4").tobytes())
    return digest.digest()

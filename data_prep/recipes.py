"""The part of a preparation run that differs between shapes and sounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from data_prep.mesh import Mesh
from data_prep.pipeline import SHAPE_VERSION, Pipeline, make_shape
from data_prep.point_cloud import PointCloud
from pcrq import InputError
from pcrq.stores.shape_store import Shape, ShapeStore, ShapeStoreWriter
from pcrq.stores.sound_store import RATE, Sound, SoundStore, SoundStoreWriter, quantize
from pcrq.stores.store_file import StoreFile, StoreFileWriter

SOUND_VERSION = 1
"""Increases when the same input gives another sound, so that sounds prepared before are prepared again."""
_COLUMNS = ("points", "normals", "labels", "patches")


class Recipe(Protocol):
    """Makes an entry of a store from what an item loads; workers receive it, so it must be picklable.

    Attributes:
        kind: name of an entry in messages, "shape" or "sound".
        parameters: all settings, besides its source, that an entry depends on, as JSON types; recorded in the store.
        parts: names of the parts that the labels of entries refer to; None if entries have no labels.
        share: bytes that an entry takes in the store for each byte of the arrays that :meth:`make` returns.
    """

    kind: str
    share: float

    @property
    def parameters(self) -> dict: ...

    @property
    def parts(self) -> Sequence[str] | None: ...

    def make(self, source: Any, id: str) -> Mapping[str, np.ndarray]:
        """Called in a worker: the arrays of an entry from what its item has loaded.

        Raises:
            InputError: the source cannot be used.
        """

    def entry(self, arrays: Mapping[str, np.ndarray], **about: Any) -> Any:
        """The argument of the writer's ``append``; ``about`` are id, category, split and fold."""

    def writer(self, path: Path, **options: Any) -> StoreFileWriter:
        """A writer of the store; ``options`` are its classes, source and parameters."""

    def open(self, path: Path) -> StoreFile:
        """The store, which has ``offsets``."""


@dataclass(frozen=True)
class ShapeRecipe:
    """Makes shapes with a pipeline; a :class:`Recipe`.

    Args:
        pipeline: the settings.
        parts: names of the parts if the meshes or point clouds have labels; None drops labels.
    """

    kind: ClassVar[str] = "shape"
    share: ClassVar[float] = 0.75  # a normal takes 3 bytes in a store and 12 before

    pipeline: Pipeline
    parts: Sequence[str] | None = None

    @property
    def parameters(self) -> dict:
        return {"preparation": SHAPE_VERSION, **asdict(self.pipeline)}

    def make(self, source: Mesh | PointCloud, id: str) -> dict[str, np.ndarray]:
        shape = _with_labels(make_shape(source, id, self.pipeline), self.parts)
        columns = {name: getattr(shape, name) for name in _COLUMNS if getattr(shape, name) is not None}
        return {"center": np.asarray(shape.center), "radius": np.asarray(shape.radius), **columns}

    def entry(self, arrays: Mapping[str, np.ndarray], *, id: str, category: int, split: str, fold: int) -> Shape:
        columns = {name: arrays[name] for name in _COLUMNS if name in arrays}
        center, radius = tuple(arrays["center"].tolist()), float(arrays["radius"])
        return Shape(**columns, id=id, category=category, split=split, center=center, radius=radius)

    def writer(self, path: Path, **options: Any) -> ShapeStoreWriter:
        return ShapeStoreWriter(path, parts=self.parts, patches=self.pipeline.patches > 0, **options)

    def open(self, path: Path) -> ShapeStore:
        return ShapeStore(path)


@dataclass(frozen=True)
class SoundRecipe:
    """Stores the samples of a sound, 16 kHz mono, in 16 bits; a :class:`Recipe`.

    Args:
        task: name of the evaluation task on the store, such as "NS"; "" for none.
        seconds: length that the evaluation takes of every clip; the store contains whole clips. 0 without a task.
    """

    kind: ClassVar[str] = "sound"
    share: ClassVar[float] = 1.0
    parts: ClassVar[None] = None

    task: str = ""
    seconds: float = 0.0

    @property
    def parameters(self) -> dict:
        task = {"task": self.task, "seconds": self.seconds} if self.task else {}
        return {"preparation": SOUND_VERSION, "rate": RATE, **task}

    def make(self, source: np.ndarray, id: str) -> dict[str, np.ndarray]:
        return {"samples": quantize(source, id)}

    def entry(self, arrays: Mapping[str, np.ndarray], **about: Any) -> Sound:
        return Sound(samples=arrays["samples"], **about)

    def writer(self, path: Path, **options: Any) -> SoundStoreWriter:
        return SoundStoreWriter(path, **options)

    def open(self, path: Path) -> SoundStore:
        return SoundStore(path)


def _with_labels(shape: Shape, parts: Sequence[str] | None) -> Shape:
    """The shape with labels exactly if the store has them."""
    if parts is None:
        return replace(shape, labels=None)
    if shape.labels is None:
        raise InputError(f"{shape.id}: its parts are not labeled, unlike those of this dataset")
    if shape.labels.min() < 0 or shape.labels.max() >= len(parts):
        raise InputError(f"{shape.id}: labels {shape.labels.min()} to {shape.labels.max()}, but {len(parts)} parts")
    return shape

"""How a preparation run makes shapes: from a mesh or point cloud to an entry of a shape store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from data_prep.mesh import Mesh
from data_prep.pipeline import VERSION, Pipeline, make_shape
from data_prep.point_cloud import PointCloud
from pcrq.errors import InputError
from pcrq.stores.shape_store import Shape, ShapeStore, ShapeStoreWriter

_COLUMNS = ("points", "normals", "labels", "patches")


@dataclass(frozen=True)
class ShapeRecipe:
    """Follow a pipeline; a :class:`~data_prep.recipe.Recipe`.

    Args:
        pipeline: how shapes are made.
        parts: names of the parts where the meshes or point clouds carry labels; None drops labels.
    """

    kind: ClassVar[str] = "shape"
    share: ClassVar[float] = 0.75  # normals take 3 bytes in a store and 12 before

    pipeline: Pipeline
    parts: Sequence[str] | None = None

    @property
    def parameters(self) -> dict:
        return {"preparation": VERSION, **asdict(self.pipeline)}

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


def _with_labels(shape: Shape, parts: Sequence[str] | None) -> Shape:
    """The shape with labels exactly if the store has them."""
    if parts is None:
        return replace(shape, labels=None)
    if shape.labels is None:
        raise InputError(f"{shape.id}: its parts are not labelled, unlike those of this data set")
    if shape.labels.min() < 0 or shape.labels.max() >= len(parts):
        raise InputError(f"{shape.id}: labels {shape.labels.min()} to {shape.labels.max()}, but {len(parts)} parts")
    return shape

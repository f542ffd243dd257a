"""The shape that the user names: a mesh, a point cloud, or one shape of a store."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from pathlib import Path

from data_prep.mesh import MESH_FORMATS, load_mesh
from data_prep.pipeline import Pipeline, make_shape
from data_prep.point_cloud import POINT_CLOUD_FORMATS, PointCloud, load_point_cloud
from pcrq.errors import InputError
from pcrq.stores.shape_store import Shape, ShapeStore
from pcrq.stores.store_file import entry_index, split_store_name
from projects.point_cloud.view.estimated_normals import estimate_normals

logger = logging.getLogger(__name__)


def load_shape(name: str) -> tuple[Shape, list[str]]:
    """Read the shape that ``name`` stands for.

    Args:
        name: a mesh or point-cloud file, or ``STORE.h5:key``, the key being an index (negative ones count from the
            end) or the id of a shape.

    Returns:
        The shape, inside the unit ball, and the names of the parts its labels stand for ([] where there are none).
        A mesh is scanned and a point cloud simplified as the preparation run does it.

    Raises:
        InputError: there is no such file or shape, or it cannot be used.
    """
    named = split_store_name(name)
    if named is None:
        return _prepare(Path(name)), []
    path, key = named
    store = ShapeStore(path)
    try:
        return store[entry_index(store, store.id, key)], store.parts or []
    finally:
        store.close()


def _prepare(path: Path) -> Shape:
    if path.is_dir():
        raise InputError(f"{path}: a folder; name a file in it")
    suffix = path.suffix.lower()
    if suffix not in (*MESH_FORMATS, *POINT_CLOUD_FORMATS):
        formats = " ".join(dict.fromkeys((*MESH_FORMATS, *POINT_CLOUD_FORMATS)))
        raise InputError(f"{path}: name a mesh or point cloud ({formats}) or a shape of a store, as in STORE.h5:0")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    is_mesh = _has_faces(path) if suffix == ".ply" else suffix in MESH_FORMATS
    return make_shape(load_mesh(path) if is_mesh else _load_cloud(path), path.stem, Pipeline(patches=0))


def _load_cloud(path: Path) -> PointCloud:
    cloud = load_point_cloud(path)
    if cloud.normals is not None:
        return cloud
    logger.info("%s: has no normals, so they are estimated from neighbouring points", path)
    return replace(cloud, normals=estimate_normals(cloud.points))


def _has_faces(path: Path) -> bool:
    """Whether the header of a PLY file announces faces; the format holds meshes and point clouds."""
    with path.open("rb") as file:
        header = file.read(65536).partition(b"end_header")[0]
    return re.search(rb"element\s+(face|tristrips)\s+[1-9]", header) is not None

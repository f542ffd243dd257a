"""The shape that the user names: a mesh, a point cloud, or one shape of a store."""

from __future__ import annotations

import difflib
import logging
import re
from dataclasses import replace
from pathlib import Path

from data_prep.mesh_loading import MESH_FORMATS, load_mesh
from data_prep.pipeline import Pipeline, prepare_shape
from data_prep.point_cloud import PointCloud
from data_prep.point_cloud_loading import POINT_CLOUD_FORMATS, load_point_cloud
from octree.shape_store import Shape, ShapeStore
from pcrq.errors import InputError
from projects.point_cloud.view.estimated_normals import estimate_normals

logger = logging.getLogger(__name__)

_STORE = re.compile(r"(?P<path>.+\.(?:h5|hdf5))(?::(?P<key>.*))?", re.IGNORECASE | re.DOTALL)


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
    match = _STORE.fullmatch(name)
    if match is None:
        return _prepare(Path(name)), []
    store = ShapeStore(match["path"])
    try:
        return store[_index(store, match["key"])], store.parts or []
    finally:
        store.close()


def _index(store: ShapeStore, key: str | None) -> int:
    """The position of a shape in its store, from an index or an id."""
    count = len(store)
    if count == 0:
        raise InputError(f"{store.path}: the store holds no shapes")
    shapes = f"the store holds {count} shape{'s' if count > 1 else ''}, 0 to {count - 1}"
    if not key:
        raise InputError(f"{store.path}: name one of its shapes, as in {store.path}:0; {shapes}")
    if re.fullmatch(r"[+-]?\d+", key):
        index = int(key)
        if not -count <= index < count:
            raise InputError(f"{store.path}: there is no shape {index}; {shapes}")
        return index
    if key not in store.id:
        close = difflib.get_close_matches(key, store.id, n=3)
        like = f"; close to it are {', '.join(close)}" if close else f", such as {store.id[0]}"
        raise InputError(f"{store.path}: no shape has the id {key!r}; name an index or an id{like}")
    return store.id.index(key)


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
    return prepare_shape(load_mesh(path) if is_mesh else _load_cloud(path), path.stem, Pipeline(patches=0))


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

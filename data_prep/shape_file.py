"""Read a file that may hold a mesh or a point cloud."""

from __future__ import annotations

from pathlib import Path

from data_prep.mesh import Mesh
from data_prep.mesh_loading import MESH_FORMATS, Axis, load_mesh
from data_prep.point_cloud import PointCloud
from data_prep.point_cloud_loading import POINT_CLOUD_FORMATS, load_point_cloud
from pcrq.errors import InputError


def load_shape_file(path: str | Path, *, up: Axis = "y") -> Mesh | PointCloud:
    """Read a mesh or point-cloud file; a ply is a mesh if it has faces.

    Args:
        path: a file of any format of ``mesh_loading`` or ``point_cloud_loading``.
        up: the axis of a mesh file that points upward; point clouds are taken as they are.

    Raises:
        InputError: the file is missing, of another kind, damaged or empty.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in MESH_FORMATS + POINT_CLOUD_FORMATS:
        known = " ".join(dict.fromkeys(MESH_FORMATS + POINT_CLOUD_FORMATS))
        raise InputError(f"{path}: {suffix or 'a file without suffix'} is not one of {known}")
    if suffix in POINT_CLOUD_FORMATS and not (suffix == ".ply" and _has_faces(path)):
        return load_point_cloud(path)
    return load_mesh(path, up=up)


def _has_faces(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            header = file.read(65536).split(b"end_header")[0]
    except OSError:
        return True  # the loader says what is wrong
    counts = [line.split() for line in header.splitlines() if line.startswith(b"element face")]
    return any(words[2:] and words[2] != b"0" for words in counts)

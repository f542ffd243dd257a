"""Read a point cloud to look at; where a file has no normals, they are estimated from neighbouring points."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import numpy as np

from data_prep.point_cloud import PointCloud
from pcrq.errors import InputError

logger = logging.getLogger(__name__)

POINT_CLOUD_FORMATS = (".ply", ".xyz", ".xyzn", ".txt")
_NEIGHBOURS = 20  # for estimating a normal


def is_point_cloud(path: Path) -> bool:
    """Whether a file holds points without faces; a PLY file can hold either."""
    if path.suffix.lower() != ".ply":
        return path.suffix.lower() in POINT_CLOUD_FORMATS
    with path.open("rb") as file:
        header = file.read(65536).partition(b"end_header")[0]
    return header.startswith(b"ply") and re.search(rb"element\s+(face|tristrips)\s+[1-9]", header) is None


def read_point_cloud(path: Path) -> PointCloud:
    """Read points and normals.

    Args:
        path: a ply file, or text (xyz, xyzn, txt) with a point on every line: x y z, or x y z nx ny nz,
            between blanks or commas. Further columns are left out.

    Returns:
        The points, y upward as in the file, with (N, 3) float64 unit normals.

    Raises:
        InputError: the file is damaged or holds no finite points.
    """
    try:
        columns = _read_ply(path) if path.suffix.lower() == ".ply" else _read_text(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(f"{path}: not a readable point cloud ({error}); export it again") from error
    if columns.ndim != 2 or columns.shape[1] < 3:
        raise InputError(f"{path}: no points in it; a point cloud has x y z on every line")
    columns = columns[np.isfinite(columns).all(axis=1)]
    if len(columns) == 0:
        raise InputError(f"{path}: no finite points in it")
    points = columns[:, :3]
    if columns.shape[1] >= 6:
        return PointCloud(points, columns[:, 3:6])
    logger.info("%s: has no normals, so they are estimated from neighbouring points", path)
    return PointCloud(points, _estimate_normals(points))


def _read_ply(path: Path) -> np.ndarray:
    # trimesh, because Open3D returns uninitialised points for a file that is cut short.
    import trimesh

    cloud = trimesh.load(path, file_type="ply", process=False)
    vertices = cloud.metadata["_ply_raw"]["vertex"]["data"]
    names = set(vertices.dtype.names if isinstance(vertices, np.ndarray) else vertices)
    wanted = ("x", "y", "z", "nx", "ny", "nz") if {"nx", "ny", "nz"} <= names else ("x", "y", "z")
    return np.stack([np.asarray(vertices[name], np.float64).ravel() for name in wanted], axis=1)


def _read_text(path: Path) -> np.ndarray:
    lines = path.read_text(encoding="utf-8").replace(",", " ").splitlines()
    columns = np.loadtxt(lines, dtype=np.float64, ndmin=2) if any(lines) else np.empty((0, 3))
    # Six columns or more begin with a normal only where these have length one; they may be colours.
    lengths = np.linalg.norm(columns[:, 3:6], axis=1)
    return columns if columns.shape[1] >= 6 and np.allclose(lengths, 1, atol=0.05) else columns[:, :3]


def _estimate_normals(points: np.ndarray) -> np.ndarray:
    """Unit normals that look away from the middle; good enough for colours."""
    import open3d

    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
    cloud.estimate_normals(open3d.geometry.KDTreeSearchParamKNN(_NEIGHBOURS))
    cloud.orient_normals_towards_camera_location(points.mean(axis=0))
    return -np.asarray(cloud.normals)

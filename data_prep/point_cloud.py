"""Point clouds, and reading them from files: ply, npz, and text with x y z columns."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_prep.file_checks import check_format
from pcrq import InputError

POINT_CLOUD_FORMATS = (".ply", ".npz", ".xyz", ".pts", ".txt")
"""File suffixes that :func:`load_point_cloud` reads."""

_POSITION_NAMES = ("points", "xyz", "pos", "pointcloud", "vertices", "arr_0")
_NORMAL_NAMES = ("normals", "normal", "arr_1")


@dataclass(frozen=True)
class PointCloud:
    """A point cloud in the units of its source, y upward.

    Args:
        points: (N, 3) float coordinates.
        normals: (N, 3) float unit normals, or None if they are unknown.
        labels: (N,) integers, the part of every point, or None if parts are unknown.
    """

    points: np.ndarray
    normals: np.ndarray | None = None
    labels: np.ndarray | None = None


def load_point_cloud(path: str | Path) -> PointCloud:
    """Read one point cloud.

    Args:
        path: a ply file, whose faces are ignored; an npz file with an array ``points`` (or xyz, pos, pointcloud,
            vertices) and optionally ``normals``; an xyz, pts or txt file with at least three numbers per line, whose
            fourth to sixth are normals if they have unit length. A first line that only counts the points is skipped.

    Returns:
        (N, 3) float64 points, N > 0, all finite; rows with NaN or infinity are dropped. Normals of the file at unit
        length, None if it has none.

    Raises:
        InputError: the file is missing, of another format, damaged, contains pickled objects or no usable point.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in POINT_CLOUD_FORMATS:
        raise InputError(f"{path}: {suffix or 'a file without suffix'} is not one of {' '.join(POINT_CLOUD_FORMATS)}")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    check_format(data, suffix, str(path))
    read = {".ply": _read_ply, ".npz": _read_npz}.get(suffix, _read_text)
    try:
        points, normals = read(data, str(path))
        points = np.asarray(points, np.float64)
        normals = None if normals is None else np.asarray(normals, np.float64)
    except InputError:
        raise
    except Exception as error:  # parsers of damaged files raise any exception
        detail = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(f"{path}: not a readable point cloud ({detail})") from error
    if points.ndim != 2 or points.shape[1] != 3:
        raise InputError(f"{path}: points of shape {points.shape}, expected (N, 3)")
    return _usable(points, normals, str(path))


def _usable(points: np.ndarray, normals: np.ndarray | None, name: str) -> PointCloud:
    if normals is not None and normals.shape != points.shape:
        raise InputError(f"{name}: normals of shape {normals.shape}, points of shape {points.shape}")
    finite = np.isfinite(points).all(1)
    if not finite.any():
        raise InputError(f"{name}: {f'all {len(points)} points are not finite' if len(points) else 'no points'}")
    points, normals = points[finite], None if normals is None else normals[finite]
    if normals is not None:
        length = np.linalg.norm(normals, axis=1, keepdims=True)
        normals = normals / length if (length > 0).all() and np.isfinite(length).all() else None
    return PointCloud(points, normals)


def _read_ply(data: bytes, name: str) -> tuple[np.ndarray, np.ndarray | None]:
    import trimesh  # heavy

    loaded = trimesh.load(io.BytesIO(data), file_type="ply", process=False, skip_materials=True)
    vertices = getattr(loaded, "vertices", None)
    if vertices is None or len(vertices) == 0:
        raise InputError(f"{name}: no points")
    columns = loaded.metadata.get("_ply_raw", {}).get("vertex", {}).get("data")
    return vertices, _ply_normals(columns)


def _ply_normals(columns) -> np.ndarray | None:
    """The columns nx, ny, nz of trimesh's raw vertex element: a structured array (binary) or a dict (text)."""
    names = getattr(getattr(columns, "dtype", None), "names", None) or (columns if isinstance(columns, dict) else ())
    if not {"nx", "ny", "nz"} <= set(names):
        return None
    return np.stack([np.asarray(columns[axis], np.float64).ravel() for axis in ("nx", "ny", "nz")], axis=1)


def _read_npz(data: bytes, name: str) -> tuple[np.ndarray, np.ndarray | None]:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            points = next((key for key in _POSITION_NAMES if key in arrays), None)
            if points is None:
                raise InputError(f"{name}: arrays {list(arrays)}, expected one named 'points' of shape (N, 3)")
            normals = next((key for key in _NORMAL_NAMES if key in arrays), None)
            return arrays[points], None if normals is None else arrays[normals]
    except zipfile.BadZipFile as error:
        raise InputError(f"{name}: damaged or truncated ({error}); copy it again") from error
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        raise InputError(
            f"{name}: contains pickled Python objects, which could run code and are never loaded; "
            "save plain number arrays with numpy.savez"
        ) from error


def _read_text(data: bytes, name: str) -> tuple[np.ndarray, np.ndarray | None]:
    lines = [line.split(b"#")[0].replace(b",", b" ").split() for line in data.splitlines()]
    lines = [line for line in lines if line]
    if lines and len(lines[0]) == 1:  # the count that begins a pts file
        lines = lines[1:]
    widths = {len(line) for line in lines}
    if len(widths) != 1 or min(widths) < 3:
        raise InputError(f"{name}: lines of {sorted(widths)} numbers, expected three or more, the same on every line")
    table = np.array(lines).astype(np.float64)
    may_be_normals = table[:, 3:6]
    unit = may_be_normals.shape[1] == 3 and np.allclose(np.linalg.norm(may_be_normals, axis=1), 1, atol=0.01)
    return table[:, :3], may_be_normals if unit else None

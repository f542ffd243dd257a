"""Read the shape to show, and make coloured clouds of it, original and quantized."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import cKDTree

from data_prep.mesh import MESH_FORMATS, load_mesh
from data_prep.pipeline import Pipeline, make_shape
from data_prep.point_cloud import POINT_CLOUD_FORMATS, PointCloud, load_point_cloud
from pcrq import InputError, randomized_quantize_points
from pcrq.stores import Shape, ShapeStore, entry_index, split_store_name

logger = logging.getLogger(__name__)

DEPTH = 6  # of the octrees in the paper
NORMAL_NEIGHBOURS = 20

# Twelve hues that also differ in lightness, so that parts remain distinct for colour-blind readers and in print.
PART_COLOURS = np.array(
    [
        (0.27, 0.47, 0.77), (0.96, 0.62, 0.20), (0.35, 0.68, 0.42), (0.86, 0.33, 0.33),
        (0.58, 0.46, 0.76), (0.42, 0.74, 0.82), (0.93, 0.80, 0.33), (0.90, 0.55, 0.70),
        (0.50, 0.38, 0.30), (0.62, 0.78, 0.35), (0.45, 0.50, 0.56), (0.15, 0.35, 0.45),
    ],
    dtype=np.float32,
)  # fmt: skip


@dataclass(frozen=True)
class Cloud:
    """Coloured points.

    Args:
        points: (N, 3) float32 coordinates in [-1, 1], y upward.
        colours: (N, 3) float32 red, green, blue in [0, 1].
        title: a few words.
    """

    points: np.ndarray
    colours: np.ndarray
    title: str = ""

    @property
    def distinct(self) -> int:
        """Number of distinct points."""
        return len(np.unique(self.points, axis=0))

    @property
    def leaves(self) -> int:
        """Number of non-empty leaves of the octree of depth 6 over [-1, 1]³, on which the cost of training depends."""
        cells = np.floor((self.points + 1) * 2 ** (DEPTH - 1)).clip(0, 2**DEPTH - 1)
        return len(np.unique(cells, axis=0))


def original(shape: Shape, title: str = "original") -> Cloud:
    """Return the cloud of a shape, coloured by part if it has part labels, else by normal."""
    colours = normal_colours(shape.normals) if shape.labels is None else part_colours(shape.labels)
    return Cloud(shape.points.astype(np.float32), colours, title)


def quantized(cloud: Cloud, bins: int, generator: torch.Generator) -> Cloud:
    """Quantize a cloud with random bins and values, one quantizer per axis; points keep their colours.

    Args:
        cloud: cloud of N points.
        bins: bins along each axis, at least 1; the paper uses 30.
        generator: source of randomness.

    Returns:
        The quantized cloud, with points in the same order.

    Source: equations 2 to 4 of the paper.
    """
    batch_id = torch.zeros(len(cloud.points), dtype=torch.long)
    points = torch.from_numpy(cloud.points)
    points = randomized_quantize_points(points, batch_id, 1, bins=bins, generator=generator)
    return replace(cloud, points=points.numpy(), title="1 bin" if bins == 1 else f"{bins} bins")


def normal_colours(normals: np.ndarray) -> np.ndarray:
    """Map (N, 3) unit normals to (N, 3) colours in [0, 1]: x to red, y to green, z to blue, none of them dark."""
    return (0.58 + 0.37 * normals).astype(np.float32).clip(0, 1)


def part_colours(labels: np.ndarray) -> np.ndarray:
    """Map (N,) part labels to (N, 3) colours in [0, 1]; colours repeat after twelve parts."""
    return PART_COLOURS[np.asarray(labels, np.int64) % len(PART_COLOURS)]


def ball_radius(points: np.ndarray) -> float:
    """Return the radius of balls at (N, 3) points at which neighbours touch, so that a surface looks closed."""
    neighbours = min(5, len(points))
    distances, _ = cKDTree(points).query(points, k=[neighbours])  # the first neighbour is the point itself
    return float(np.clip(0.6 * np.median(distances), 0.006, 0.03))


def random_subset(shape: Shape, points: int, seed: int = 0) -> Shape:
    """Return at most ``points`` random points of a shape, in their order; the shape itself if it has no more."""
    count = len(shape.points)
    if count <= points:
        return shape
    kept = np.sort(np.random.default_rng(seed).choice(count, points, replace=False))
    columns = {name: getattr(shape, name) for name in ("points", "normals", "labels", "patches")}
    return replace(shape, **{name: column[kept] for name, column in columns.items() if column is not None})


# Reading


def load_shape(name: str) -> tuple[Shape, list[str]]:
    """Read a shape from a file or store.

    Args:
        name: a mesh or point-cloud file, or ``STORE.h5:key`` with an index (negative ones count from the end) or the
            id of a shape.

    Returns:
        The shape, inside the unit ball, and the names of its parts ([] without part labels). A mesh is scanned and a
        point cloud simplified as by ``pcrq prep``.

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
        raise InputError(f"{path}: a folder; choose a file in it")
    suffix = path.suffix.lower()
    if suffix not in (*MESH_FORMATS, *POINT_CLOUD_FORMATS):
        formats = " ".join(dict.fromkeys((*MESH_FORMATS, *POINT_CLOUD_FORMATS)))
        raise InputError(
            f"{path}: unknown format; choose a mesh or point cloud ({formats}) or a shape of a store, as in STORE.h5:0"
        )
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    is_mesh = _has_faces(path) if suffix == ".ply" else suffix in MESH_FORMATS
    return make_shape(load_mesh(path) if is_mesh else _load_cloud(path), path.stem, Pipeline(patches=0))


def _load_cloud(path: Path) -> PointCloud:
    cloud = load_point_cloud(path)
    if cloud.normals is not None:
        return cloud
    logger.info("%s: no normals; estimating them from neighbouring points", path)
    return replace(cloud, normals=estimate_normals(cloud.points))


def _has_faces(path: Path) -> bool:
    """Return whether the header of a PLY file declares faces, as the format is used for meshes and point clouds."""
    with path.open("rb") as file:
        header = file.read(65536).partition(b"end_header")[0]
    return re.search(rb"element\s+(face|tristrips)\s+[1-9]", header) is not None


def estimate_normals(points: np.ndarray) -> np.ndarray:
    """Fit a plane to the neighbours of every point; accurate enough for colours.

    Args:
        points: (N, 3) finite coordinates.

    Returns:
        (N, 3) float64 unit normals pointing away from the mean of the points.
    """
    import open3d  # slow to import

    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
    cloud.estimate_normals(open3d.geometry.KDTreeSearchParamKNN(NORMAL_NEIGHBOURS))
    cloud.orient_normals_towards_camera_location(points.mean(axis=0))
    return -np.asarray(cloud.normals)

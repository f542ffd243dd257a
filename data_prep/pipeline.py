"""From one mesh or point cloud to one shape of the store, as MID-Net does: scan, normalise, simplify, cluster."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from data_prep.bounding_sphere import bounding_sphere
from data_prep.mesh import Mesh
from data_prep.mesh_loading import Axis, from_trimesh
from data_prep.patches import cluster_patches
from data_prep.point_cloud import PointCloud
from data_prep.sampling import sample
from data_prep.scan import scan
from data_prep.shape_file import load_shape_file
from data_prep.simplify import simplify
from pcrq.errors import InputError
from pcrq.stores.shape_store import Shape

if TYPE_CHECKING:
    import trimesh

VERSION = 1
"""Goes up when the same input gives another shape, so that nothing made before is taken for up to date."""
_MARGIN = 1 + 1e-6  # points rounded to float32 stay inside the unit ball


@dataclass(frozen=True)
class Pipeline:
    """How shapes are made; the defaults are the paper's.

    Args:
        method: "scan" casts rays from 14 directions, "sample" draws points evenly over the surface.
        resolution: rays along each side of a view of the scanner; 128 means 128×128 rays a view.
        points: points drawn on a surface by "sample".
        grid: cells along each axis of [-1, 1]³ in which points are averaged; None keeps every point.
        patches: clusters of a shape, at most 256; 0 makes none.
        seed: the randomness of "sample" and of the clustering; every shape draws its own stream from it.

    Raises:
        InputError: a value is out of its range.
    """

    method: Literal["scan", "sample"] = "scan"
    resolution: int = 128
    points: int = 50_000
    grid: int | None = 64
    patches: int = 100
    seed: int = 0

    def __post_init__(self):
        if self.method not in ("scan", "sample"):
            raise InputError(f"method {self.method!r} is not one of 'scan' and 'sample'")
        ranges = {"resolution": (2, 4096), "points": (1, 10**8), "grid": (2, 1024), "patches": (0, 256)}
        for name, (least, most) in ranges.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise InputError(f"{name} {value} is not in [{least}, {most}]")


def prepare_shape(
    source: str | Path | Mesh | PointCloud | trimesh.Trimesh | trimesh.Scene,
    *,
    id: str | None = None,
    up: Axis = "y",
    method: Literal["scan", "sample"] = "scan",
    points: int = 50_000,
    patches: int = 100,
    seed: int = 0,
) -> Shape:
    """Prepare one shape, with the same result as ``pcrq prep meshes``.

    Args:
        source: path of a mesh file or of a point-cloud file with normals; or a ``trimesh.Trimesh`` or
            ``trimesh.Scene``; or a :class:`Mesh` or :class:`PointCloud` as returned by :func:`load_mesh` and
            :func:`load_point_cloud`.
        id: name of the shape. Its random numbers depend on it: for the points of a store, pass the id in that store
            (the path below the prepared folder). Default: the file name of a path, otherwise "shape".
        up: axis of ``source`` that points upward; y in the result. Point clouds are not rotated.
        method: "scan" (rays from 14 directions, as in the paper) or "sample" (points distributed evenly by area).
        points: number of points for ``method="sample"``, before they are averaged on the 64³ grid.
        patches: number of clusters in [0, 256]; 0 omits patches.
        seed: random seed of the sampling and the clustering.

    Returns:
        Points (N, 3) float32 in the unit ball, unit normals (N, 3) float32 and patches (N,) uint8.
        ``octree.collate`` makes a batch of such shapes.

    Raises:
        InputError: the file or an option cannot be used.

    Example:
        >>> shape = prepare_shape("chair.obj")  # doctest: +SKIP
        >>> shape.points.shape, shape.patches.shape  # doctest: +SKIP
        ((3120, 3), (3120,))
    """
    pipeline = Pipeline(method=method, points=points, patches=patches, seed=seed)
    if isinstance(source, (str, Path)):
        name = Path(source).name if id is None else id
        source = load_shape_file(source, up=up)
    else:
        name = "shape" if id is None else id
        if not isinstance(source, (Mesh, PointCloud)):
            source = from_trimesh(source, name, up=up)
    return make_shape(source, name, pipeline)


def make_shape(
    source: Mesh | PointCloud,
    shape_id: str,
    pipeline: Pipeline = Pipeline(),
    *,
    category: int = -1,
    split: str = "",
) -> Shape:
    """Run the pipeline on one mesh or point cloud.

    Args:
        source: a cleaned mesh, which is scanned or sampled, or a point cloud with normals, which is taken as it is.
        shape_id: name of the shape; its random stream depends on it.
        pipeline: how.
        category, split: passed on to the shape.

    Returns:
        Points in the unit ball (of their bounding sphere), unit normals, labels where ``source`` has them, and
        patches unless the pipeline makes none.

    Raises:
        InputError: the point cloud lacks normals, holds values that are not finite or has no extent, or no ray
            hits the mesh.
    """
    seeds = _seeds(pipeline.seed, shape_id)
    if isinstance(source, PointCloud):
        cloud = _checked(source, shape_id)
    elif pipeline.method == "scan":
        cloud = scan(source, pipeline.resolution).as_cloud(source)
        if len(cloud.points) == 0:
            raise InputError(f"{shape_id}: no ray of the scanner hits it; it is thinner than the rays are apart")
    else:
        cloud = sample(source, pipeline.points, seeds[0]).as_cloud(source)
    center, radius = bounding_sphere(cloud.points)
    if not radius > 0:
        raise InputError(f"{shape_id}: all points are the same; a shape needs an extent")
    radius *= _MARGIN
    cloud = PointCloud((cloud.points - center) / radius, cloud.normals, cloud.labels)
    if pipeline.grid is not None:
        cloud = simplify(cloud, pipeline.grid)
    points = cloud.points.astype(np.float32)
    return Shape(
        points=points,
        normals=cloud.normals.astype(np.float32),
        id=shape_id,
        category=category,
        split=split,
        labels=cloud.labels,
        patches=cluster_patches(points, pipeline.patches, seeds[1]) if pipeline.patches else None,
        center=tuple(center.tolist()),
        radius=radius,
    )


def _checked(cloud: PointCloud, name: str) -> PointCloud:
    """A point cloud from outside as float64 with unit normals; points with a normal of length zero are left out."""
    if cloud.normals is None:
        raise InputError(f"{name}: a point cloud without normals; the network needs them")
    points, normals = np.asarray(cloud.points, np.float64), np.asarray(cloud.normals, np.float64)
    if not (np.isfinite(points).all() and np.isfinite(normals).all()):
        raise InputError(f"{name}: points or normals are not finite")
    length = np.linalg.norm(normals, axis=1)
    kept = length > 0
    if not kept.any():
        raise InputError(f"{name}: no point has a normal; the network needs them")
    labels = None if cloud.labels is None else np.asarray(cloud.labels)[kept]
    return PointCloud(points[kept], normals[kept] / length[kept, None], labels)


def _seeds(seed: int, shape_id: str) -> tuple[int, int]:
    """Two numbers in [0, 2³²) that depend on nothing but the seed and the name."""
    digest = hashlib.sha256(f"{seed}:{shape_id}".encode()).digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:8], "little")

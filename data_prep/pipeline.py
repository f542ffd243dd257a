"""From a mesh or point cloud to a shape of a store, as MID-Net does: scan, normalize, simplify, normalize, cluster."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from data_prep.bounding_sphere import bounding_sphere
from data_prep.mesh import MESH_FORMATS, Axis, Mesh, from_trimesh, load_mesh
from data_prep.point_cloud import POINT_CLOUD_FORMATS, PointCloud, load_point_cloud
from data_prep.sampling import sample, scan
from pcrq import InputError
from pcrq.stores.shape_store import Shape

if TYPE_CHECKING:
    import trimesh

SHAPE_VERSION = 3
"""Increases when the same input gives another shape, so that shapes prepared before are prepared again."""
_MARGIN = 1 + 1e-6  # points rounded to float32 stay inside the unit ball
_SLACK = 1.001  # radius of the grid of O-CNN's simplify_points relative to the points inside
# A mean of unit normals shorter than this is the rest of opposite normals, and has no meaningful direction.
_CANCELLED = 1e-4
_SAMPLE, _SAMPLE_STEPS, _STEPS = 20, 15, 10  # of the clustering: points per cluster, and iterations on them and on all
_MOST_CELLS = 2**21  # of a grid for which a table is faster than sorting


@dataclass(frozen=True)
class Pipeline:
    """Settings of the preparation of a shape; the defaults are the paper's.

    Args:
        method: "scan" casts rays from 14 directions, "sample" distributes points evenly over the surface.
        resolution: rays along each side of a view of the scanner; 255 means 255×255 rays per view.
        points: number of points for "sample".
        grid: cells along each axis in which points are averaged, see :func:`simplify`; None keeps every point.
        offset: how far points move along their normals before they are averaged, in cells; without a grid, unused.
        patches: number of clusters of a shape, at most 256; 0 omits them.
        seed: random seed of "sample" and of the clustering; every shape gets its own seeds from it and its id.

    Raises:
        InputError: a value is out of its range.
    """

    method: Literal["scan", "sample"] = "scan"
    resolution: int = 255
    points: int = 50_000
    grid: int | None = 64
    offset: float = 0.55
    patches: int = 100
    seed: int = 0

    def __post_init__(self):
        if self.method not in ("scan", "sample"):
            raise InputError(f"method {self.method!r} is not one of 'scan' and 'sample'")
        ranges = {"resolution": (2, 1024), "points": (1, 10**8), "grid": (2, 1024), "patches": (0, 256)}
        for name, (least, most) in ranges.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise InputError(f"{name} {value} is not in [{least}, {most}]")
        if not 0 <= self.offset <= 1:
            raise InputError(f"offset {self.offset} is not in [0, 1]")


def prepare_shape(
    source: str | Path | Mesh | PointCloud | trimesh.Trimesh | trimesh.Scene,
    *,
    id: str | None = None,
    up: Axis = "y",
    method: Literal["scan", "sample"] = "scan",
    resolution: int = 255,
    points: int = 50_000,
    offset: float = 0.55,
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
        up: axis of ``source`` that points upward; y in the result. Point clouds, and a :class:`Mesh`, are not rotated.
        method: "scan" (rays from 14 directions, as in the paper) or "sample" (points distributed evenly by area).
        resolution: rays along each side of a view for ``method="scan"``.
        points: number of points for ``method="sample"``, before they are averaged on the 64³ grid.
        offset: how far points move along their normals before they are averaged, in cells of that grid, in [0, 1]; it
            keeps the sides of thin sheets apart.
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
    pipeline = Pipeline(method, resolution, points, offset=offset, patches=patches, seed=seed)
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
        source: a cleaned mesh, which is scanned or sampled, or a point cloud with normals, whose points are kept.
        shape_id: name of the shape; its random numbers depend on it.
        pipeline: the settings.
        category, split: passed on to the shape.

    Returns:
        Points in the unit ball (of their bounding sphere), unit normals, labels if ``source`` has them, and patches
        unless ``pipeline.patches`` is 0.

    Raises:
        InputError: the point cloud has no normals, values that are not finite, or no extent, or no ray hits the mesh.
    """
    seeds = _seeds(pipeline.seed, shape_id)
    if isinstance(source, PointCloud):
        cloud = _checked(source, shape_id)
    elif pipeline.method == "scan":
        cloud = scan(source, pipeline.resolution).as_cloud(source)
        if len(cloud.points) == 0:
            raise InputError(f"{shape_id}: no ray of the scanner hits it; it is thinner than the distance between rays")
    else:
        cloud = sample(source, pipeline.points, seeds[0]).as_cloud(source)
    center, radius = _normalize(cloud, shape_id)
    if pipeline.grid is not None:
        cloud = simplify(cloud, pipeline.grid, pipeline.offset)
        moved, scale = _normalize(cloud, shape_id)
        center, radius = center + radius * moved, radius * scale
    points = np.ascontiguousarray(cloud.points, np.float32)
    return Shape(
        points=points,
        normals=np.ascontiguousarray(cloud.normals, np.float32),
        id=shape_id,
        category=category,
        split=split,
        labels=cloud.labels,
        patches=cluster_patches(points, pipeline.patches, seeds[1]) if pipeline.patches else None,
        center=tuple(center.tolist()),
        radius=radius,
    )


def load_shape_file(path: str | Path, *, up: Axis = "y") -> Mesh | PointCloud:
    """Read a mesh or point-cloud file; a ply file is a mesh if it has faces.

    Args:
        path: a file of one of MESH_FORMATS or POINT_CLOUD_FORMATS.
        up: axis of a mesh file that points upward; point clouds are not rotated.

    Raises:
        InputError: the file is missing, of another format, damaged or empty.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in MESH_FORMATS + POINT_CLOUD_FORMATS:
        known = " ".join(dict.fromkeys(MESH_FORMATS + POINT_CLOUD_FORMATS))
        raise InputError(f"{path}: {suffix or 'a file without suffix'} is not one of {known}")
    if suffix in POINT_CLOUD_FORMATS and not (suffix == ".ply" and _has_faces(path)):
        return load_point_cloud(path)
    return load_mesh(path, up=up)


def simplify(cloud: PointCloud, grid: int = 64, offset: float = 0.55) -> PointCloud:
    """Average points and normals per cell of a grid, with the points moved along their normals meanwhile.

    The offset keeps the two sides of a thin sheet in different cells, where opposite normals would cancel out.

    Args:
        cloud: N points in the unit ball, with unit normals if ``offset`` is not 0.
        grid: cells along each axis.
        offset: how far the points are moved, in cells of [-1, 1]³ (as wide as 2 / ``grid``). With 0 the grid covers
            [-1, 1]³, otherwise a cube that contains the ball of the moved points.

    Returns:
        One point per occupied cell, in the order of the cells (x slowest): mean of the points; mean of the normals
        at unit length, or, if they cancel out, the normal of the cell's first point; the label that most points have,
        the smallest of equally frequent ones.

    Source: ``simplify_points`` of O-CNN, whose default is 0.55.
    """
    shift, half = 2 * offset * _SLACK / grid, 1.0
    points = cloud.points
    if offset:
        points, half = points + shift * cloud.normals, _SLACK * (1 + shift)
    keys = np.zeros(len(points), np.int64)
    for column in points.T:
        cell = column + half
        cell *= grid / (2 * half)
        keys *= grid
        keys += np.clip(cell, 0, grid - 1, out=cell).astype(np.int64)
    which = _numbered(keys, grid**3)
    points = _means(points, which)
    normals = None
    if cloud.normals is not None:
        normals = _means(cloud.normals, which)
        length = np.linalg.norm(normals, axis=1)
        cancelled = length < _CANCELLED
        normals /= np.where(cancelled, np.inf, length)[:, None]
        points -= shift * normals  # points whose normals cancel out were moved both ways
        if cancelled.any():
            first = np.empty(len(normals), np.int64)
            first[which[::-1]] = np.arange(len(which))[::-1]  # of several values for one cell, the last is kept
            normals[cancelled] = cloud.normals[first[cancelled]]
    labels = None if cloud.labels is None else _majorities(np.asarray(cloud.labels), which)
    return PointCloud(points, normals, labels)


def cluster_patches(points: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Cluster points by position with k-means, for MID-Net's point loss.

    The centers are initialized by greedy k-means++ and moved by Lloyd's algorithm on a random sample of 20 points per
    cluster, and then moved on all points. The sum of squared distances is that of scikit-learn's ``KMeans(n_init=1)``
    within 1 %; that library spends most of its time on the initialization, on all points.

    Uses one thread, so that neither result nor speed depends on the number of shapes prepared at the same time.

    Args:
        points: (N, 3) coordinates in [-1, 1]³.
        count: number of clusters, at most 256; fewer if there are fewer distinct points.
        seed: in [0, 2³²).

    Returns:
        (N,) uint8 patch of every point.

    Source: Arthur and Vassilvitskii, "k-means++", 2007, section 2.2 and its greedy variant (section 5); Bradley and
    Fayyad, "Refining Initial Points for K-Means Clustering", 1998.
    """
    points = np.ascontiguousarray(points, np.float32)
    if len(points) < 4 * count:  # only then can duplicates leave fewer distinct points than clusters
        distinct, which = np.unique(points, axis=0, return_inverse=True)
        if len(distinct) <= count:
            return which.reshape(-1).astype(np.uint8)
    random = np.random.default_rng(seed)
    size = min(len(points), _SAMPLE * count)
    drawn = points[np.sort(random.choice(len(points), size, replace=False))]
    with _thread_pools().limit(limits=1):
        centers, _ = _lloyd(drawn, _plus_plus(drawn, count, random), _SAMPLE_STEPS)
        return _lloyd(points, centers, _STEPS)[1].astype(np.uint8)


def _plus_plus(points: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """(count, 3) points far from each other: greedy k-means++, the best of several draws for every center."""
    columns = np.stack([*points.T, np.ones(len(points), np.float32)])
    squares = (points**2).sum(1)
    weights = np.concatenate([-2 * points, squares[:, None]], axis=1)  # weights @ columns + squares: squared distances
    draws = random.random((count, 2 + int(np.log(count))))  # as many as scikit-learn
    chosen = [int(random.integers(len(points)))]
    nearest = np.maximum(weights[chosen[0]] @ columns + squares, 0)
    for draw in draws[1:]:
        cumulative = nearest.cumsum(dtype=np.float64)
        candidates = np.minimum(cumulative.searchsorted(draw * cumulative[-1]), len(points) - 1)
        distances = weights[candidates] @ columns
        distances += squares
        np.minimum(distances, nearest, out=distances)
        best = distances.sum(1).argmin()
        nearest = np.maximum(distances[best], 0)
        chosen.append(int(candidates[best]))
    return points[chosen].astype(np.float64)


def _lloyd(points: np.ndarray, centers: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Move centers to the mean of their points, ``steps`` times; the centers and the nearest one of every point."""
    columns = np.concatenate([points, np.ones((len(points), 1), np.float32)], axis=1)
    for step in range(steps + 1):
        weights = np.concatenate([-2 * centers.T, (centers**2).sum(1)[None]]).astype(np.float32)
        distances = columns @ weights  # squared, up to a constant of every point
        nearest = distances.argmin(1)
        empty = np.flatnonzero(np.bincount(nearest, minlength=len(centers)) == 0)
        if len(empty):  # each takes the point that is farthest from its center
            far = ((points - centers[nearest]) ** 2).sum(1).argsort(kind="stable")[-len(empty) :]
            nearest[far] = empty
        if step < steps:
            size = np.bincount(nearest, minlength=len(centers))[:, None]
            sums = [np.bincount(nearest, column, minlength=len(centers)) for column in points.T]
            centers = np.where(size > 0, np.stack(sums, axis=1) / np.maximum(size, 1), centers)
    return centers, nearest


@cache
def _thread_pools():
    """The numerical libraries of this process; finding them takes longer than a clustering."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _has_faces(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            header = file.read(65536).split(b"end_header")[0]
    except OSError:
        return True  # the loader raises the error
    counts = [line.split() for line in header.splitlines() if line.startswith(b"element face")]
    return any(words[2:] and words[2] != b"0" for words in counts)


def _checked(cloud: PointCloud, name: str) -> PointCloud:
    """The point cloud as float64 with unit normals, without points whose normal has length zero."""
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


def _normalize(cloud: PointCloud, name: str) -> tuple[np.ndarray, float]:
    """Move the points into the unit ball, in place, by their bounding sphere; its center and radius."""
    center, radius = bounding_sphere(cloud.points)
    if not radius > 0:
        raise InputError(f"{name}: all points are the same; a shape needs an extent")
    radius *= _MARGIN
    cloud.points[:] -= center  # in place, because a scan is as large as the caches
    cloud.points[:] /= radius
    return center, radius


def _seeds(seed: int, shape_id: str) -> tuple[int, int]:
    """Two numbers in [0, 2³²) that depend only on the seed and the id."""
    digest = hashlib.sha256(f"{seed}:{shape_id}".encode()).digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:8], "little")


def _numbered(keys: np.ndarray, bound: int) -> np.ndarray:
    """The position of every key, in [0, bound), among the distinct keys in ascending order."""
    if bound > _MOST_CELLS:
        return np.unique(keys, return_inverse=True)[1]
    occurs = np.zeros(bound, bool)
    occurs[keys] = True
    return (np.cumsum(occurs) - 1)[keys]


def _means(values: np.ndarray, which: np.ndarray) -> np.ndarray:
    """(groups, 3) mean of the rows of every group."""
    sums = np.stack([np.bincount(which, column) for column in values.T], axis=1)
    return sums / np.bincount(which)[:, None]


def _majorities(labels: np.ndarray, which: np.ndarray) -> np.ndarray:
    """The most frequent label of every group."""
    kinds = np.unique(labels)
    pairs, votes = np.unique(which * len(kinds) + np.searchsorted(kinds, labels), return_counts=True)
    group, kind = divmod(pairs, len(kinds))
    order = np.lexsort((kind, -votes, group))
    _, winner = np.unique(group[order], return_index=True)
    return kinds[kind[order[winner]]]

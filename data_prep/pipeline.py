"""From one mesh or point cloud to one shape of the store: scan, simplify, cluster (MID-Net's preparation)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from data_prep.mesh import Mesh
from data_prep.point_cloud import PointCloud
from octree.shape_store import Shape


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
    """

    method: Literal["scan", "sample"] = "scan"
    resolution: int = 128
    points: int = 50_000
    grid: int | None = 64
    patches: int = 100
    seed: int = 0


def prepare_shape(source: Mesh | PointCloud, shape_id: str, pipeline: Pipeline = Pipeline()) -> Shape:  # noqa: B008
    """Make one shape: points in the unit ball, unit normals, labels and patches."""
    raise NotImplementedError

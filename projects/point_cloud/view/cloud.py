"""One cloud of a picture: the points of a shape, quantized or not, with colours and what quantization left of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.spatial import cKDTree

from pcrq import randomized_quantize_points
from pcrq.stores.shape_store import Shape
from projects.point_cloud.view.colour import point_colours

DEPTH = 6  # of the octrees that the paper trains on


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
        """Number of points that differ from each other."""
        return len(np.unique(self.points, axis=0))

    @property
    def leaves(self) -> int:
        """Number of non-empty leaves of the octree of depth 6 over [-1, 1]³: what a training step pays for."""
        cells = np.floor((self.points + 1) * 2 ** (DEPTH - 1)).clip(0, 2**DEPTH - 1)
        return len(np.unique(cells, axis=0))


def original(shape: Shape, title: str = "original") -> Cloud:
    """The cloud of a shape as it is, coloured by part where parts are known, else by normal."""
    return Cloud(shape.points.astype(np.float32), point_colours(shape), title)


def quantized(cloud: Cloud, bins: int, generator: torch.Generator) -> Cloud:
    """One draw of the randomized quantizer on a cloud; every point keeps its colour.

    Args:
        cloud: the cloud, of N points.
        bins: bins along each axis, at least 1; the paper uses 30.
        generator: where the draw comes from.

    Returns:
        The quantized cloud, its points in the same order.

    Source: equations 2 to 4 of the paper; one quantizer for each axis.
    """
    batch_id = torch.zeros(len(cloud.points), dtype=torch.long)
    points = torch.from_numpy(cloud.points)
    points = randomized_quantize_points(points, batch_id, 1, bins=bins, generator=generator)
    return replace(cloud, points=points.numpy(), title="1 bin" if bins == 1 else f"{bins} bins")


def ball_radius(points: np.ndarray) -> float:
    """Radius of the balls that stand for (N, 3) points: neighbours touch, so that a surface looks closed."""
    neighbours = min(5, len(points))
    distances, _ = cKDTree(points).query(points, k=[neighbours])  # the fourth neighbour, for the first is the point
    return float(np.clip(0.6 * np.median(distances), 0.006, 0.03))


def random_subset(shape: Shape, points: int, seed: int = 0) -> Shape:
    """At most ``points`` points of a shape, in their order; the shape itself where it has no more."""
    count = len(shape.points)
    if count <= points:
        return shape
    kept = np.sort(np.random.default_rng(seed).choice(count, points, replace=False))
    columns = {name: getattr(shape, name) for name in ("points", "normals", "labels", "patches")}
    return replace(shape, **{name: column[kept] for name, column in columns.items() if column is not None})

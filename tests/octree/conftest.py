"""Batches for the tests of octrees and networks."""

import pytest

from octree.point_batch import PointBatch, collate


@pytest.fixture
def batch(make_shape) -> PointBatch:
    """Three ellipsoids of 200, 250 and 300 points."""
    shapes = [make_shape(index, points=200 + 50 * index) for index in range(3)]
    return collate([type(s)(**{**s.__dict__, "index": i}) for i, s in enumerate(shapes)])

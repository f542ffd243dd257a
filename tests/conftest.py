"""Fixtures that several folders share: a small labelled shape store."""

from collections.abc import Callable
from pathlib import Path

# First, as in the programs: after scikit-learn, typing's cache would give Trainer's options scikit-learn's order of
# types, and --trainer.limit_train_batches=1 would mean 1.0, all batches.
import lightning.pytorch  # noqa: F401
import numpy as np
import pytest

from pcrq.stores.shape_store import Shape, ShapeStoreWriter


def _make_shape(
    index: int, points: int = 300, patches: int = 10, category: int | None = None, split: str = ""
) -> Shape:
    """A random ellipsoid with exact normals; even categories are flat, odd ones tall."""
    rng = np.random.default_rng(index)
    category = index % 2 if category is None else category
    radii = np.array([0.9, 0.3, 0.8] if category == 0 else [0.3, 0.9, 0.35]) * rng.uniform(0.8, 1.1, 3)
    sphere = rng.normal(size=(points, 3))
    sphere /= np.linalg.norm(sphere, axis=1, keepdims=True)
    normals = sphere / radii
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return Shape(
        points=(sphere * radii).astype(np.float32),
        normals=normals.astype(np.float32),
        id=f"shape{index}",
        category=category,
        split=split,
        patches=np.arange(points) % patches,
        labels=(sphere[:, 1] > 0).astype(int),
    )


@pytest.fixture(scope="session")
def make_shape() -> Callable[..., Shape]:
    """``make_shape(index, points=300, patches=10, category=None, split="")``: a random labelled ellipsoid."""
    return _make_shape


@pytest.fixture(scope="session")
def store_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve shapes of two categories, 300 points and 10 patches each; the last four are the test split."""
    path = tmp_path_factory.mktemp("store") / "toy.h5"
    parameters = {"patches": 10}
    with ShapeStoreWriter(path, classes=["flat", "tall"], parts=["low", "high"], parameters=parameters) as writer:
        for index in range(12):
            writer.append(_make_shape(index, split="train" if index < 8 else "test"))
    return path

"""Features of shapes as one ``.npz`` file that plain NumPy reads without unpickling anything."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from octree.shape_store import ShapeStore
from projects.whole_file import whole_file


def category_names(store: ShapeStore) -> list[str]:
    """The category of every shape of a store by its name, "" where it is unknown."""
    return [store.classes[category] if category >= 0 else "" for category in store.category]


def save_features(path: Path, features: np.ndarray, store: ShapeStore, about: dict) -> None:
    """Write features with what they belong to, whole or not at all.

    The arrays: ``features`` (S, D) float32; ``id``, ``category`` and ``split`` (S,) unicode, category and split ""
    where they are unknown; ``about``, JSON in a unicode scalar.

    Args:
        path: the .npz file.
        features: (S, D) float32, one row for every shape of the store, in its order.
        store: the S shapes.
        about: what the features were made by; anything that JSON can hold.

    Raises:
        InputError: the file cannot be written.
    """
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            features=features,
            id=np.array(store.id, dtype=np.str_),
            category=np.array(category_names(store), dtype=np.str_),
            split=np.array(store.split, dtype=np.str_),
            about=np.array(json.dumps(about)),
        )

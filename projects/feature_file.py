"""Features of a store's entries as one ``.npz`` file that plain NumPy reads without unpickling anything."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from octree.store_file import StoreFile
from projects.whole_file import whole_file


def save_features(path: Path, features: np.ndarray, store: StoreFile, ids: Sequence[str], about: dict) -> None:
    """Write features with what they belong to, whole or not at all.

    The arrays: ``features`` (S, D) float32; ``id``, ``category`` and ``split`` (S,) unicode, category and split ""
    where they are unknown; ``about``, JSON in a unicode scalar.

    Args:
        path: the .npz file.
        features: (S, D) float32, one row for every entry of the store, in its order.
        store: the S shapes or sounds.
        ids: (S,) of the entries.
        about: what the features were made by; anything that JSON can hold.

    Raises:
        InputError: the file cannot be written.
    """
    categories = [store.classes[category] if category >= 0 else "" for category in store.category]
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            features=features,
            id=np.array(ids, dtype=np.str_),
            category=np.array(categories, dtype=np.str_),
            split=np.array(store.split, dtype=np.str_),
            about=np.array(json.dumps(about)),
        )

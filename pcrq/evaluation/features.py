"""Features of shapes, sounds or images as one ``.npz`` file that plain NumPy reads without unpickling anything."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import nn

from pcrq.files import atomic_write


def save_features(
    path: Path,
    features: np.ndarray,
    *,
    ids: Sequence[str],
    categories: Sequence[str],
    splits: Sequence[str],
    about: dict,
) -> None:
    """Write features with what they belong to, whole or not at all.

    The arrays: ``features`` (S, D) float32; ``id``, ``category`` and ``split`` (S,) unicode, category and split ""
    where they are unknown; ``about``, JSON in a unicode scalar.

    Args:
        path: the .npz file.
        features: (S, D) float32.
        ids, categories, splits: (S,) of what the rows are features of; "" where a category or split is not known.
        about: what the features were made by; anything that JSON can hold.

    Raises:
        InputError: the file cannot be written.
    """
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            features=features,
            id=np.array(ids, dtype=np.str_),
            category=np.array(categories, dtype=np.str_),
            split=np.array(splits, dtype=np.str_),
            about=np.array(json.dumps(about)),
        )


def category_names(classes: Sequence[str], category: np.ndarray) -> list[str]:
    """The names of a store's categories (S,), "" for -1."""
    return [classes[index] if index >= 0 else "" for index in category]


@contextmanager
def eval_mode(network: nn.Module) -> Iterator[None]:
    """Within the block a network is in evaluation mode and nothing has a gradient; then every module is as it was."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode

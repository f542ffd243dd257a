"""Features of shapes, sounds or images: a ``.npz`` file that NumPy reads without pickle, and evaluation mode."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
    about: dict[str, Any],
) -> None:
    """Write features, and the samples they belong to, atomically.

    The file contains the arrays ``features`` (S, D) float32, ``id``, ``category`` and ``split`` (S,) unicode, and
    ``about``, a unicode scalar with JSON.

    Args:
        path: the .npz file.
        features: (S, D) float32.
        ids, categories, splits: (S,) of the samples; an unknown category or split is "".
        about: how the features were computed; plain values for JSON.

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
    """Return the names of categories, "" for unknown ones.

    Args:
        classes: names of the categories, as a store has them.
        category: (S,) integers, index into ``classes`` or -1 if unknown.
    """
    return [classes[index] if index >= 0 else "" for index in category]


@contextmanager
def eval_mode(network: nn.Module) -> Iterator[None]:
    """Set a network to evaluation mode without gradients for the block; then restore the mode of every module."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode

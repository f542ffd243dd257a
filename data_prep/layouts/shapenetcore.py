"""The layout of ShapeNetCore, versions 1 and 2: a folder per synset, a folder per model, and taxonomy.json."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from data_prep.layouts.whole_folder import whole_folder
from data_prep.mesh import Mesh
from data_prep.public_datasets.shapenet_names import SYNSETS
from data_prep.run import Item
from pcrq.errors import InputError

_MODEL = {1: "model.obj", 2: "models/model_normalized.obj"}


def write_shapenetcore(
    folder: str | Path,
    items: Sequence[Item],
    *,
    version: int = 1,
    force: bool = False,
    progress: Callable[[Iterable[Item]], Iterable[Item]] = iter,
) -> None:
    """Write meshes in the layout of ShapeNetCore.

    Version 1 holds ``<synset>/<model>/model.obj``, version 2 ``<synset>/<model>/models/model_normalized.obj``; both a
    taxonomy.json. As in the published data, y is up and the bounding box has its centre at the origin and a diagonal
    of 1. Splits are not written, as ShapeNetCore keeps them elsewhere.

    Args:
        folder: the folder to make.
        items: shapes whose ``load`` returns a mesh and whose category is one of SYNSETS.
        version: 1 or 2.
        force: replace a folder made before.
        progress: wraps the iteration over the items, for example ``tqdm``.

    Raises:
        InputError: a category has no synset, the version is unknown, or ``folder`` cannot be made.
    """
    if version not in _MODEL:
        raise InputError(f"ShapeNetCore version {version} asked for; there are 1 and 2")
    for item in items:
        if item.category not in SYNSETS:
            raise InputError(
                f"{item.id}: ShapeNetCore has no category {item.category!r}; there are {', '.join(SYNSETS)}"
            )
    with whole_folder(folder, f"ShapeNetCore v{version}", force=force) as root:
        for item in progress(items):
            file = root / SYNSETS[item.category] / model_id(item) / _MODEL[version]
            file.parent.mkdir(parents=True)
            _write_obj(file, item.load())
        count = Counter(item.category for item in items)
        taxonomy = [
            {"synsetId": SYNSETS[name], "name": name, "children": [], "numInstances": number}
            for name, number in sorted(count.items())
        ]
        (root / "taxonomy.json").write_text(json.dumps(taxonomy, indent=2), encoding="utf-8")


def model_id(item: Item) -> str:
    """The name of a model: 32 hexadecimal digits, as in ShapeNet, that depend on the id of the item only."""
    return hashlib.sha256(item.id.encode()).hexdigest()[:32]


def _write_obj(file: Path, mesh: Mesh) -> None:
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    vertices = (mesh.vertices - (low + high) / 2) / np.linalg.norm(high - low)
    text = [format_rows("v %.6f %.6f %.6f", vertices), format_rows("f %d %d %d", mesh.faces + 1)]
    file.write_text("".join(text), encoding="ascii")


def format_rows(row: str, values: np.ndarray) -> str:
    """Every row of ``values`` (N, K) through the printf format ``row``, a line each."""
    return (row + "\n") * len(values) % tuple(values.ravel().tolist())

"""The layout of ShapeNet Part: labelled points with normals in text files, and lists of the three splits."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from data_prep.layouts.shapenetcore import format_rows, model_id
from data_prep.layouts.whole_folder import whole_folder
from data_prep.public_datasets.shapenet_names import SHAPENET_PART_CLASSES, SHAPENET_PART_LABELS, SYNSETS
from data_prep.run import Item
from pcrq.errors import InputError

_RESOLUTION = 96  # rays along each side of a view of the scanner: some 20,000 hits, of which a few are kept


def write_shapenet_part(
    folder: str | Path,
    items: Sequence[Item],
    *,
    parts: Sequence[str],
    points: int = 2500,
    force: bool = False,
    progress: Callable[[Iterable[Item]], Iterable[Item]] = iter,
) -> None:
    """Scan meshes and write them in the layout of ShapeNet Part (the version with normals).

    ``<synset>/<model>.txt`` has a row ``x y z nx ny nz label`` for every point: y up, centred in the unit ball, the
    normal towards the viewer, and the label counting over all 50 parts of the 16 categories. Beside them stand
    synsetoffset2category.txt and train_test_split/shuffled_{train,val,test}_file_list.json with entries
    "shape_data/<synset>/<model>".

    Args:
        folder: the folder to make.
        items: shapes whose ``load`` returns a mesh with face labels; category one of SHAPENET_PART_CLASSES, split
            "train", "val" or "test".
        parts: what the labels of the items mean, as "category/part".
        points: points of a shape; fewer where the scanner hits it less often.
        force: replace a folder made before.
        progress: wraps the iteration over the items, for example ``tqdm``.

    Raises:
        InputError: an item does not fit, or ``folder`` cannot be made.
    """
    labels = _official_labels(parts)
    for item in items:
        if item.category not in SHAPENET_PART_LABELS:
            known = ", ".join(SHAPENET_PART_CLASSES)
            raise InputError(f"{item.id}: ShapeNet Part has no category {item.category!r}; there are {known}")
        if item.split not in ("train", "val", "test"):
            raise InputError(f"{item.id}: split {item.split!r}; ShapeNet Part needs 'train', 'val' or 'test'")
    with whole_folder(folder, "ShapeNet Part", force=force) as root:
        for item in progress(items):
            file = root / SYNSETS[item.category] / f"{model_id(item)}.txt"
            file.parent.mkdir(exist_ok=True)
            rows = _scanned_rows(item, labels, points)
            file.write_text(format_rows("%.6f %.6f %.6f %.4f %.4f %.4f %.6f", rows), encoding="ascii")
        _write_lists(root, items)


def _official_labels(parts: Sequence[str]) -> np.ndarray:
    """(P,) the label in ShapeNet Part of every part, -1 for those of other categories."""
    labels, seen = [], {category: numbers.start for category, numbers in SHAPENET_PART_LABELS.items()}
    for part in parts:
        category = part.partition("/")[0]
        labels.append(seen.get(category, -1))
        if category in seen:
            seen[category] += 1
    for category, stop in seen.items():
        numbers = SHAPENET_PART_LABELS[category]
        if stop - numbers.start not in (0, len(numbers)):
            raise InputError(f"{category}: {stop - numbers.start} parts; ShapeNet Part has {len(numbers)}")
    return np.asarray(labels)


def _scanned_rows(item: Item, labels: np.ndarray, points: int) -> np.ndarray:
    """(N, 7) position, normal and label of points drawn from a scan."""
    from data_prep.scan import scan  # loads Open3D

    mesh = item.load()
    seen = scan(mesh, _RESOLUTION)
    random = np.random.default_rng(int(model_id(item)[:16], 16))
    chosen = random.permutation(len(seen.points))[:points]
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    centred = seen.points[chosen] - (low + high) / 2
    centred /= np.linalg.norm(centred, axis=1).max()
    label = labels[mesh.face_labels[seen.triangles[chosen]]]
    return np.column_stack([centred, seen.normals[chosen], label])


def _write_lists(root: Path, items: Sequence[Item]) -> None:
    names = [f"{category.capitalize()}\t{SYNSETS[category]}\n" for category in SHAPENET_PART_CLASSES]
    (root / "synsetoffset2category.txt").write_text("".join(names), encoding="ascii")
    lists = root / "train_test_split"
    lists.mkdir()
    for split in ("train", "val", "test"):
        # In the order of the model ids, which are hashes: that shuffles the categories.
        members = sorted((item for item in items if item.split == split), key=model_id)
        entries = [f"shape_data/{SYNSETS[item.category]}/{model_id(item)}" for item in members]
        (lists / f"shuffled_{split}_file_list.json").write_text(json.dumps(entries), encoding="ascii")

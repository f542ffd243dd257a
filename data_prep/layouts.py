"""Writers of the layouts of public 3D datasets, with other shapes, to try the readers without a download.

A file README.txt in every folder says that the shapes are not those of the dataset.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from data_prep.mesh import Mesh
from data_prep.public_datasets.shapenet_part import SHAPENET_PART_CLASSES, SHAPENET_PART_LABELS
from data_prep.public_datasets.shapenetcore import SYNSETS
from data_prep.run import Item
from pcrq import InputError
from pcrq.files import atomic_folder

MODELNET40_CLASSES = (
    *("airplane", "bed", "bench", "bookshelf", "bottle", "car", "chair", "guitar", "lamp", "laptop"),
    *("monitor", "sofa", "stool", "table", "vase"),
)
"""The classes of ModelNet40 that are among the built-in categories."""
_NOTE = "README.txt"
_OURS = "Built-in shapes of pcrq"
_RESOLUTION = 96  # rays along each side of a scanner view: about 30,000 hits, of which some are sampled
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

    Version 1 has ``<synset>/<model>/model.obj``, version 2 ``<synset>/<model>/models/model_normalized.obj``; both have
    a taxonomy.json. As in the published data, y is up, and the bounding box has its center at the origin and a diagonal
    of 1. Splits are not written, because the archives of ShapeNetCore have none.

    Args:
        folder: the folder to create.
        items: shapes whose ``load`` returns a mesh and whose category is one of SYNSETS.
        version: 1 or 2.
        force: replace a folder written before.
        progress: wraps the iteration over the items, for example ``tqdm``.

    Raises:
        InputError: a category has no synset, the version is unknown, or ``folder`` cannot be written.
    """
    if version not in _MODEL:
        raise InputError(f"ShapeNetCore version {version} is not 1 or 2")
    for item in items:
        if item.category not in SYNSETS:
            raise InputError(
                f"{item.id}: ShapeNetCore has no category {item.category!r}; available: {', '.join(SYNSETS)}"
            )
    with _layout_folder(folder, f"ShapeNetCore v{version}", force=force) as root:
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
    """The name of a model: 32 hexadecimal digits, as in ShapeNet, that depend only on the id of the item."""
    return hashlib.sha256(item.id.encode()).hexdigest()[:32]


def _write_obj(file: Path, mesh: Mesh) -> None:
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    vertices = (mesh.vertices - (low + high) / 2) / np.linalg.norm(high - low)
    text = [_format_rows("v %.6f %.6f %.6f", vertices), _format_rows("f %d %d %d", mesh.faces + 1)]
    file.write_text("".join(text), encoding="ascii")


def _format_rows(row: str, values: np.ndarray) -> str:
    """Lines of text: every row of ``values`` (N, K) in the printf format ``row``."""
    return (row + "\n") * len(values) % tuple(values.ravel().tolist())


def write_modelnet40(
    folder: str | Path,
    items: Sequence[Item],
    *,
    force: bool = False,
    progress: Callable[[Iterable[Item]], Iterable[Item]] = iter,
) -> None:
    """Write meshes in the layout of ModelNet40.

    As in the published data, the numbers of the test shapes of a class follow those of its training shapes, and some
    files have the counts on the line of the word OFF, without a space: here every third one.

    Args:
        folder: the folder to create.
        items: shapes whose ``load`` returns a mesh, y up; every one in the split "train" or "test".
        force: replace a folder written before.
        progress: wraps the iteration over the items, for example ``tqdm``.

    Raises:
        InputError: an item is in another split or has no category, or ``folder`` cannot be written.
    """
    for item in items:
        if item.split not in ("train", "test") or not item.category:
            raise InputError(f"{item.id}: split {item.split!r}; ModelNet40 needs a category and 'train' or 'test'")
    ordered = sorted(items, key=lambda item: item.split == "test")
    number: Counter[str] = Counter()
    with _layout_folder(folder, "ModelNet40", force=force) as root:
        for item in progress(ordered):
            number[item.category] += 1
            count = number[item.category]
            file = root / item.category / item.split / f"{item.category}_{count:04d}.off"
            file.parent.mkdir(parents=True, exist_ok=True)
            _write_off(file, item.load(), after_off="" if count % 3 == 0 else "\n")


def _write_off(file: Path, mesh: Mesh, after_off: str) -> None:
    upright = mesh.vertices[:, [2, 0, 1]]  # y up to z up; a reader that maps (x, y, z) to (y, z, x) restores it
    header = f"OFF{after_off}{len(mesh.vertices)} {len(mesh.faces)} 0\n"
    rows = _format_rows("%.6f %.6f %.6f", upright), _format_rows("3 %d %d %d", mesh.faces)
    file.write_text(header + "".join(rows), encoding="ascii")


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

    ``<synset>/<model>.txt`` has a row ``x y z nx ny nz label`` for every point: y up, centered in the unit ball, the
    normal towards the viewer, and the label counting over all 50 parts of the 16 categories. The other files are
    synsetoffset2category.txt and train_test_split/shuffled_{train,val,test}_file_list.json with entries
    "shape_data/<synset>/<model>".

    Args:
        folder: the folder to create.
        items: shapes whose ``load`` returns a mesh with face labels; category one of SHAPENET_PART_CLASSES, split
            "train", "val" or "test".
        parts: names of the labels of the items, as "category/part".
        points: number of points of a shape; fewer if the scanner has fewer hits.
        force: replace a folder written before.
        progress: wraps the iteration over the items, for example ``tqdm``.

    Raises:
        InputError: an item does not fit, or ``folder`` cannot be written.
    """
    labels = _official_labels(parts)
    for item in items:
        if item.category not in SHAPENET_PART_LABELS:
            known = ", ".join(SHAPENET_PART_CLASSES)
            raise InputError(f"{item.id}: ShapeNet Part has no category {item.category!r}; available: {known}")
        if item.split not in ("train", "val", "test"):
            raise InputError(f"{item.id}: split {item.split!r}; ShapeNet Part needs 'train', 'val' or 'test'")
    with _layout_folder(folder, "ShapeNet Part", force=force) as root:
        for item in progress(items):
            file = root / SYNSETS[item.category] / f"{model_id(item)}.txt"
            file.parent.mkdir(exist_ok=True)
            rows = _scanned_rows(item, labels, points)
            file.write_text(_format_rows("%.6f %.6f %.6f %.4f %.4f %.4f %.6f", rows), encoding="ascii")
        _write_lists(root, items)


def _official_labels(parts: Sequence[str]) -> np.ndarray:
    """(P,) the label in ShapeNet Part of every part, -1 for parts of other categories."""
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
    """(N, 7) position, normal and label of random points of a scan."""
    from data_prep.sampling import scan  # loads Open3D

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
        # In the order of the model ids, which are hashes, so that the categories are shuffled.
        members = sorted((item for item in items if item.split == split), key=model_id)
        entries = [f"shape_data/{SYNSETS[item.category]}/{model_id(item)}" for item in members]
        (lists / f"shuffled_{split}_file_list.json").write_text(json.dumps(entries), encoding="ascii")


@contextmanager
def _layout_folder(folder: str | Path, layout: str, *, force: bool = False) -> Iterator[Path]:
    """Write a folder atomically: a temporary one becomes ``folder`` when the block ends without an exception.

    Args:
        folder: the folder to create; its parent must exist.
        layout: name of the layout, for README.txt in the folder.
        force: replace a folder written by an earlier call; other folders are never removed.

    Yields:
        The folder to write into.

    Raises:
        InputError: ``folder`` cannot be written or must not be replaced.
    """
    folder = Path(folder).absolute()
    _check(folder, force)
    with atomic_folder(folder) as temporary:
        note = f"{_OURS} in the layout of {layout}. They are computed, not those of that data set.\n"
        (temporary / _NOTE).write_text(note, encoding="utf-8")
        yield temporary


def _check(folder: Path, force: bool) -> None:
    if not folder.parent.is_dir():
        raise InputError(f"{folder}: the folder {folder.parent} does not exist; create it first")
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"{folder}: is a file; choose another name for the folder")
    if not any(folder.iterdir()):
        return
    if not force:
        raise InputError(f"{folder}: the folder is not empty; choose another one or use --force")
    note = folder / _NOTE
    if not (note.is_file() and note.read_text(encoding="utf-8", errors="replace").startswith(_OURS)):
        raise InputError(f"{folder}: not written by this command, so --force does not remove it; choose another folder")

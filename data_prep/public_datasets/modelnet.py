"""Read ModelNet40 and ModelNet10 as Princeton publishes them: <class>/{train,test}/<class>_0001.off with z up.

Source: Wu et al., "3D ShapeNets: A Deep Representation for Volumetric Shapes", CVPR 2015.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from data_prep.download import PublishedArchive
from data_prep.public_datasets.dataset import LAYOUTS, PublicDataset, add_shape, warn_of, wrong_shape_layout
from data_prep.source_files import SourceFile, mesh_item, walk
from pcrq import InputError

ARCHIVE40 = PublishedArchive(
    name="ModelNet40",
    url="http://modelnet.cs.princeton.edu/ModelNet40.zip",
    sha256="42dc3e656932e387f554e25a4eb2cc0e1a1bd3ab54606e2a9eae444c60e536ac",
    advice="see https://modelnet.cs.princeton.edu",
)
ARCHIVE10 = PublishedArchive(
    name="ModelNet10",
    url="http://3dvision.princeton.edu/projects/2014/3DShapeNets/ModelNet10.zip",
    sha256="9d8679435fc07d1d26f13009878db164a7aa8ea5e7ea3c8880e42794b7307d51",  # as in CompressAI
    advice="see https://modelnet.cs.princeton.edu",
)
_MODELNET10 = {"bathtub", "bed", "chair", "desk", "dresser", "monitor", "night_stand", "sofa", "table", "toilet"}
_SHAPE = LAYOUTS["ModelNet40 or ModelNet10"]
_CLASS_FOLDER = re.compile(r"(?:^|/)([^/]+)/(?:train|test)/$")
_PUBLISHED = {40: ("ModelNet40", (9843, 2468)), 10: ("ModelNet10", (3991, 908))}  # classes: training and test shapes

log = logging.getLogger(__name__)


def collect_modelnet40(source: str | Path) -> PublicDataset:
    """Find the shapes of ModelNet40 in a folder or archive; what is missing or not part of it is logged.

    Args:
        source: the .zip file or the extracted folder, complete or in part. ModelNet10 has the same layout.

    Returns:
        Meshes class by class, first the training and then the test shapes of a class, in the order of their names:
        the first ones are O-CNN's few-label subsets. Axes change from (x, y, z) to (y, z, x), so that y is up. Ids are
        paths such as "chair/train/chair_0001.off"; classes are the names of the folders, sorted.

    Raises:
        InputError: the source is missing, damaged, hostile or of another kind, or contains a shape twice.
    """
    source, found, folders, surplus = Path(source), {}, set(), []
    for file in walk(source):
        if match := _SHAPE.search(file.name):
            category, split, name = match.groups()
            add_shape(found, (category, split.lower(), name), file, source)
        elif match := _CLASS_FOLDER.search(file.name):
            folders.add(match[1])
        elif file.name.lower().endswith(".off"):
            surplus.append(file.name)
    if not found:
        raise wrong_shape_layout(source, "ModelNet40 or ModelNet10")
    _log_found(source, found, folders, surplus)
    items = [
        mesh_item(found[key], "/".join(key), category=key[0], split=key[1], up="z")
        for key in sorted(found, key=lambda key: (key[0], key[1] != "train", key[2]))
    ]
    classes = sorted({category for category, _, _ in found})
    return PublicDataset(_PUBLISHED.get(len(classes), _PUBLISHED[40])[0], items, classes)


def collect_modelnet10(source: str | Path) -> PublicDataset:
    """Find the shapes of ModelNet10, as :func:`collect_modelnet40` does.

    Raises:
        InputError: as there, or a class is not one of ModelNet10.
    """
    dataset = collect_modelnet40(source)
    if other := sorted(set(dataset.classes) - _MODELNET10):
        raise InputError(f"{source}: the class {other[0]!r} is not one of ModelNet10; use 'pcrq prep modelnet40'")
    return replace(dataset, name="ModelNet10")


def _log_found(
    source: Path, found: dict[tuple[str, str, str], SourceFile], folders: set[str], surplus: Iterable[str]
) -> None:
    classes = {category for category, _, _ in found}
    counts = Counter(split for _, split, _ in found)
    name, published = _PUBLISHED.get(len(classes), (None, None))
    whole = (counts["train"], counts["test"]) == published
    log.info(
        "%s: %d training and %d test shapes of %d classes%s",
        source,
        counts["train"],
        counts["test"],
        len(classes),
        f", all of {name}" if whole else f"; {name} has {published[0]} and {published[1]}" if name else "",
    )
    warn_of(source, surplus, "{} OFF files are not <class>/train|test/<class>_<number>.off and not used")
    warn_of(source, folders - classes, "{} folders of classes are empty")
    for split, what in (("train", "training"), ("test", "test")):
        warn_of(source, classes - {c for c, s, _ in found if s == split}, f"{{}} classes have no {what} shapes")
    if not whole:
        warn_of(source, _missing_numbers(found), "{} numbers do not occur, so files may be missing")


def _missing_numbers(found: Iterable[tuple[str, str, str]]) -> Iterable[str]:
    """Files whose number does not occur; the numbers of test shapes of a class follow those of its training shapes."""
    numbers: dict[str, set[int]] = {}
    for category, _, name in found:
        numbers.setdefault(category, set()).add(int(re.search(r"_(\d+)\.", name)[1]))
    for category, there in numbers.items():
        if max(there) < 100 * len(there):  # otherwise the numbers do not count the shapes
            yield from (f"{category}_{number:04d}.off" for number in set(range(1, max(there))) - there)

"""Read ShapeNet Part, the version with normals, as its authors publish it: labeled points as text, and three lists.

Source: Yi et al., "A Scalable Active Framework for Region Annotation in 3D Shape Collections", SIGGRAPH Asia 2016.
"""

from __future__ import annotations

import io
import json
import logging
import re
from collections import Counter
from functools import partial
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np

from data_prep.download import PublishedArchive
from data_prep.file_checks import check_format
from data_prep.point_cloud import PointCloud
from data_prep.public_datasets.dataset import (
    LAYOUTS,
    SPLITS,
    PublicDataset,
    add_shape,
    warn_of,
    wrong_shape_layout,
)
from data_prep.public_datasets.shapenetcore import SYNSETS
from data_prep.run import Item
from data_prep.source_files import SourceFile, walk
from pcrq import InputError

# ShapeNet Part numbers its parts without names. These are the names in the literature (the prompts of PointCLIP V2, Zhu
# et al., ICCV 2023, shortened); those of lamps describe what the four labels mark.
_PARTS: dict[str, tuple[str, ...]] = {
    "airplane": ("body", "wing", "tail", "engine"),
    "bag": ("handle", "body"),
    "cap": ("crown", "peak"),
    "car": ("roof", "hood", "wheel", "body"),
    "chair": ("back", "seat", "leg", "arm"),
    "earphone": ("earcup", "headband", "wire"),
    "guitar": ("head", "neck", "body"),
    "knife": ("blade", "handle"),
    "lamp": ("base", "shade", "canopy", "tube"),
    "laptop": ("keyboard", "screen"),
    "motorbike": ("gas tank", "seat", "wheel", "handle", "light", "frame"),
    "mug": ("handle", "body"),
    "pistol": ("barrel", "handle", "trigger"),
    "rocket": ("body", "fin", "nose"),
    "skateboard": ("wheel", "deck", "belt"),
    "table": ("desktop", "leg", "drawer"),
}
SHAPENET_PART_CLASSES = tuple(_PARTS)
"""The 16 categories of ShapeNet Part in the order of their synsets, which is also that of their names."""
SHAPENET_PART_NAMES = tuple(f"{category}/{part}" for category, parts in _PARTS.items() for part in parts)
"""The 50 parts of ShapeNet Part as "category/part", in the order of their labels."""
SHAPENET_PART_LABELS: dict[str, range] = {
    category: range(*labels)
    for category, labels in zip(_PARTS, pairwise(accumulate(map(len, _PARTS.values()), initial=0)), strict=True)
}
"""The labels of every category of ShapeNet Part: 0 to 3 for airplanes, 47 to 49 for tables."""

ARCHIVE = PublishedArchive(
    name="ShapeNet Part",
    url="https://shapenet.cs.stanford.edu/media/shapenetcore_partanno_segmentation_benchmark_v0_normal.zip",
    sha256=None,
    advice="where its authors no longer offer it, O-CNN's author keeps a copy at "
    "https://huggingface.co/datasets/wangps/shapenet_segmentation, under the terms of https://shapenet.org",
)
_SHAPE = LAYOUTS["ShapeNet Part"]
_LIST = re.compile(r"(?:^|/)train_test_split/shuffled_(train|val|test)_file_list\.json$")
_ENTRY = re.compile(r"(?:^|/)(\d{8})/([^/]+)$")
_CATEGORY = {SYNSETS[category]: category for category in SHAPENET_PART_CLASSES}
_PUBLISHED = {"train": 12_137, "val": 1_870, "test": 2_874}

log = logging.getLogger(__name__)


def collect_shapenet_part(source: str | Path) -> PublicDataset:
    """Find the labeled point clouds of ShapeNet Part; what is missing or in no list is logged.

    Args:
        source: the .zip file or the extracted folder; point clouds may be missing, the three lists may not.

    Returns:
        Point clouds in the order of the lists, first training, then validation, then test, so that the first ⌈ratio·n⌉
        of training and validation of a category are those of O-CNN's few-label subsets. Ids are "<synset>/<model>".
        Classes are always the 16 categories and parts the 50 parts; labels count over all of them, from 0 to 49.

    Raises:
        InputError: the source is missing, damaged, hostile or of another kind, contains a shape twice, or a list is
            missing or cannot be used.
    """
    source, found, lists = Path(source), {}, {}
    for file in walk(source):
        if (match := _SHAPE.search(file.name)) and match[1] in _CATEGORY:
            add_shape(found, match.groups(), file, source)
        elif match := _LIST.search(file.name):
            add_shape(lists, match[1], file, source)
    if not found:
        raise wrong_shape_layout(source, "ShapeNet Part")
    for split in SPLITS:
        if split not in lists:
            raise InputError(
                f"{source}: train_test_split/shuffled_{split}_file_list.json is missing; extract or download it again"
            )
    listed = _read_lists(source, lists)
    there = {key: split for key, split in listed.items() if key in found}
    if not there:
        raise InputError(f"{source}: none of the {len(listed)} listed shapes was found; extract or download it again")
    _log_found(source, found, listed, there)
    items = [_item(found[key], key, split) for key, split in there.items()]
    return PublicDataset("ShapeNet Part", items, list(SHAPENET_PART_CLASSES), list(SHAPENET_PART_NAMES))


def _item(file: SourceFile, key: tuple[str, str], split: str) -> Item:
    id, category = "/".join(key), _CATEGORY[key[0]]
    return Item(id, partial(_load, file, id, category), category, split, stamp=file.stamp())


def _load(file: SourceFile, id: str, category: str) -> PointCloud:
    try:
        return parse_labelled_points(file.read(), file.name, category)
    except InputError as error:
        raise InputError(str(error).replace(file.name, id, 1)) from error


def parse_labelled_points(data: bytes, name: str, category: str) -> PointCloud:
    """Read the text of one point cloud: a row ``x y z nx ny nz label`` for every point; blank lines are ignored.

    Some rows of the published files have a normal of length zero. Such a point gets the normal of the nearest point
    that has one, so that every labeled point is kept.

    Args:
        data: content of the file.
        name: name of the file in error messages.
        category: one of SHAPENET_PART_CLASSES, to which the labels must belong.

    Returns:
        (N, 3) float64 points and unit normals and (N,) int64 labels in [0, 49], in the order of the file.

    Raises:
        InputError: the text has another format, or a label is not one of the category.
    """
    check_format(data, ".txt", name)
    try:
        rows = np.loadtxt(io.BytesIO(data), comments=None, ndmin=2)
    except ValueError as error:
        raise InputError(f"{name}: damaged or truncated ({' '.join(str(error).split())[:120]})") from error
    if rows.shape[1] != 7:
        raise InputError(f"{name}: rows of {rows.shape[1]} numbers, expected 7: position, normal and label")
    allowed = SHAPENET_PART_LABELS[category]
    wrong = rows[~np.isin(rows[:, 6], allowed), 6]
    if len(wrong):
        raise InputError(f"{name}: label {wrong[0]:g}, but those of {category!r} are {allowed[0]} to {allowed[-1]}")
    return PointCloud(rows[:, :3], _whole_normals(rows[:, :3], rows[:, 3:6]), rows[:, 6].astype(np.int64))


def _whole_normals(points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Unit normals; one of length zero, or not finite, becomes that of the nearest point with a normal."""
    from scipy.spatial import cKDTree  # heavy

    length = np.linalg.norm(normals, axis=1)
    known = (length > 0) & np.isfinite(length)
    if not known.any() or not np.isfinite(points).all():
        return normals  # the pipeline raises the error
    if not known.all():
        nearest = cKDTree(points[known]).query(points[~known])[1]
        normals, length = normals.copy(), length.copy()
        normals[~known], length[~known] = normals[known][nearest], length[known][nearest]
    return normals / length[:, None]


def _read_lists(source: Path, lists: dict[str, SourceFile]) -> dict[tuple[str, str], str]:
    """The split of every listed shape, in the order of the lists."""
    listed: dict[tuple[str, str], str] = {}
    repeated = []
    for split in SPLITS:
        for entry in _entries(lists[split]):
            key = _ENTRY.search(entry).groups()
            if key in listed:
                repeated.append("/".join(key))
            listed.setdefault(key, split)
    warn_of(source, repeated, "{} shapes are listed more than once, of which the first is used")
    return listed


def _entries(file: SourceFile) -> list[str]:
    try:
        entries = json.loads(file.read())
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file.name}: not a list in JSON ({error}); extract or download it again") from error
    if not isinstance(entries, list):
        raise InputError(f"{file.name}: not a list in JSON; extract or download it again")
    for entry in entries:
        match = _ENTRY.search(entry) if isinstance(entry, str) else None
        if match is None or match[1] not in _CATEGORY:
            raise InputError(f"{file.name}: the entry {entry!r}, expected shape_data/<one of 16 synsets>/<model>")
    return entries


def _log_found(source: Path, found: dict, listed: dict, there: dict[tuple[str, str], str]) -> None:
    counts = Counter(there.values())
    log.info(
        "%s: %s shapes of %d categories%s",
        source,
        ", ".join(f"{counts[split]} {split}" for split in SPLITS),
        len({synset for synset, _ in there}),
        ", all of ShapeNet Part" if dict(counts) == _PUBLISHED else f"; ShapeNet Part has {sum(_PUBLISHED.values())}",
    )
    missing, unlisted = listed.keys() - found.keys(), found.keys() - listed.keys()
    warn_of(source, map("/".join, missing), "{} listed shapes are missing")
    warn_of(source, map("/".join, unlisted), "{} files are in no list and not used")
    empty = {_CATEGORY[synset] for synset, _ in listed} - {_CATEGORY[synset] for synset, _ in there}
    warn_of(source, empty, "{} listed categories have no shape")

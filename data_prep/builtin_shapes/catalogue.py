"""The categories of built-in shapes, their parts, and the functions that make a mesh or the items of a dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from data_prep.builtin_shapes import (
    aircraft,
    cars,
    devices,
    furniture,
    handheld,
    lamps,
    seating,
    vehicles,
    vessels,
    wearables,
)
from data_prep.builtin_shapes.dice import Dice
from data_prep.builtin_shapes.primitives import Solid
from data_prep.mesh import Mesh
from data_prep.run import Item
from pcrq import InputError

VERSION = 1
"""Increases when a generator changes, so that shapes prepared before are prepared again."""

# The categories of ShapeNet Part, with its number of parts each, come first and in its order.
CATEGORIES: dict[str, tuple[str, ...]] = {
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
    "skateboard": ("wheel", "deck", "truck"),
    "table": ("desktop", "leg", "support"),
    "bed": ("mattress", "headboard", "frame", "pillow"),
    "bench": ("back", "seat", "leg", "arm"),
    "bookshelf": ("frame", "shelf", "book"),
    "bottle": ("body", "neck", "cap"),
    "cabinet": ("body", "front", "leg", "handle"),
    "monitor": ("screen", "stand"),
    "sofa": ("back", "seat", "leg", "arm"),
    "stool": ("back", "seat", "leg"),
    "vase": ("body", "foot", "handle", "plant"),
}

_GENERATORS: dict[str, Callable[[Dice], Iterator[tuple[str, Solid]]]] = {
    "airplane": aircraft.airplane,
    "bag": wearables.bag,
    "cap": wearables.cap,
    "car": cars.car,
    "chair": seating.chair,
    "earphone": devices.earphone,
    "guitar": handheld.guitar,
    "knife": handheld.knife,
    "lamp": lamps.lamp,
    "laptop": devices.laptop,
    "motorbike": vehicles.motorbike,
    "mug": vessels.mug,
    "pistol": handheld.pistol,
    "rocket": aircraft.rocket,
    "skateboard": vehicles.skateboard,
    "table": furniture.table,
    "bed": furniture.bed,
    "bench": seating.bench,
    "bookshelf": furniture.bookshelf,
    "bottle": vessels.bottle,
    "cabinet": furniture.cabinet,
    "monitor": devices.monitor,
    "sofa": seating.sofa,
    "stool": seating.stool,
    "vase": vessels.vase,
}

_STRETCH = 0.22  # every axis is scaled by up to e^±0.22, about a quarter


def generate(category: str, index: int, seed: int = 0) -> Mesh:
    """Make one shape.

    The same arguments give the same mesh in every process, whatever was made before.

    Args:
        category: a name in CATEGORIES.
        index: index of the shape in the category, any integer from 0.
        seed: random seed of all shapes.

    Returns:
        Closed parts as one triangle soup, in meters, y up, on the plane y = 0 and facing −z. ``face_labels``
        index ``CATEGORIES[category]``. Every face has a positive area and winds counter-clockwise seen from outside
        its part; parts may intersect.

    Raises:
        InputError: there is no such category, or the index is negative.
    """
    check_categories([category])
    if index < 0:
        raise InputError(f"index {index} of {category} is negative; indices start at 0")
    dice = Dice("pcrq shape", int(seed), category, int(index))
    solids = list(_GENERATORS[category](dice))
    stretch = np.exp([dice.between(-_STRETCH, _STRETCH) for _ in range(3)])
    counts = np.array([len(solid.vertices) for _, solid in solids])
    starts = np.cumsum(counts) - counts
    vertices = np.concatenate([solid.vertices for _, solid in solids]) * stretch
    vertices[:, 1] -= vertices[:, 1].min()
    faces = np.concatenate([solid.faces + start for (_, solid), start in zip(solids, starts, strict=True)])
    part = [CATEGORIES[category].index(name) for name, _ in solids]
    labels = np.repeat(np.array(part, np.int64), [len(solid.faces) for _, solid in solids])
    keep = _has_area(vertices, faces)
    return Mesh(vertices, faces[keep], labels[keep])


def _has_area(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F,) bool: faces with an area, unlike those at the ends of pointed plates."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    doubled = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    return doubled > 1e-9 * np.ptp(vertices, axis=0).max() ** 2


def check_categories(categories) -> list[str]:
    """The categories as a list, all of CATEGORIES for None.

    Raises:
        InputError: one of them is unknown or named twice, or there is none.
    """
    names = list(CATEGORIES) if categories is None else list(categories)
    for name in names:
        if name not in CATEGORIES:
            raise InputError(f"unknown built-in category {name!r}; available: {', '.join(CATEGORIES)}")
    if len(set(names)) != len(names) or not names:
        raise InputError(f"categories {','.join(names)!r}: at least one is needed, and none may be repeated")
    return names


def part_names(categories=None) -> list[str]:
    """ "category/part" over the categories in order, all of CATEGORIES for None."""
    return [f"{name}/{part}" for name in check_categories(categories) for part in CATEGORIES[name]]


def builtin_items(
    count_per_category: int, categories: Sequence[str] | None = None, seed: int = 0, *, validation: bool = False
) -> list[Item]:
    """The items of a dataset of built-in shapes.

    Use them as ``prepare(items, out, classes=class_names(categories), parts=part_names(categories))``.

    Args:
        count_per_category: shapes of every category, at least 1.
        categories: names in CATEGORIES; None for all.
        seed: random seed of all shapes.
        validation: whether there is a split "val".

    Returns:
        Items with ids such as "chair-0007", category by category. Of ten shapes, numbers 4 and 9 are "test", with
        ``validation`` number 3 is "val", and the others are "train". Labels index ``part_names(categories)``.

    Raises:
        InputError: the count is too small or a category is unknown.
    """
    if count_per_category < 1:
        raise InputError(f"count {count_per_category} is too small; at least 1 shape per category is needed")
    names, items, first_label = check_categories(categories), [], 0
    for name in names:
        for index in range(count_per_category):
            load = partial(_generate_labelled, name, index, seed, first_label)
            stamp = f"builtin shapes {VERSION}, seed {seed}, labels from {first_label}"
            items.append(Item(f"{name}-{index:04d}", load, name, _split(index, validation), stamp))
        first_label += len(CATEGORIES[name])
    return items


def class_names(categories: Sequence[str] | None = None) -> list[str]:
    """The categories in order; all of CATEGORIES for None."""
    return check_categories(categories)


def _generate_labelled(category: str, index: int, seed: int, first_label: int) -> Mesh:
    mesh = generate(category, index, seed)
    return Mesh(mesh.vertices, mesh.faces, mesh.face_labels + first_label)


def _split(index: int, validation: bool) -> str:
    if index % 5 == 4:
        return "test"
    return "val" if validation and index % 10 == 3 else "train"

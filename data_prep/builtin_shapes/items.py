"""Built-in shapes as items of a preparation run, with splits and with part labels that count over all categories."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from data_prep.builtin_shapes.catalogue import CATEGORIES, check_categories, generate
from data_prep.mesh import Mesh
from data_prep.run import Item
from pcrq.errors import InputError

VERSION = 1
"""Goes up when a generator changes what it makes, so that shapes prepared before are made anew."""


def builtin_items(
    count_per_category: int, categories: Sequence[str] | None = None, seed: int = 0, *, validation: bool = False
) -> list[Item]:
    """The items of a data set of built-in shapes.

    Use them as ``prepare(items, out, classes=class_names(categories), parts=part_names(categories))``.

    Args:
        count_per_category: shapes of every category, at least 1.
        categories: names in CATEGORIES; None for all.
        seed: another seed gives other shapes.
        validation: whether there is a split "val" too.

    Returns:
        Items named "chair-0007", category after category. Of every ten shapes numbers 4 and 9 are "test", with
        ``validation`` number 3 is "val", the others are "train". Labels index ``part_names(categories)``.

    Raises:
        InputError: the count is too small or a category is unknown.
    """
    if count_per_category < 1:
        raise InputError(f"{count_per_category} shapes of every category asked for; give at least 1")
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

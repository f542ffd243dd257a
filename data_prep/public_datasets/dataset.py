"""What every reader of a public data set returns, and what they share."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from data_prep.mesh import Mesh
from data_prep.mesh_loading import Axis, parse_mesh
from data_prep.public_datasets.source_files import SourceFile
from data_prep.run import Item
from data_prep.safe_zip import Member
from pcrq.errors import InputError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PublicDataset:
    """A public data set, or a part of it, ready for :func:`data_prep.run.prepare`.

    Args:
        name: which one, such as "ShapeNetCore v1".
        items: its shapes, in an order that every reader documents.
        classes: names of the categories.
        parts: names of the parts in the order of the labels, None where points are not labelled.
    """

    name: str
    items: list[Item]
    classes: list[str]
    parts: list[str] | None = None


def mesh_item(file: SourceFile, id: str, *, category: str, split: str, up: Axis) -> Item:
    """The item of a mesh in a file; it is read when the item is loaded."""
    return Item(id, partial(_load_mesh, file, id, up), category, split, stamp=f"{up} {file.stamp()}")


def _load_mesh(file: SourceFile, id: str, up: Axis) -> Mesh:
    try:
        return parse_mesh(file.read(), file.name, up=up)
    except InputError as error:
        raise InputError(str(error).replace(file.name, id, 1)) from error


def add_once(found: dict, key, file: SourceFile, source: object) -> None:
    """Note the file of a shape. Of one in an archive and one unpacked beside it, that in the archive counts.

    An unpacked copy may be half of one, while an archive has checksums.

    Raises:
        InputError: there are two folders or two archives with the shape.
    """
    other = found.get(key)
    if other is not None and isinstance(other.place, Member) == isinstance(file.place, Member):
        raise InputError(f"{source}: holds the same shape twice, {other.name} and {file.name}; name one of the folders")
    if other is None or isinstance(file.place, Member):
        found[key] = file


def warn_of(source: object, names: Iterable[str], what: str) -> None:
    """Say in the log how many names there are and which is the first; nothing where there are none.

    Args:
        source: what the message begins with.
        names: of files, shapes or classes.
        what: with a place for the number, such as "{} files are in no list, they are not used".
    """
    names = sorted(names)
    if names:
        log.warning("%s: %s; the first is %s", source, what.format(len(names)), names[0])

"""A folder or zip archive of meshes as items of a preparation run."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from data_prep.labelled_folder import FileKind, collect_files
from data_prep.mesh import Mesh
from data_prep.mesh_loading import MESH_FORMATS, Axis, load_mesh, parse_mesh
from data_prep.run import Item
from data_prep.safe_zip import read_member
from pcrq.errors import InputError


@dataclass(frozen=True)
class MeshCollection:
    """Meshes and the categories that occur among them.

    Args:
        items: in the order of their paths; the id is the path below the folder or in the archive.
        classes: names of the categories, sorted.
    """

    items: list[Item]
    classes: list[str]


def collect_meshes(source: str | Path, *, labels: str | Path | None = None, up: Axis = "y") -> MeshCollection:
    """Find the meshes below a folder or in a zip archive; see :func:`~data_prep.labelled_folder.collect_files`.

    Args:
        source: a folder, or a zip archive.
        labels: the table of categories; without it, ``labels.csv`` at the top of the source if there is one.
        up: the axis of the files that points upward.

    Raises:
        InputError: the source is missing, of another kind, hostile, damaged or without meshes, or the table is
            missing, lacks a column or contradicts itself.
    """
    load_file, load_member = partial(_load_file, up=up), partial(_load_member, up=up)
    kind = FileKind("mesh", "meshes", MESH_FORMATS, load_file, load_member, stamp=up)
    return MeshCollection(*collect_files(source, kind, labels=labels))


def _load_file(path: Path, name: str, up: Axis) -> Mesh:
    try:
        return load_mesh(path, up=up)
    except InputError as error:
        raise InputError(str(error).replace(str(path), name)) from error


def _load_member(archive: Path, member: str, name: str, up: Axis) -> Mesh:
    def beside(neighbour: str) -> bytes:
        folder = posixpath.dirname(member)
        full = posixpath.normpath(posixpath.join(folder, neighbour))
        if not full.startswith(f"{folder}/" if folder else "") or full.startswith(("../", "/")):
            raise InputError(f"refers to {neighbour!r} outside its folder; keep buffers beside the file")
        return read_member(archive, full)

    try:
        return parse_mesh(read_member(archive, member), name, up=up, beside=beside)
    except InputError as error:
        raise InputError(str(error).replace(member, name)) from error

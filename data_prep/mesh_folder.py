"""A folder or zip archive of meshes as items of a preparation run."""

from __future__ import annotations

import csv
import io
import logging
import os
import posixpath
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from data_prep.hidden_files import is_hidden
from data_prep.mesh import Mesh
from data_prep.mesh_loading import MESH_FORMATS, Axis, load_mesh, parse_mesh
from data_prep.run import Item
from data_prep.safe_zip import list_members, read_member
from octree.shape_store import SPLITS
from pcrq.errors import InputError

LABELS = "labels.csv"

log = logging.getLogger(__name__)


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
    """Find the meshes below a folder or in a zip archive; hidden files are passed over.

    The category of a mesh comes from a table with the columns ``file`` (path below the folder) and ``label``; further
    columns do not matter. Without a table it is the name of the top folder, unknown for a mesh that lies in none.

    Args:
        source: a folder, or a zip archive. Where an archive ``name.zip`` holds one folder ``name``, that counts as
            the archive.
        labels: the table; without it, ``labels.csv`` at the top of the source if there is one.
        up: the axis of the files that points upward.

    Raises:
        InputError: the source is missing, of another kind, hostile, damaged or without meshes, or the table is
            missing, lacks a column or contradicts itself.
    """
    source = Path(source)
    if not source.exists():
        raise InputError(f"{source}: no such file or folder")
    if source.is_dir():
        items, table = _in_folder(source, up)
    elif source.suffix.lower() in MESH_FORMATS:
        raise InputError(f"{source}: a single mesh; name the folder it is in")
    elif source.suffix.lower() == ".zip":
        items, table = _in_zip(source, up)
    else:
        raise InputError(f"{source}: neither a folder nor a .zip archive; unpack other archives and name the folder")
    if not items:
        raise InputError(f"{source}: no mesh ({' '.join(MESH_FORMATS)}) in it")
    if labels is not None:
        table = (str(labels), _read_table(Path(labels)))
    known = _top_folders(items) if table is None else _from_table(items, *table)
    items = [Item(i.id, i.load, *known.get(i.id, ("", "")), stamp=i.stamp) for i in items]
    return MeshCollection(items, sorted({item.category for item in items} - {""}))


def _in_folder(folder: Path, up: Axis) -> tuple[list[Item], tuple[str, bytes] | None]:
    """Items without categories, and name and content of the table of categories."""
    paths = {}
    for parent, _, files in os.walk(folder):
        for file in files:
            path = Path(parent, file)
            paths[path.relative_to(folder).as_posix()] = path
    items = []
    for name in _meshes(paths):
        try:
            status = paths[name].stat()
            stamp = f"{up} {status.st_size} {status.st_mtime_ns}"
        except OSError:  # a dangling link: loading it says so
            stamp = up
        items.append(Item(name, partial(_load_file, paths[name], name, up), stamp=stamp))
    table = folder / LABELS
    return items, (str(table), _read_table(table)) if LABELS in paths else None


def _in_zip(archive: Path, up: Axis) -> tuple[list[Item], tuple[str, bytes] | None]:
    members = list_members(archive)
    visible = [name for name in members if not is_hidden(name)]
    wrapper = f"{archive.stem}/"
    prefix = wrapper if all(name.startswith(wrapper) for name in visible) else ""
    short = {name.removeprefix(prefix): name for name in visible}
    items = []
    for name in _meshes(short):
        info = members[short[name]]
        load = partial(_load_member, archive.resolve(), short[name], name, up)
        items.append(Item(name, load, stamp=f"{up} {info.file_size} {info.CRC:08x}"))
    if LABELS not in short:
        return items, None
    return items, (f"{archive}:{short[LABELS]}", read_member(archive, short[LABELS]))


def _meshes(names: Iterable[str]) -> list[str]:
    return sorted(n for n in names if PurePosixPath(n).suffix.lower() in MESH_FORMATS and not is_hidden(n))


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


def _read_table(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: the table of labels cannot be read ({error.strerror})") from error


def _from_table(items: list[Item], name: str, content: bytes) -> dict[str, tuple[str, str]]:
    """Category and split by id; says in the log how table and files differ."""
    try:
        rows = csv.DictReader(io.StringIO(content.decode("utf-8-sig")), strict=True)
        if not {"file", "label"} <= set(rows.fieldnames or ()):
            raise InputError(f"{name}: columns {rows.fieldnames}, expected 'file' and 'label' among them")
        known: dict[str, tuple[str, str]] = {}
        for row in rows:
            file = posixpath.normpath((row["file"] or "").replace("\\", "/"))
            label, split = (row["label"] or "").strip(), (row.get("split") or "").strip()
            if split not in SPLITS:
                raise InputError(f"{name}: {file} has the split {split!r}, which is not one of {SPLITS}")
            if known.setdefault(file, (label, split)) != (label, split):
                raise InputError(f"{name}: {file} has two labels, {known[file][0]!r} and {label!r}; keep one row")
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{name}: not a CSV file in UTF-8 ({error})") from error
    found = {item.id for item in items}
    missing, unlisted = sorted(set(known) - found), sorted(found - set(known))
    if missing:
        log.warning("%s: %d of its files are not there, the first is %s", name, len(missing), missing[0])
    if unlisted:
        log.warning(
            "%s: %d meshes are not in it, their category is unknown; the first is %s", name, len(unlisted), unlisted[0]
        )
    return known


def _top_folders(items: list[Item]) -> dict[str, tuple[str, str]]:
    return {item.id: (item.id.split("/")[0], "") for item in items if "/" in item.id}

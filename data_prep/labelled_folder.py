"""Folders and zip archives of meshes or sounds as items; categories come from their folders or from a table."""

from __future__ import annotations

import csv
import io
import logging
import posixpath
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

from data_prep.mesh import MESH_FORMATS, Axis
from data_prep.run import Item
from data_prep.sound_loading import SOUND_FORMATS
from data_prep.source_files import SourceFile, mesh_item, sound_item, walk
from pcrq import InputError
from pcrq.stores.store_file import SPLITS

LABELS = "labels.csv"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Collection:
    """Items and the categories that occur among them.

    Args:
        items: in the order of their paths; the id is the path below the folder or in the archive.
        classes: names of the categories, sorted.
    """

    items: list[Item]
    classes: list[str]


@dataclass(frozen=True)
class _FileKind:
    """Files of one kind.

    Args:
        name, plural: their name in messages.
        formats: their suffixes, in lower case.
        item: makes an item of a file and its id.
        folds: whether a column ``fold`` of the table is read.
    """

    name: str
    plural: str
    formats: tuple[str, ...]
    item: Callable[[SourceFile, str], Item]
    folds: bool = False


@dataclass(frozen=True)
class _Label:
    """Category, split and fold of a file."""

    category: str = ""
    split: str = ""
    fold: int = -1


def collect_meshes(source: str | Path, *, labels: str | Path | None = None, up: Axis = "y") -> Collection:
    """Find the meshes in a folder, at any depth, or in a zip archive; links are followed, hidden files ignored.

    Categories come from a table with the columns ``file`` (path below the folder) and ``label``, and optionally
    ``split`` (train, val, test); other columns are ignored. Without a table the category of a file is the name of the
    top folder, and unknown for a file outside any folder.

    Args:
        source: a folder or zip archive. If an archive ``name.zip`` contains only a folder ``name``, ids begin below it.
        labels: the table; default: ``labels.csv`` at the top of the source if it exists.
        up: axis of the files that points upward.

    Raises:
        InputError: the source is missing, of another kind, hostile, damaged or without meshes; or the table is
            missing, has no column ``file`` or ``label``, or contradicts itself.
    """
    return _collect(source, _FileKind("mesh", "meshes", MESH_FORMATS, partial(mesh_item, up=up)), labels)


def collect_sounds(source: str | Path, *, labels: str | Path | None = None) -> Collection:
    """Find the sound files in a folder, at any depth, or in a zip archive.

    As :func:`collect_meshes`; the table may have another column ``fold`` (an integer from 0).

    Args:
        source: a folder or zip archive.
        labels: the table; default: ``labels.csv`` at the top of the source if it exists.

    Raises:
        InputError: as :func:`collect_meshes`.
    """
    return _collect(source, _FileKind("sound file", "sound files", SOUND_FORMATS, sound_item, folds=True), labels)


def _collect(source: str | Path, kind: _FileKind, labels: str | Path | None) -> Collection:
    source = Path(source)
    if source.is_file() and source.suffix.lower() in kind.formats:
        raise InputError(f"{source}: a single {kind.name}; pass the folder that contains it")
    files = _files_by_id(source)
    items = [kind.item(files[id], id) for id in sorted(files) if PurePosixPath(id).suffix.lower() in kind.formats]
    if not items:
        raise InputError(f"{source}: contains no {kind.name} ({' '.join(kind.formats)})")
    if labels is not None:
        known = _read_table(str(labels), SourceFile(str(labels), Path(labels)).read(), items, kind)
    elif LABELS in files:
        known = _read_table(str(source / LABELS), files[LABELS].read(), items, kind)
    else:
        known = {item.id: _Label(item.id.split("/")[0]) for item in items if "/" in item.id}
    items = [replace(item, **vars(known.get(item.id, _Label()))) for item in items]
    return Collection(items, sorted({item.category for item in items} - {""}))


def _files_by_id(source: Path) -> dict[str, SourceFile]:
    """All files, by their path below the folder or in the archive."""
    log_unreadable = partial(log.warning, "%s; its files are ignored")
    files = [file for file in walk(source, unreadable=log_unreadable) if not file.name.endswith("/")]
    found = {file.name.partition("/")[2]: file for file in files}
    wrapper = f"{source.stem}/"
    if source.is_file() and all(id.startswith(wrapper) for id in found):
        found = {id.removeprefix(wrapper): file for id, file in found.items()}
    return found


def _read_table(name: str, content: bytes, items: list[Item], kind: _FileKind) -> dict[str, _Label]:
    """The labels of a table by id; differences between table and files are logged."""
    try:
        rows = csv.DictReader(io.StringIO(content.decode("utf-8-sig")), strict=True)
        if not {"file", "label"} <= set(rows.fieldnames or ()):
            raise InputError(f"{name}: columns {rows.fieldnames}, expected 'file' and 'label' among them")
        known: dict[str, _Label] = {}
        for row in rows:
            file = posixpath.normpath((row["file"] or "").replace("\\", "/"))
            split = (row.get("split") or "").strip()
            if split and split not in SPLITS:
                raise InputError(f"{name}: {file} has the split {split!r}, which is not one of {SPLITS}")
            fold = _fold(row.get("fold"), f"{name}: {file}") if kind.folds else -1
            label = _Label((row["label"] or "").strip(), split, fold)
            if known.setdefault(file, label) != label:
                raise InputError(
                    f"{name}: {file} has two labels, {known[file].category!r} and {label.category!r}; keep one row"
                )
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{name}: not a CSV file in UTF-8 ({error})") from error
    found = {item.id for item in items}
    missing, unlisted = sorted(set(known) - found), sorted(found - set(known))
    if missing:
        log.warning("%s: %d of its files do not exist; the first is %s", name, len(missing), missing[0])
    if unlisted:
        log.warning(
            "%s: %d %s have no row, so their category is unknown; the first is %s",
            name, len(unlisted), kind.plural, unlisted[0],
        )  # fmt: skip
    return known


def _fold(text: str | None, where: str) -> int:
    text = (text or "").strip()
    if text and not (text.isascii() and text.isdigit() and int(text) < 2**31):
        raise InputError(f"{where} has the fold {text!r}; a fold is an integer from 0, or empty")
    return int(text) if text else -1

"""A folder or zip archive of files as items of a preparation run; categories from their folders or from a table."""

from __future__ import annotations

import csv
import io
import logging
import posixpath
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from data_prep.folder_walk import walk_folder
from data_prep.hidden_files import is_hidden
from data_prep.run import Item
from data_prep.safe_zip import list_members, read_member
from pcrq.errors import InputError
from pcrq.stores.store_file import SPLITS

LABELS = "labels.csv"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FileKind:
    """The files to look for, and how they are read.

    Args:
        name, plural: what messages call them.
        formats: their suffixes, in lower case.
        load_file: reads a file on disk, given its path and the id that error messages begin with; a module-level
            function, or a ``functools.partial`` of one, because workers call it.
        load_member: the same for a member of a zip archive: the archive, the member's name there, the id.
        stamp: options that the result depends on, as the beginning of an item's stamp.
        folds: whether a column ``fold`` of the table counts.
    """

    name: str
    plural: str
    formats: tuple[str, ...]
    load_file: Callable[[Path, str], Any]
    load_member: Callable[[Path, str, str], Any]
    stamp: str = ""
    folds: bool = False


@dataclass(frozen=True)
class Label:
    """What a table or a folder says about a file."""

    category: str = ""
    split: str = ""
    fold: int = -1


def collect_files(
    source: str | Path, kind: FileKind, *, labels: str | Path | None = None
) -> tuple[list[Item], list[str]]:
    """Find the files of a kind below a folder, links followed, or in a zip archive; hidden files are passed over.

    The category of a file comes from a table with the columns ``file`` (path below the folder) and ``label``, and if
    you like ``split`` (train, val, test) and, where the kind has folds, ``fold`` (a number from 0); further columns do
    not matter. Without a table it is the name of the top folder, unknown for a file that lies in none.

    Args:
        source: a folder, or a zip archive. Where an archive ``name.zip`` holds one folder ``name``, that counts as
            the archive.
        kind: the files to look for.
        labels: the table; without it, ``labels.csv`` at the top of the source if there is one.

    Returns:
        Items in the order of their paths, the id being the path below the folder or in the archive; and the names of
        the categories that occur, sorted.

    Raises:
        InputError: the source is missing, of another kind, hostile, damaged or without such files, or the table is
            missing, lacks a column or contradicts itself.
    """
    source = Path(source)
    if not source.exists():
        raise InputError(f"{source}: no such file or folder")
    if source.is_dir():
        items, table = _in_folder(source, kind)
    elif source.suffix.lower() in kind.formats:
        raise InputError(f"{source}: a single {kind.name}; name the folder it is in")
    elif source.suffix.lower() == ".zip":
        items, table = _in_zip(source, kind)
    else:
        raise InputError(f"{source}: neither a folder nor a .zip archive; unpack other archives and name the folder")
    if not items:
        raise InputError(f"{source}: no {kind.name} ({' '.join(kind.formats)}) in it")
    if labels is not None:
        table = (str(labels), _read_table(Path(labels)))
    known = _top_folders(items) if table is None else _from_table(items, *table, kind)
    items = [replace(item, **vars(known.get(item.id, Label()))) for item in items]
    return items, sorted({item.category for item in items} - {""})


def _in_folder(folder: Path, kind: FileKind) -> tuple[list[Item], tuple[str, bytes] | None]:
    """Items without categories, and name and content of the table of categories."""
    paths = {}
    for parent, _, files in walk_folder(folder):
        prefix = parent.relative_to(folder)
        paths |= {(prefix / file).as_posix(): parent / file for file in files}
    items = []
    for name in _chosen(paths, kind):
        try:
            status = paths[name].stat()
            stamp = f"{kind.stamp} {status.st_size} {status.st_mtime_ns}".lstrip()
        except OSError:  # a dangling link: loading it says so
            stamp = kind.stamp
        items.append(Item(name, partial(kind.load_file, paths[name], name), stamp=stamp))
    table = folder / LABELS
    return items, (str(table), _read_table(table)) if LABELS in paths else None


def _in_zip(archive: Path, kind: FileKind) -> tuple[list[Item], tuple[str, bytes] | None]:
    members = list_members(archive)
    visible = [name for name in members if not is_hidden(name)]
    wrapper = f"{archive.stem}/"
    prefix = wrapper if all(name.startswith(wrapper) for name in visible) else ""
    short = {name.removeprefix(prefix): name for name in visible}
    items = []
    for name in _chosen(short, kind):
        info = members[short[name]]
        load = partial(kind.load_member, archive.resolve(), short[name], name)
        items.append(Item(name, load, stamp=f"{kind.stamp} {info.file_size} {info.CRC:08x}".lstrip()))
    if LABELS not in short:
        return items, None
    return items, (f"{archive}:{short[LABELS]}", read_member(archive, short[LABELS]))


def _chosen(names: Iterable[str], kind: FileKind) -> list[str]:
    return sorted(n for n in names if PurePosixPath(n).suffix.lower() in kind.formats and not is_hidden(n))


def _read_table(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: the table of labels cannot be read ({error.strerror})") from error


def _from_table(items: list[Item], name: str, content: bytes, kind: FileKind) -> dict[str, Label]:
    """What the table says by id; says in the log how table and files differ."""
    try:
        rows = csv.DictReader(io.StringIO(content.decode("utf-8-sig")), strict=True)
        if not {"file", "label"} <= set(rows.fieldnames or ()):
            raise InputError(f"{name}: columns {rows.fieldnames}, expected 'file' and 'label' among them")
        known: dict[str, Label] = {}
        for row in rows:
            file = posixpath.normpath((row["file"] or "").replace("\\", "/"))
            split = (row.get("split") or "").strip()
            if split and split not in SPLITS:
                raise InputError(f"{name}: {file} has the split {split!r}, which is not one of {SPLITS}")
            fold = _fold(row.get("fold"), f"{name}: {file}") if kind.folds else -1
            label = Label((row["label"] or "").strip(), split, fold)
            if known.setdefault(file, label) != label:
                raise InputError(
                    f"{name}: {file} has two labels, {known[file].category!r} and {label.category!r}; keep one row"
                )
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{name}: not a CSV file in UTF-8 ({error})") from error
    found = {item.id for item in items}
    missing, unlisted = sorted(set(known) - found), sorted(found - set(known))
    if missing:
        log.warning("%s: %d of its files are not there, the first is %s", name, len(missing), missing[0])
    if unlisted:
        log.warning(
            "%s: %d %s are not in it, their category is unknown; the first is %s",
            name, len(unlisted), kind.plural, unlisted[0],
        )  # fmt: skip
    return known


def _fold(text: str | None, where: str) -> int:
    text = (text or "").strip()
    if text and not (text.isascii() and text.isdigit() and int(text) < 2**31):
        raise InputError(f"{where} has the fold {text!r}; a fold is a number from 0, or left out")
    return int(text) if text else -1


def _top_folders(items: list[Item]) -> dict[str, Label]:
    return {item.id: Label(item.id.split("/")[0]) for item in items if "/" in item.id}

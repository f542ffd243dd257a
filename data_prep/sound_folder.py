"""A folder or zip archive of sound files as items of a preparation run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_prep.labelled_folder import FileKind, collect_files
from data_prep.run import Item
from data_prep.safe_zip import read_member
from data_prep.sound_loading import SOUND_FORMATS, load_sound, parse_sound
from pcrq.errors import InputError


@dataclass(frozen=True)
class SoundCollection:
    """Sounds and the categories that occur among them.

    Args:
        items: in the order of their paths; the id is the path below the folder or in the archive.
        classes: names of the categories, sorted.
    """

    items: list[Item]
    classes: list[str]


def collect_sounds(source: str | Path, *, labels: str | Path | None = None) -> SoundCollection:
    """Find the sound files below a folder or in a zip archive; see :func:`~data_prep.labelled_folder.collect_files`.

    Args:
        source: a folder, or a zip archive.
        labels: the table of categories, splits and folds; without it, ``labels.csv`` at the top of the source if there
            is one.

    Raises:
        InputError: the source is missing, of another kind, hostile, damaged or without sounds, or the table is
            missing, lacks a column or contradicts itself.
    """
    kind = FileKind("sound file", "sound files", SOUND_FORMATS, _load_file, _load_member, folds=True)
    return SoundCollection(*collect_files(source, kind, labels=labels))


def _load_file(path: Path, name: str) -> np.ndarray:
    try:
        return load_sound(path)
    except InputError as error:
        raise InputError(str(error).replace(str(path), name)) from error


def _load_member(archive: Path, member: str, name: str) -> np.ndarray:
    try:
        return parse_sound(read_member(archive, member), member)
    except InputError as error:
        raise InputError(str(error).replace(member, name)) from error

"""The sounds that the user names: a folder, an archive or a single file, which are prepared first, or a sound store."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from data_prep.run import Item
from data_prep.labelled_folder import Collection, collect_sounds
from data_prep.sound_loading import SOUND_FORMATS, load_sound
from data_prep.recipes import SoundRecipe
from data_prep.temporary_store import STORE_FORMATS, Source, temporary_store
from pcrq.errors import InputError
from pcrq.stores.sound_store import SoundStore


@contextlib.contextmanager
def open_sounds(source: Path, out: Path, *, labels: Path | None = None, jobs: int | None = None) -> Iterator[Source]:
    """Open a store, or prepare sound files as 'pcrq prep audio' does.

    Prepared sounds wait in hidden neighbours of ``out`` until the block ends well, so that the same call after an
    interruption prepares none of them twice. Files that cannot be used are listed in ``OUT.refused.csv``.

    Args:
        source: a folder or zip archive of sound files, a single one, or a sound store.
        out: the file that the features will be written to; its folder must exist.
        labels: table of categories for a folder or archive.
        jobs: worker processes of the preparation; None for one on every core.

    Raises:
        InputError: the source cannot be used, or none of its files can.
    """
    suffix = "" if source.is_dir() else source.suffix.lower()
    if suffix in STORE_FORMATS:
        if labels is not None:
            raise InputError(f"--labels {labels}: for sound files; a store has its categories already; leave it out")
        store = SoundStore(source)
        if len(store) == 0:
            raise InputError(f"{source}: the store holds no sounds")
        yield Source(store)
        store.close()
        return
    if suffix in SOUND_FORMATS:
        if labels is not None:
            raise InputError(f"--labels {labels}: for a folder or archive of sounds; leave it out for a single file")
        sounds = _single_sound(source)
    else:
        sounds = collect_sounds(source, labels=labels)
    options = {"classes": sounds.classes, "jobs": jobs, "source": f"sounds of {source.resolve().name}"}
    with temporary_store(sounds.items, out, SoundRecipe(), **options) as prepared:
        yield prepared


def _single_sound(path: Path) -> Collection:
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    status = path.stat()
    stamp = f"{status.st_size} {status.st_mtime_ns}"
    return Collection([Item(path.name, partial(_load, path.resolve()), stamp=stamp)], [])


def _load(path: Path) -> np.ndarray:
    try:
        return load_sound(path)
    except InputError as error:
        raise InputError(str(error).replace(f"{path.parent}{os.sep}", "")) from error

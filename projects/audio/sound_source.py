"""Sounds named on the command line: a file, a folder, a zip archive, a sound store, or one sound of a store."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from data_prep.sound_folder import SoundCollection, collect_sounds
from data_prep.sound_recipe import SoundRecipe
from torch import Tensor

from data_prep.run import Item
from data_prep.sound_loading import SOUND_FORMATS, load_sound
from data_prep.temporary_store import STORE_FORMATS, Source, temporary_store
from pcrq import InputError
from pcrq.stores import SoundStore, entry_index, split_store_name
from projects.audio.log_mel import FFT


def load_waveform(name: str) -> Tensor:
    """Load one sound.

    Args:
        name: a wav, flac, ogg or mp3 file, or ``STORE.h5:KEY``, where KEY is an index (negative ones count from the
            end) or the id of a sound.

    Returns:
        (T,) float32 in [-1, 1] at 16 kHz, long enough for a spectrogram.

    Raises:
        InputError: there is no such file or sound, or it cannot be used.
    """
    named = split_store_name(name)
    if named is None:
        samples = load_sound(name)
    else:
        path, key = named
        with contextlib.closing(SoundStore(path)) as store:
            samples = store.samples(entry_index(store, store.ids, key))
    if len(samples) <= FFT // 2:
        raise InputError(f"{name}: {len(samples)} samples at 16 kHz; a spectrogram needs at least {FFT // 2 + 1}")
    return torch.from_numpy(samples)


@contextlib.contextmanager
def open_sounds(source: Path, out: Path, *, labels: Path | None = None, jobs: int | None = None) -> Iterator[Source]:
    """Open a sound store, or prepare sound files like 'pcrq prep audio'.

    Prepared sounds stay in hidden files beside ``out`` until the block ends without an error, so that the same call
    after an interruption continues. Files that cannot be used are listed in ``OUT.refused.csv``.

    Args:
        source: a folder or zip archive of sound files, a single one, or a sound store.
        out: the file that the features will be written to; its folder must exist.
        labels: table of categories for a folder or archive.
        jobs: worker processes of the preparation; None for one per core.

    Raises:
        InputError: the source cannot be used, or none of its files can.
    """
    suffix = "" if source.is_dir() else source.suffix.lower()
    if suffix in STORE_FORMATS:
        if labels is not None:
            raise InputError(f"--labels {labels}: for sound files; a store has its categories already; leave it out")
        with contextlib.closing(SoundStore(source)) as store:
            if len(store) == 0:
                raise InputError(f"{source}: the store is empty; name one with sounds")
            yield Source(store)
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


def _single_sound(path: Path) -> SoundCollection:
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    status = path.stat()
    stamp = f"{status.st_size} {status.st_mtime_ns}"
    return SoundCollection([Item(path.name, partial(_load, path.resolve()), stamp=stamp)], [])


def _load(path: Path) -> np.ndarray:
    try:
        return load_sound(path)
    except InputError as error:
        raise InputError(str(error).replace(f"{path.parent}{os.sep}", "")) from error

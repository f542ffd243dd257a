"""What every reader of a public data set of sounds returns, and what they share."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from data_prep.public_datasets.source_files import SourceFile
from data_prep.run import Item
from data_prep.sound_loading import parse_sound
from pcrq.errors import InputError

SPLITS = ("train", "val", "test")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SoundTask:
    """A data set as one classification task, ready for :func:`data_prep.run.prepare_store`.

    Args:
        name: the data set, such as "NSynth".
        task: what the paper's table 9 calls it: "NS", "US8K", "VC1", "VF", "SPCV2/12" or "SPCV2"; "VF by speaker" is
            another one on VoxForge.
        seconds: length of a clip in the evaluation (table 8); the items are whole clips.
        items: its clips, in an order that every reader documents, with a split or a fold each.
        classes: names of the categories.
    """

    name: str
    task: str
    seconds: float
    items: list[Item]
    classes: list[str]


def sound_item(file: SourceFile, id: str, *, category: str, split: str = "", fold: int = -1) -> Item:
    """The item of a sound in a file; it is read when the item is loaded."""
    return Item(id, partial(load_sound_file, file, id), category, split, stamp=file.stamp(), fold=fold)


def load_sound_file(file: SourceFile, id: str) -> np.ndarray:
    """(N,) float32 samples at 16 kHz; error messages begin with the id."""
    try:
        return parse_sound(file.read(), file.name)
    except InputError as error:
        raise InputError(str(error).replace(file.name, id, 1)) from error


def note_once(found: dict, key, file: SourceFile, source: object) -> None:
    """Note the file of a clip or of a list.

    Raises:
        InputError: there is one already.
    """
    if key in found:
        raise InputError(
            f"{source}: holds the same file twice, {found[key].name} and {file.name}; keep one of them there"
        )
    found[key] = file


def require_listed(table: str, names: Collection[str], found: Collection[str]) -> None:
    """Raise where clips of a list are missing: an evaluation on the others would be of another data set.

    Args:
        table: the list, which the message begins with.
        names: the clips in it.
        found: the clips that are there.

    Raises:
        InputError: some are missing.
    """
    missing = sorted(set(names) - set(found))
    if missing:
        raise InputError(
            f"{table}: {len(missing)} of its {len(names)} clips are not there, the first is {missing[0]}; "
            "unpack or download the data set again"
        )


def tell(source: Path, task: str, items: Iterable[Item], published: Mapping[str, int]) -> None:
    """Say in the log how many clips of every split were found, and how many are published."""
    found = Counter(item.split for item in items)
    here = ", ".join(f"{found[split]:,} {split}" for split in SPLITS)
    if found == Counter(published):
        log.info("%s: %s clips, all of %s", source, here, task)
    else:
        log.info("%s: %s clips; %s has %s", source, here, task, ", ".join(f"{n:,} {s}" for s, n in published.items()))

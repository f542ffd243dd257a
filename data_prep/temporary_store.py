"""A store that is prepared only to be read by the same command, and removed when that has written its result."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_prep.recipes import Recipe
from data_prep.run import Item, Refusal, Summary, prepare_store
from pcrq import InputError
from pcrq.files import atomic_write
from pcrq.stores.store_file import StoreFile

STORE_FORMATS = (".h5", ".hdf5")


@dataclass(frozen=True)
class Source:
    """Input of a command: an existing store, or one that was prepared for it.

    Args:
        store: the shapes or sounds.
        refused: files that could not be used.
        refused_list: file that lists them; None if there are none.
    """

    store: StoreFile
    refused: list[Refusal] = field(default_factory=list)
    refused_list: Path | None = None


@contextlib.contextmanager
def temporary_store(
    items: Sequence[Item], out: Path, recipe: Recipe, *, classes: Sequence[str], jobs: int | None, source: str
) -> Iterator[Source]:
    """Prepare a store in hidden files beside ``out`` for the duration of the block.

    The files stay if the block raises, so that the same call resumes after an interruption. Files that cannot be used
    are listed in ``OUT.refused.csv``.

    Args:
        out: the file that the block writes; its folder must exist.
        items, recipe, classes, jobs, source: as for :func:`data_prep.run.prepare_store`.

    Raises:
        InputError: none of the files can be used, or the disk is full.
    """
    working = out.with_name(f".{out.name}.{recipe.kind}s.h5")
    listed, refused_list = working.with_name(f"{working.name}.refused.csv"), out.with_name(f"{out.name}.refused.csv")
    try:
        summary = _prepare(items, working, recipe, classes=classes, jobs=jobs, source=source)
    except InputError as error:
        if listed.exists():  # no file can be used
            listed.replace(refused_list)
        raise InputError(str(error).replace(str(listed), str(refused_list))) from error
    if summary.refused:
        with atomic_write(refused_list) as temporary:
            shutil.copyfile(listed, temporary)
    else:
        refused_list.unlink(missing_ok=True)
    store = recipe.open(working)
    yield Source(store, summary.refused, refused_list if summary.refused else None)
    store.close()
    working.unlink(missing_ok=True)
    listed.unlink(missing_ok=True)


def _prepare(items: Sequence[Item], working: Path, recipe: Recipe, **options: Any) -> Summary:
    if working.exists():
        with contextlib.suppress(InputError):  # of a run on other files, or damaged: prepared again
            return prepare_store(items, working, recipe, **options)
    return prepare_store(items, working, recipe, **options, force=True)

"""The preparation run: from many meshes, point clouds or sounds to one store of shapes or sounds.

It is parallel (joblib), resumable after a kill, and not stopped by files that cannot be used. The differences between
shapes and sounds are in :mod:`data_prep.recipes`.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import hashlib
import json
import logging
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from data_prep.pipeline import Pipeline
from data_prep.recipes import Recipe, ShapeRecipe
from data_prep.working_folder import WorkingFolder
from pcrq import InputError
from pcrq.files import atomic_write
from pcrq.stores.store_file import check_split

if TYPE_CHECKING:
    import numpy as np

    from data_prep.mesh import Mesh
    from data_prep.point_cloud import PointCloud

log = logging.getLogger(__name__)

# Workers keep the memory of a shape for the next one, rather than getting it page by page from the kernel each time,
# which takes a tenth of the time. For glibc; other systems ignore it.
_ALLOCATION = {"MALLOC_TRIM_THRESHOLD_": str(2**28), "MALLOC_MMAP_THRESHOLD_": str(2**25)}
_SAMPLE = 300  # number of finished entries from which the disk space for all of them is estimated


@dataclass(frozen=True)
class Item:
    """One shape or sound to prepare.

    Args:
        id: name of the item in its source, unique in a run.
        load: makes the shape or sound when called without arguments in a worker process. It must be picklable, so use
            ``functools.partial`` of a module-level function. It returns a mesh, which must be clean (see
            :func:`data_prep.mesh.clean`) and is scanned; a point cloud with normals, whose points are kept; or the
            samples of a sound, (N,) floats in [-1, 1] at 16 kHz. It raises :class:`~pcrq.InputError` for a
            source that cannot be used.
        category: name of the category, one of the ``classes`` of the run, or "" if it is unknown.
        split: "train", "val", "test" or "".
        stamp: changes when the source of the item changes: the checksum, or size and modification time, of a file, or
            the version of a generator. A finished item with another stamp is prepared again.
        fold: of a sound, its part in a cross-validation, -1 for none; ignored for shapes.
    """

    id: str
    load: Callable[[], Mesh | PointCloud | np.ndarray]
    category: str = ""
    split: str = ""
    stamp: str = ""
    fold: int = -1


@dataclass(frozen=True)
class Refusal:
    """An item that could not be used and is not in the store.

    Args:
        id: id of the item.
        reason: the reason, in one line.
    """

    id: str
    reason: str


@dataclass(frozen=True)
class Summary:
    """Result of a preparation run.

    Args:
        store: the finished store.
        entries: shapes or sounds in the store.
        values: points or samples in the store.
        store_bytes: size of the store in bytes.
        refused: the items that could not be used, in the order of the items.
        refused_list: CSV file that lists them (columns file and reason); None if there are none.
        prepared: number of items prepared or refused by this run; the others were finished before.
        seconds: duration of this run.
        up_to_date: True if the store existed already, made from the same items with the same settings.
    """

    store: Path
    entries: int
    values: int
    store_bytes: int
    refused: list[Refusal]
    refused_list: Path | None
    prepared: int
    seconds: float
    up_to_date: bool = False


def prepare(
    items: Sequence[Item],
    out: str | Path,
    *,
    classes: Sequence[str],
    parts: Sequence[str] | None = None,
    pipeline: Pipeline = Pipeline(),  # noqa: B008 - it is frozen
    jobs: int | None = None,
    source: str = "",
    force: bool = False,
) -> Summary:
    """Prepare shapes and write the shape store ``out``; :func:`prepare_store` with a :class:`ShapeRecipe`.

    Args:
        items: the shapes, with unique ids.
        out: the store to write; its name ends in ".h5".
        classes: names of all categories of the items.
        parts: names of the parts if the meshes or point clouds have labels; None drops labels.
        pipeline: settings of the preparation.
        jobs, source, force: as for :func:`prepare_store`.

    Returns, Raises:
        As :func:`prepare_store`.
    """
    recipe = ShapeRecipe(pipeline, parts)
    return prepare_store(items, out, recipe, classes=classes, jobs=jobs, source=source, force=force)


def prepare_store(
    items: Sequence[Item],
    out: str | Path,
    recipe: Recipe,
    *,
    classes: Sequence[str],
    jobs: int | None = None,
    source: str = "",
    force: bool = False,
) -> Summary:
    """Prepare every item and write the store ``out``, with entries in the order of the items.

    Finished items are kept in the folder ``OUT.prep`` until the store is written. The same call therefore resumes after
    an interruption, and the resulting file is identical. Items that cannot be used, including those that crash their
    process twice, are listed in ``OUT.refused.csv`` and do not stop the run.

    Args:
        items: the shapes or sounds, with unique ids.
        out: the store to write; its name ends in ".h5".
        recipe: ``ShapeRecipe(...)`` or ``SoundRecipe()``.
        classes: names of all categories of the items.
        jobs: number of worker processes; default: all cores, or the cluster of an active
            :func:`~data_prep.scheduler.connected`. 1 uses this process, which a crash in a native library would end.
        source: description of the source of the items, recorded in the store.
        force: replace a store at ``out`` that was made from other items or with other settings.

    Returns:
        The result. A store at ``out`` with the same items and settings is not written again.

    Raises:
        InputError: there are no items or none can be used, an item contradicts ``classes`` or another item, ``out``
            cannot be written or is another store, the disk is full, or another run is writing ``out``.
    """
    started, out = time.perf_counter(), Path(out)
    _check(items, out, classes, jobs, recipe)
    parameters = {
        **recipe.parameters,
        "sources": _digest([_described(item) for item in items], list(classes), recipe.parts),
    }
    if _is_up_to_date(out, parameters, recipe, force):
        return _summary(out, recipe, _read_refusals(out), 0, started, up_to_date=True)
    work = WorkingFolder(out.with_name(f"{out.name}.prep"))
    labels = None if recipe.parts is None else len(recipe.parts)
    keyed = {_digest(recipe.kind, recipe.parameters, labels, item.id, item.stamp)[:32]: item for item in items}
    with work.locked(), _disk_full_explained(out, recipe):
        _remove_leftovers(out)
        prepared = _prepare_missing(keyed, work, recipe, jobs)
        reasons = {key: work.read_refusal(key) for key in keyed}
        refused = [Refusal(item.id, reasons[key]) for key, item in keyed.items() if reasons[key] is not None]
        _write_refusals(out, refused)
        if len(refused) == len(items):
            work.remove()
            raise InputError(
                f"{source or out}: none of the {len(items)} {recipe.kind}s can be used; the reasons are in "
                f"{_refused_list(out)}, the first is: {refused[0].id}: {refused[0].reason}"
            )
        work.require_space_for_store(recipe.share)
        with recipe.writer(out, classes=classes, source=source, parameters=parameters) as writer:
            for key, item in keyed.items():
                if reasons[key] is None:
                    category = classes.index(item.category) if item.category else -1
                    about = {"id": item.id, "category": category, "split": item.split, "fold": item.fold}
                    writer.append(recipe.entry(work.read_entry(key), **about))
        work.remove()
    return _summary(out, recipe, refused, prepared, started)


def _described(item: Item) -> list:
    """The fields of an item that a store depends on; the fold only if there is one, as the first stores had none."""
    return [item.id, item.category, item.split, item.stamp] + ([] if item.fold == -1 else [item.fold])


def check_target(out: Path, kind: str) -> None:
    """Raise unless a store can be written to ``out``, for a check before other work.

    Args:
        out: the store to write.
        kind: "shape" or "sound".

    Raises:
        InputError: the name does not end in ".h5", is that of a folder, or its parent folder is missing.
    """
    if out.suffix.lower() != ".h5":
        raise InputError(f"{out}: the name of a {kind} store must end in .h5")
    if not out.parent.is_dir():
        raise InputError(f"{out}: the folder {out.parent} does not exist; create it first")
    if out.is_dir():
        raise InputError(f"{out}: is a folder; pass the file to write")


def _check(items: Sequence[Item], out: Path, classes: Sequence[str], jobs: int | None, recipe: Recipe) -> None:
    if not items:
        raise InputError(f"{out}: there are no items to prepare")
    check_target(out, recipe.kind)
    if jobs is not None and jobs < 1:
        raise InputError(f"jobs={jobs}: at least one worker is needed")
    ids, known = set(), {"", *classes}
    for item in items:
        if item.id in ids:
            raise InputError(f"{item.id}: the id occurs twice; ids must be unique")
        if item.category not in known:
            raise InputError(f"{item.id}: category {item.category!r} is not one of the classes {list(classes)}")
        check_split(item.split, item.id)
        ids.add(item.id)


def _digest(*values) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _is_up_to_date(out: Path, parameters: dict, recipe: Recipe, force: bool) -> bool:
    """Whether ``out`` exists with the same content; raises if it exists and must not be replaced."""
    if force or not out.exists():
        return False
    try:
        store = recipe.open(out)
    except InputError as error:
        raise InputError(f"{error}, or replace the file with --force") from error
    same = store.parameters == parameters
    store.close()
    if not same:
        raise InputError(
            f"{out}: exists already, made from other files or with other options; choose another --out or "
            "replace it with --force"
        )
    return True


def _remove_leftovers(out: Path) -> None:
    """Remove incomplete stores of killed runs."""
    for leftover in out.parent.glob(f".{out.name}.*.writing"):
        leftover.unlink(missing_ok=True)


def _prepare_missing(keyed: dict[str, Item], work: WorkingFolder, recipe: Recipe, jobs: int | None) -> int:
    """Prepare or refuse every item that is not finished; returns their number."""
    import joblib
    from joblib.externals.loky.process_executor import TerminatedWorkerError
    from tqdm import tqdm

    kinds = f"{recipe.kind}s"
    stale = work.discard_others(set(keyed))
    if stale:
        log.info("%d %s of an interrupted run have other options or sources; they are prepared again", stale, kinds)
    finished = work.finished()
    if finished:
        log.info("%d of %d %s are finished already; continuing with the others", len(finished), len(keyed), kinds)
    if jobs is None:
        jobs = -1 if joblib.effective_n_jobs(-1) > 1 else 2  # a separate process, so that a crash does not end this one
    pool = joblib.Parallel(jobs, return_as="generator_unordered", batch_size=1)
    missing = [key for key in keyed if key not in finished]
    bar = tqdm(
        total=len(keyed),
        initial=len(finished),
        desc="preparing",
        unit=recipe.kind,
        mininterval=0.2 if sys.stderr.isatty() else 10,
    )
    with bar, _environment(_ALLOCATION):
        pending, estimated = missing, False
        while pending:
            dispatched, done = [], set()
            try:
                for key in pool(_tasks(pending, dispatched, keyed, work, recipe)):
                    done.add(key)  # None if a cluster gave up a task
                    bar.update(key is not None)
                    if bar.n >= _SAMPLE and not estimated:
                        _warn_of_disk_space(work, recipe, bar.n, len(keyed))
                        estimated = True
            except TerminatedWorkerError:  # ends the pool, with results that were not returned yet
                done = work.finished()
            suspects = [key for key in dispatched if key not in done]
            if suspects:
                log.warning("a worker process crashed; retrying the %d %s in progress one by one", len(suspects), kinds)
            for key in suspects:
                try:
                    crashed = list(pool(_tasks([key], [], keyed, work, recipe))) == [None]
                except TerminatedWorkerError:
                    crashed = True
                if crashed:
                    work.write_refusal(key, "crashes its process (out of memory, or a fault in a native library)")
            pending = pending[len(dispatched) :]
            bar.update(len(keyed) - len(pending) - bar.n)
    return len(missing)


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Set environment variables that are not set, for processes that are started in the block."""
    added = {name: text for name, text in variables.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def _warn_of_disk_space(work: WorkingFolder, recipe: Recipe, finished: int, total: int) -> None:
    """Log early if the disk will probably be full.

    The run continues, because the first entries may be larger than the others.
    """
    entry = work.mean_bytes(_SAMPLE)
    waiting, store, free = entry * (total - finished), recipe.share * entry * total, shutil.disk_usage(work.path).free
    if waiting + store > free:
        log.warning(
            "%s: the disk has %s GB free, and if all %ss are like the first %d, %s GB are needed: %s for the remaining "
            "ones and %s for the store; free space during the run, or choose another --out",
            *(work.path, _gigabytes(free), recipe.kind, finished),
            *(_gigabytes(size) for size in (waiting + store, waiting, store)),
        )


def _gigabytes(size: float) -> str:
    return f"{float(f'{size / 1e9:.3g}'):g}"


def _tasks(
    keys: list[str], dispatched: list[str], keyed: dict[str, Item], work: WorkingFolder, recipe: Recipe
) -> Iterator:
    """The calls for the workers; their keys are appended to ``dispatched`` as they are sent."""
    from joblib import delayed

    for key in keys:
        dispatched.append(key)
        yield delayed(_prepare_one)(keyed[key], key, work.path.absolute(), recipe)


def _prepare_one(item: Item, key: str, folder: Path, recipe: Recipe) -> str:
    """In a worker: write the entry of an item, or the reason for refusing it, to the folder; returns the key."""
    logging.getLogger("trimesh").setLevel(logging.CRITICAL)  # its reports become the reason here
    work, reason, arrays = WorkingFolder(folder), None, None
    if not folder.is_dir():  # checked also on workers that join during the run
        raise InputError(
            f"{folder}: this folder does not exist on the worker {socket.gethostname()}; all workers need it, and the "
            "source files, under the same path"
        )
    if work.entry_file(key).exists() or work.refusal_file(key).exists():
        return key  # the worker of an earlier attempt ended between writing and returning
    try:
        arrays = recipe.make(item.load(), item.id)
    except InputError as error:
        reason = str(error).removeprefix(f"{item.id}: ")
    except MemoryError:
        reason = "too large for the memory of this machine"
    except Exception as error:  # one bad file must not end the run, whatever a library raises
        reason = f"{type(error).__name__}: {error}"
    if arrays is None:
        work.write_refusal(key, reason)
    else:
        work.write_entry(key, arrays)
    return key


def _refused_list(out: Path) -> Path:
    return out.with_name(f"{out.name}.refused.csv")


def _write_refusals(out: Path, refused: list[Refusal]) -> None:
    path = _refused_list(out)
    if not refused:
        path.unlink(missing_ok=True)
        return
    with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "reason"])
        rows.writerows((refusal.id, refusal.reason) for refusal in refused)


def _read_refusals(out: Path) -> list[Refusal]:
    try:
        with _refused_list(out).open(newline="", encoding="utf-8") as file:
            return [Refusal(row["file"], row["reason"]) for row in csv.DictReader(file)]
    except FileNotFoundError:
        return []


def _summary(
    out: Path, recipe: Recipe, refused: list[Refusal], prepared: int, started: float, *, up_to_date: bool = False
) -> Summary:
    store = recipe.open(out)
    entries, values = len(store), int(store.offsets[-1])
    store.close()
    return Summary(
        store=out,
        entries=entries,
        values=values,
        store_bytes=out.stat().st_size,
        refused=refused,
        refused_list=_refused_list(out) if refused else None,
        prepared=prepared,
        seconds=time.perf_counter() - started,
        up_to_date=up_to_date,
    )


@contextlib.contextmanager
def _disk_full_explained(out: Path, recipe: Recipe) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError, InputError) as error:  # HDF5 gives the number only in the text
        number = getattr(error.__cause__ if isinstance(error, InputError) else error, "errno", None)
        full = number in (errno.ENOSPC, errno.EDQUOT) or "errno = 28" in str(error)
        if not full:
            raise
        _remove_leftovers(out)
        raise InputError(
            f"{out}: the disk is full; free space and run the same command again, finished {recipe.kind}s are kept"
        ) from error

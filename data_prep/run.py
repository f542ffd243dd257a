"""The preparation run: many meshes, point clouds or sounds in, one store of shapes or of sounds out.

Parallel through joblib, resumable after a kill, and never stopped by a bad file. What is particular to shapes or to
sounds is in a :class:`~data_prep.recipe.Recipe`.
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
from data_prep.recipe import Recipe
from data_prep.shape_recipe import ShapeRecipe
from data_prep.working_folder import WorkingFolder
from pcrq.errors import InputError
from pcrq.stores.store_file import check_split

if TYPE_CHECKING:
    import numpy as np

    from data_prep.mesh import Mesh
    from data_prep.point_cloud import PointCloud

log = logging.getLogger(__name__)

_SAMPLE = 300  # finished entries, from which the room for all of them is estimated


@dataclass(frozen=True)
class Item:
    """One shape or sound to prepare.

    Args:
        id: name of the item in its source, unique in a run.
        load: makes the shape or sound when called without arguments in a worker process; it must pickle, so use
            ``functools.partial`` of a module-level function. A mesh, which must be clean (see ``mesh_cleaning``), is
            scanned; a point cloud with normals is taken as it is; the samples of a sound are (N,) floats in [-1, 1] at
            16 kHz. It raises :class:`~pcrq.errors.InputError` for what cannot be used.
        category: name of the category, one of the run's ``classes``, or "" where it is unknown.
        split: "train", "val", "test" or "".
        stamp: anything that changes when the source of the item changes, such as the checksum, or size and
            time, of a file or the version of a generator; a finished item with another stamp is made anew.
        fold: of a sound, its part in a cross-validation, -1 for none; shape stores do not keep it.
    """

    id: str
    load: Callable[[], Mesh | PointCloud | np.ndarray]
    category: str = ""
    split: str = ""
    stamp: str = ""
    fold: int = -1


@dataclass(frozen=True)
class Refusal:
    """An item that is not in the store.

    Args:
        id: the item's id.
        reason: why, in one line.
    """

    id: str
    reason: str


@dataclass(frozen=True)
class Summary:
    """What a preparation run did.

    Args:
        store: the finished store.
        entries: shapes or sounds in the store.
        values: points or samples in the store.
        store_bytes: size of the store in bytes.
        refused: the items that could not be used, in the order of the items.
        refused_list: where they are listed (CSV, columns file and reason); None where nothing was refused.
        prepared: items prepared or refused by this run; the others were finished before.
        seconds: duration of this run.
        up_to_date: True where the store was there already, made from the same items in the same way.
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
    """Prepare every item and write the shape store ``out``: :func:`prepare_store` as a pipeline makes shapes.

    Args:
        items: the shapes; their ids are unique.
        out: the store to write, its name ending in ".h5".
        classes: names of the categories, every item's among them.
        parts: names of the parts where the meshes or point clouds carry labels; None drops labels.
        pipeline: how shapes are made.
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
    """Prepare every item and write the store ``out``, entries in the order of the items.

    Finished items wait in the folder ``OUT.prep`` until the store is assembled, so the same call goes on after
    an interruption and ends with the identical file. Items that cannot be used, also those that crash their
    process twice, are listed in ``OUT.refused.csv`` and do not stop the others.

    Args:
        items: the shapes or sounds; their ids are unique.
        out: the store to write, its name ending in ".h5".
        recipe: how entries are made, ``ShapeRecipe(...)`` or ``SoundRecipe()``.
        classes: names of the categories, every item's among them.
        jobs: worker processes; None takes all cores, or the cluster of an active :func:`scheduler.connected`. 1
            works in this process, which a crash in a native library then ends.
        source: where the items come from, in words; recorded in the store.
        force: replace a store at ``out`` that was made from other items or in another way.

    Returns:
        What was done. A store at ``out`` that holds the same items made in the same way is left as it is.

    Raises:
        InputError: there are no items or none can be used, an item contradicts ``classes`` or another item, ``out``
            cannot be written or holds something else, the disk is full, or another run is writing ``out``.
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
        work.require_room_for_store(recipe.share)
        with recipe.writer(out, classes=classes, source=source, parameters=parameters) as writer:
            for key, item in keyed.items():
                if reasons[key] is None:
                    category = classes.index(item.category) if item.category else -1
                    about = {"id": item.id, "category": category, "split": item.split, "fold": item.fold}
                    writer.append(recipe.entry(work.read_entry(key), **about))
        work.remove()
    return _summary(out, recipe, refused, prepared, started)


def _described(item: Item) -> list:
    """What of an item decides on a store; the fold only where there is one, as stores had none at first."""
    return [item.id, item.category, item.split, item.stamp] + ([] if item.fold == -1 else [item.fold])


def check_target(out: Path, kind: str) -> None:
    """Raise unless ``out`` can name a store; also for those who have much to do before they call :func:`prepare_store`.

    Args:
        out: the store to write.
        kind: what it holds, "shape" or "sound".

    Raises:
        InputError: the name does not end in ".h5", is that of a folder, or its folder is missing.
    """
    if out.suffix.lower() != ".h5":
        raise InputError(f"{out}: the name of a {kind} store ends in .h5")
    if not out.parent.is_dir():
        raise InputError(f"{out}: the folder {out.parent} does not exist; create it first")
    if out.is_dir():
        raise InputError(f"{out}: a folder; name the file to write")


def _check(items: Sequence[Item], out: Path, classes: Sequence[str], jobs: int | None, recipe: Recipe) -> None:
    if not items:
        raise InputError(f"{out}: there is nothing to prepare")
    check_target(out, recipe.kind)
    if jobs is not None and jobs < 1:
        raise InputError(f"jobs {jobs}: at least one worker is needed")
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
    """Whether ``out`` need not be made; raises where it is there and must not be replaced."""
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
    """Half-written stores of runs that were killed while assembling."""
    for leftover in out.parent.glob(f".{out.name}.*.writing"):
        leftover.unlink(missing_ok=True)


def _prepare_missing(keyed: dict[str, Item], work: WorkingFolder, recipe: Recipe, jobs: int | None) -> int:
    """Prepare or refuse every item that is not finished yet; returns how many those were."""
    import joblib
    from joblib.externals.loky.process_executor import TerminatedWorkerError
    from tqdm import tqdm

    kinds = f"{recipe.kind}s"
    stale = work.discard_others(set(keyed))
    if stale:
        log.info("%d %s left by an interrupted run have other options or changed sources; made anew", stale, kinds)
    finished = work.finished()
    if finished:
        log.info("%d of %d %s are finished already; going on with the others", len(finished), len(keyed), kinds)
    if jobs is None:
        jobs = -1 if joblib.effective_n_jobs(-1) > 1 else 2  # a process of its own, so that a crash is survived
    pool = joblib.Parallel(jobs, return_as="generator_unordered", batch_size=1)
    missing = [key for key in keyed if key not in finished]
    bar = tqdm(
        total=len(keyed),
        initial=len(finished),
        desc="preparing",
        unit=recipe.kind,
        mininterval=0.2 if sys.stderr.isatty() else 10,
    )
    with bar:
        pending, estimated = missing, False
        while pending:
            dispatched, done = [], set()
            try:
                for key in pool(_tasks(pending, dispatched, keyed, work, recipe)):
                    done.add(key)  # None where a cluster gave a task up
                    bar.update(key is not None)
                    if bar.n >= _SAMPLE and not estimated:
                        _warn_of_room(work, recipe, bar.n, len(keyed))
                        estimated = True
            except TerminatedWorkerError:  # ends the pool, also with results that were not handed out yet
                done = work.finished()
            suspects = [key for key in dispatched if key not in done]
            if suspects:
                log.warning("a worker process crashed; trying the %d %s in work one by one", len(suspects), kinds)
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


def _warn_of_room(work: WorkingFolder, recipe: Recipe, finished: int, total: int) -> None:
    """Say in the log, while there is time to do something about it, that the disk will probably be full.

    It does not end the run: the first entries may be larger than the others.
    """
    entry = work.mean_bytes(_SAMPLE)
    waiting, store, free = entry * (total - finished), recipe.share * entry * total, shutil.disk_usage(work.path).free
    if waiting + store > free:
        log.warning(
            "%s: the disk has %s GB free, and if all %ss are like the first %d, %s GB are needed: %s for those still "
            "to prepare and %s for the store beside them; make room meanwhile, or choose an --out elsewhere",
            *(work.path, _gigabytes(free), recipe.kind, finished),
            *(_gigabytes(size) for size in (waiting + store, waiting, store)),
        )


def _gigabytes(size: float) -> str:
    return f"{float(f'{size / 1e9:.3g}'):g}"


def _tasks(
    keys: list[str], dispatched: list[str], keyed: dict[str, Item], work: WorkingFolder, recipe: Recipe
) -> Iterator:
    """The calls that workers make, noted in ``dispatched`` as they are handed out."""
    from joblib import delayed

    for key in keys:
        dispatched.append(key)
        yield delayed(_prepare_one)(keyed[key], key, work.path.absolute(), recipe)


def _prepare_one(item: Item, key: str, folder: Path, recipe: Recipe) -> str:
    """In a worker: leave the entry of an item, or the reason for refusing it, in the folder; returns the key."""
    logging.getLogger("trimesh").setLevel(logging.CRITICAL)  # it reports what becomes a reason here
    work, reason, arrays = WorkingFolder(folder), None, None
    if not folder.is_dir():  # also on a worker that has joined in the middle of the run
        raise InputError(
            f"{folder}: the worker on {socket.gethostname()} does not see this folder; all workers need it, and the "
            "source files, under the same path"
        )
    if work.entry_file(key).exists() or work.refusal_file(key).exists():
        return key  # the worker of an earlier attempt died between finishing and saying so
    try:
        arrays = recipe.make(item.load(), item.id)
    except InputError as error:
        reason = str(error).removeprefix(f"{item.id}: ")
    except MemoryError:
        reason = "too large for the memory of this machine"
    except Exception as error:  # one bad file must not end the run, whatever a library makes of it
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
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "reason"])
        rows.writerows((refusal.id, refusal.reason) for refusal in refused)
    temporary.replace(path)


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
    except (OSError, RuntimeError) as error:  # HDF5 names the number in the text alone
        full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "errno = 28" in str(error)
        if not full:
            raise
        _remove_leftovers(out)
        raise InputError(
            f"{out}: the disk is full; make room and run the same command again, finished {recipe.kind}s are kept"
        ) from error

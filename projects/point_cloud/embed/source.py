"""The shapes that the user names: a folder, an archive or a single mesh, which are prepared first, or a shape store."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from data_prep.labelled_folder import Collection, collect_meshes
from data_prep.mesh import MESH_FORMATS, Axis, Mesh, load_mesh
from data_prep.pipeline import Pipeline
from data_prep.recipes import ShapeRecipe
from data_prep.run import Item
from data_prep.temporary_store import STORE_FORMATS, Source, temporary_store
from pcrq.errors import InputError
from pcrq.stores.shape_store import ShapeStore


@contextlib.contextmanager
def open_source(
    source: Path, out: Path, *, labels: Path | None = None, up: Axis | None = None, jobs: int | None = None
) -> Iterator[Source]:
    """Open a store, or prepare meshes as 'pcrq prep meshes' does, but without patches, which only training needs.

    Prepared shapes wait in hidden neighbours of ``out`` until the block ends well, so that the same call after an
    interruption prepares none of them twice. Meshes that cannot be used are listed in ``OUT.refused.csv``.

    Args:
        source: a folder or zip archive of meshes, a single mesh, or a shape store.
        out: the file that the features will be written to; its folder must exist.
        labels: table of categories for a folder or archive, as :func:`data_prep.labelled_folder.collect_meshes` takes it.
        up: the axis of meshes that points upward, y for None.
        jobs: worker processes of the preparation; None for one on every core.

    Raises:
        InputError: the source cannot be used, or none of its meshes can.
    """
    suffix = "" if source.is_dir() else source.suffix.lower()
    if suffix in STORE_FORMATS:
        if labels is not None or up is not None:
            raise InputError("--labels, --up: for meshes; a store has its categories and axes already; leave them out")
        store = ShapeStore(source)
        if len(store) == 0:
            raise InputError(f"{source}: the store holds no shapes")
        yield Source(store)
        store.close()
        return
    if suffix in MESH_FORMATS:
        if labels is not None:
            raise InputError(f"--labels {labels}: for a folder or archive of meshes; leave it out for a single mesh")
        meshes = _single_mesh(source, up or "y")
    else:
        meshes = collect_meshes(source, labels=labels, up=up or "y")
    options = {"classes": meshes.classes, "jobs": jobs, "source": f"meshes of {source.resolve().name}"}
    with temporary_store(meshes.items, out, ShapeRecipe(Pipeline(patches=0)), **options) as prepared:
        yield prepared


def _single_mesh(path: Path, up: Axis) -> Collection:
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    status = path.stat()
    stamp = f"{up} {status.st_size} {status.st_mtime_ns}"
    return Collection([Item(path.name, partial(_load, path.resolve(), up), stamp=stamp)], [])


def _load(path: Path, up: Axis) -> Mesh:
    try:
        return load_mesh(path, up=up)
    except InputError as error:
        raise InputError(str(error).replace(f"{path.parent}{os.sep}", "")) from error

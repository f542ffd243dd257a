"""The shapes that the user names: a folder, an archive or a single mesh, which are prepared first, or a shape store."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from data_prep.mesh import Mesh
from data_prep.mesh_folder import MeshCollection, collect_meshes
from data_prep.mesh_loading import MESH_FORMATS, Axis, load_mesh
from data_prep.pipeline import Pipeline
from data_prep.run import Item, Refusal, Summary, prepare
from octree.shape_store import ShapeStore
from pcrq.errors import InputError
from projects.whole_file import whole_file

STORE_FORMATS = (".h5", ".hdf5")


@dataclass(frozen=True)
class Source:
    """Shapes to embed.

    Args:
        store: the shapes.
        refused: meshes that could not be used.
        refused_list: where they are listed; None where nothing was refused.
    """

    store: ShapeStore
    refused: list[Refusal] = field(default_factory=list)
    refused_list: Path | None = None


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
        labels: table of categories for a folder or archive, as :func:`data_prep.mesh_folder.collect_meshes` takes it.
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
    working = out.with_name(f".{out.name}.shapes.h5")
    listed, refused_list = working.with_name(f"{working.name}.refused.csv"), out.with_name(f"{out.name}.refused.csv")
    try:
        summary = _prepare(meshes, working, jobs, source)
    except InputError as error:
        if listed.exists():  # every mesh was refused: nothing is left to go on with
            listed.replace(refused_list)
        raise InputError(str(error).replace(str(listed), str(refused_list))) from error
    if summary.refused:
        with whole_file(refused_list) as temporary:
            shutil.copyfile(listed, temporary)
    else:
        refused_list.unlink(missing_ok=True)
    store = ShapeStore(working)
    yield Source(store, summary.refused, refused_list if summary.refused else None)
    store.close()
    working.unlink(missing_ok=True)
    listed.unlink(missing_ok=True)


def _prepare(meshes: MeshCollection, working: Path, jobs: int | None, source: Path) -> Summary:
    options = {
        "classes": meshes.classes,
        "pipeline": Pipeline(patches=0),
        "jobs": jobs,
        "source": f"meshes of {source.resolve().name}",
    }
    if working.exists():
        with contextlib.suppress(InputError):  # left by a run on other meshes, or damaged: made anew
            return prepare(meshes.items, working, **options)
    return prepare(meshes.items, working, **options, force=True)


def _single_mesh(path: Path, up: Axis) -> MeshCollection:
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    status = path.stat()
    stamp = f"{up} {status.st_size} {status.st_mtime_ns}"
    return MeshCollection([Item(path.name, partial(_load, path.resolve(), up), stamp=stamp)], [])


def _load(path: Path, up: Axis) -> Mesh:
    try:
        return load_mesh(path, up=up)
    except InputError as error:
        raise InputError(str(error).replace(f"{path.parent}{os.sep}", "")) from error

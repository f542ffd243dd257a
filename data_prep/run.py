"""The preparation run: many meshes or point clouds in, one shape store out.

Parallel over shapes through joblib, resumable after a kill, and never stopped by a bad mesh.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.mesh import Mesh
from data_prep.pipeline import Pipeline
from data_prep.point_cloud import PointCloud


@dataclass(frozen=True)
class Item:
    """One shape to prepare.

    Args:
        id: name of the shape in its source, unique in a run.
        load: makes the shape when called without arguments in a worker process; it must pickle, so use
            ``functools.partial`` of a module-level function. A mesh is scanned; a point cloud (with normals) is not.
            It raises :class:`~pcrq.errors.InputError` for a shape that cannot be used.
        category: name of the category, one of the run's ``classes``, or "" where it is unknown.
        split: "train", "val", "test" or "".
        stamp: anything that changes when the source of the shape changes, such as the checksum, or size and
            time, of a file or the version of a generator; a finished shape with another stamp is made anew.
    """

    id: str
    load: Callable[[], Mesh | PointCloud]
    category: str = ""
    split: str = ""
    stamp: str = ""


@dataclass(frozen=True)
class Refusal:
    """A shape that is not in the store.

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
        shapes: shapes in the store.
        points: points in the store.
        store_bytes: size of the store in bytes.
        refused: the shapes that could not be used, in the order of the items.
        refused_list: where they are listed (CSV, columns file and reason); None where nothing was refused.
        prepared: shapes prepared or refused by this run; the others were finished before.
        seconds: duration of this run.
        up_to_date: True where the store was there already, made from the same items in the same way.
    """

    store: Path
    shapes: int
    points: int
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
    pipeline: Pipeline = Pipeline(),  # noqa: B008  (frozen)
    jobs: int | None = None,
    source: str = "",
    force: bool = False,
) -> Summary:
    """Prepare every item and write the store ``out``, shapes in the order of the items.

    Finished shapes wait in the folder ``OUT.prep`` until the store is assembled, so the same call goes on after an
    interruption and ends with the identical file. Shapes that cannot be used are listed in ``OUT.refused.csv``.

    Args:
        items: the shapes; their ids are unique.
        out: the store to write, its name ending in ".h5".
        classes: names of the categories, every item's among them.
        parts: names of the parts where the meshes or point clouds carry labels; None drops labels.
        pipeline: how shapes are made.
        jobs: worker processes; None takes all cores, or what an active ``joblib.parallel_config`` names (dask, ray).
        source: where the shapes come from, in words; recorded in the store.
        force: replace a store at ``out`` that was made from other items or in another way.

    Returns:
        What was done. A store at ``out`` that holds the same items made in the same way is left as it is.

    Raises:
        InputError: there are no items, none of them can be used, ``out`` cannot be written or holds something else,
            the disk is full, or another run is writing ``out``.
    """
    raise NotImplementedError

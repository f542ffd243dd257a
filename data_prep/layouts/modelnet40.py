"""The layout of ModelNet40: <class>/train|test/<class>_0001.off with z up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from data_prep.layouts.shapenetcore import format_rows
from data_prep.layouts.whole_folder import whole_folder
from data_prep.mesh import Mesh
from data_prep.run import Item
from pcrq.errors import InputError

MODELNET40_CLASSES = (
    *("airplane", "bed", "bench", "bookshelf", "bottle", "car", "chair", "guitar", "lamp", "laptop"),
    *("monitor", "sofa", "stool", "table", "vase"),
)
"""The classes of ModelNet40 that are among the built-in categories."""


def write_modelnet40(
    folder: str | Path,
    items: Sequence[Item],
    *,
    force: bool = False,
    progress: Callable[[Iterable[Item]], Iterable[Item]] = iter,
) -> None:
    """Write meshes in the layout of ModelNet40.

    As in the published data, the test shapes of a class are numbered on after its training shapes, and some files
    have the counts on the line of the word OFF, without a space: here every third one.

    Args:
        folder: the folder to make.
        items: shapes whose ``load`` returns a mesh, y up; every one in the split "train" or "test".
        force: replace a folder made before.
        progress: wraps the iteration over the items, for example ``tqdm``.

    Raises:
        InputError: an item is in another split or has no category, or ``folder`` cannot be made.
    """
    for item in items:
        if item.split not in ("train", "test") or not item.category:
            raise InputError(f"{item.id}: split {item.split!r}; ModelNet40 needs a category and 'train' or 'test'")
    ordered = sorted(items, key=lambda item: item.split == "test")
    number: Counter[str] = Counter()
    with whole_folder(folder, "ModelNet40", force=force) as root:
        for item in progress(ordered):
            number[item.category] += 1
            count = number[item.category]
            file = root / item.category / item.split / f"{item.category}_{count:04d}.off"
            file.parent.mkdir(parents=True, exist_ok=True)
            _write_off(file, item.load(), after_off="" if count % 3 == 0 else "\n")


def _write_off(file: Path, mesh: Mesh, after_off: str) -> None:
    upright = mesh.vertices[:, [2, 0, 1]]  # y up to z up: a reader that takes (x, y, z) to (y, z, x) gets it back
    header = f"OFF{after_off}{len(mesh.vertices)} {len(mesh.faces)} 0\n"
    rows = format_rows("%.6f %.6f %.6f", upright), format_rows("3 %d %d %d", mesh.faces)
    file.write_text(header + "".join(rows), encoding="ascii")

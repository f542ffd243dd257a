"""Say what a folder or archive is when it is not the data set that was asked for."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from data_prep.mesh_loading import MESH_FORMATS
from data_prep.public_datasets.source_files import walk
from pcrq.errors import InputError

SYNSET_ARCHIVE = re.compile(r"(?:^|/)\d{8}\.zip$")
"""ShapeNetCore comes as one archive for every synset, in a folder or in an archive."""


@dataclass(frozen=True)
class _Layout:
    name: str
    path: re.Pattern[str]
    advice: str


_LAYOUTS = (
    _Layout("ShapeNetCore v1", re.compile(r"(?:^|/)(\d{8})/([^/]+)/model\.obj$"), "use 'pcrq prep shapenet'"),
    _Layout(
        "ShapeNetCore v2",
        re.compile(r"(?:^|/)(\d{8})/([^/]+)/models/model_normalized\.obj$"),
        "use 'pcrq prep shapenet'",
    ),
    _Layout(
        "ModelNet40 or ModelNet10",
        re.compile(r"(?:^|/)([^/]+)/(train|test)/(\1_\d{4}\.off)$", re.IGNORECASE),
        "use 'pcrq prep modelnet40'",
    ),
    _Layout("ShapeNet Part", re.compile(r"(?:^|/)(\d{8})/([^/]+)\.txt$"), "use 'pcrq prep shapenet-part'"),
    _Layout(
        "ShapeNet Part without normals",
        re.compile(r"(?:^|/)\d{8}/points/[^/]+\.pts$"),
        "get the archive shapenetcore_partanno_segmentation_benchmark_v0_normal.zip instead",
    ),
    _Layout(
        "ModelNet40 as resampled points",
        re.compile(r"(?:^|/)([^/]+)/\1_\d{4}\.txt$"),
        "get ModelNet40.zip with its meshes instead, and use 'pcrq prep modelnet40'",
    ),
)
LAYOUTS: dict[str, re.Pattern[str]] = {layout.name: layout.path for layout in _LAYOUTS}
"""The path of a shape in every public layout, from the end; its groups tell category, split and name."""


def wrong_layout(source: Path, wanted: str) -> InputError:
    """The error for a source without a single shape of the data set that was asked for.

    Args:
        source: a folder or a .zip file.
        wanted: the data set, in words.

    Returns:
        An error that says what the source looks like and what to do.
    """
    seen, archives, meshes = Counter(), [], 0
    for file in walk(source, archives=SYNSET_ARCHIVE):
        suffix = PurePosixPath(file.name).suffix.lower()
        meshes += suffix in MESH_FORMATS
        if suffix == ".zip":
            archives.append(file.name)
        for layout in _LAYOUTS:
            seen[layout] += layout.path.search(file.name) is not None
    likely, count = seen.most_common(1)[0] if seen else (None, 0)
    if count:
        return InputError(f"{source}: looks like {likely.name}, not like {wanted}; {likely.advice}")
    if archives:
        return InputError(f"{source}: no shape of {wanted}, but an archive {archives[0]}; name the archive itself")
    if meshes:
        return InputError(
            f"{source}: no shape of {wanted}, but {meshes} meshes in another layout; use 'pcrq prep meshes'"
        )
    return InputError(f"{source}: no shape of {wanted} in it; it may be unpacked in part: unpack or download it again")

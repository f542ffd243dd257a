"""What the readers of public datasets share: their result, checks, and the error for a source of another layout."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from data_prep.archives import TAR_SUFFIXES, ZipMember
from data_prep.mesh import MESH_FORMATS
from data_prep.run import Item
from data_prep.sound_loading import SOUND_FORMATS
from data_prep.source_files import SourceFile, walk
from pcrq import InputError

SPLITS = ("train", "val", "test")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PublicDataset:
    """A public dataset, or a part of it, for :func:`data_prep.prepare` or :func:`data_prep.prepare_store`.

    Args:
        name: such as "ShapeNetCore v1".
        items: its shapes or clips, in an order that every reader documents.
        classes: names of the categories.
        parts: names of the parts in the order of the labels, None if points have no labels.
        task: of sounds: name in the paper's table 9, "NS", "US8K", "VC1", "VF", "SPCV2/12" or "SPCV2"; "VF by
            speaker" is another task on VoxForge.
        seconds: of sounds: length of a clip in the evaluation (table 8); the items are whole clips.
    """

    name: str
    items: list[Item]
    classes: list[str]
    parts: list[str] | None = None
    task: str = ""
    seconds: float = 0.0


def add_once(found: dict, key, file: SourceFile, source: object) -> None:
    """Add the file of a clip or of a list to ``found``.

    Raises:
        InputError: there is one already.
    """
    if key in found:
        raise InputError(f"{source}: contains the same file twice, {found[key].name} and {file.name}; remove one")
    found[key] = file


def add_shape(found: dict, key, file: SourceFile, source: object) -> None:
    """Add the file of a shape to ``found``. A file in an archive replaces one extracted beside it.

    The extracted copy may be incomplete, while an archive has checksums.

    Raises:
        InputError: there are two folders or two archives with the shape.
    """
    other = found.get(key)
    in_archive = isinstance(file.place, ZipMember)
    if other is not None and isinstance(other.place, ZipMember) == in_archive:
        raise InputError(
            f"{source}: contains the same shape twice, {other.name} and {file.name}; pass one of the folders"
        )
    if other is None or in_archive:
        found[key] = file


def warn_of(source: object, names: Iterable[str], what: str) -> None:
    """Log the number of names and the first of them; nothing if there are none.

    Args:
        source: beginning of the message.
        names: of files, shapes or classes.
        what: message with a placeholder for the number, such as "{} files are in no list and not used".
    """
    names = sorted(names)
    if names:
        log.warning("%s: %s; the first is %s", source, what.format(len(names)), names[0])


def require_listed(table: str, names: Collection[str], found: Collection[str]) -> None:
    """Raise if clips of a list are missing: an evaluation on the rest would be on another dataset.

    Args:
        table: name of the list.
        names: the clips in it.
        found: the clips found.

    Raises:
        InputError: some are missing.
    """
    missing = sorted(set(names) - set(found))
    if missing:
        raise InputError(
            f"{table}: {len(missing)} of its {len(names)} clips are missing, the first is {missing[0]}; extract or "
            "download the dataset again"
        )


def log_counts(source: Path, name: str, items: Iterable[Item], published: Mapping[str, int]) -> None:
    """Log the number of clips of every split, and the published numbers if they differ."""
    found = Counter(item.split for item in items)
    here = ", ".join(f"{found[split]:,} {split}" for split in SPLITS)
    if found == Counter(published):
        log.info("%s: %s clips, all of %s", source, here, name)
    else:
        log.info("%s: %s clips; %s has %s", source, here, name, ", ".join(f"{n:,} {s}" for s, n in published.items()))


SYNSET_ARCHIVE = re.compile(r"(?:^|/)\d{8}\.zip$")
"""ShapeNetCore is published as one archive per synset, in a folder or in an archive."""

_LAYOUTS: dict[str, tuple[str, str]] = {
    "ShapeNetCore v1": (r"(\d{8})/([^/]+)/model\.obj", "use 'pcrq prep shapenet'"),
    "ShapeNetCore v2": (r"(\d{8})/([^/]+)/models/model_normalized\.obj", "use 'pcrq prep shapenet'"),
    "ModelNet40 or ModelNet10": (
        r"([^/]+)/(train|test)/(\1_\d{4}\.off)",
        "use 'pcrq prep modelnet40' or 'pcrq prep modelnet10'",
    ),
    "ShapeNet Part": (r"(\d{8})/([^/]+)\.txt", "use 'pcrq prep shapenet-part'"),
    "ShapeNet Part without normals": (
        r"\d{8}/points/[^/]+\.pts",
        "get the archive shapenetcore_partanno_segmentation_benchmark_v0_normal.zip instead",
    ),
    "ModelNet40 as resampled points": (
        r"([^/]+)/\1_\d{4}\.txt",
        "get ModelNet40.zip with its meshes instead, and use 'pcrq prep modelnet40'",
    ),
    "NSynth": (
        r"nsynth-\w+(?:/examples\.json|/audio/[^/]+\.wav|\.jsonwav\.\w+(?:\.gz)?)",
        "use 'pcrq prep nsynth'",
    ),
    "UrbanSound8K": (r"fold\d+/\d+-\d+-\d+-\d+\.wav|UrbanSound8K\.(?:tar|tar\.gz|zip)", "use 'pcrq prep urbansound8k'"),
    "VoxCeleb1": (r"id1\d{4}/[^/]+/\d{5}\.wav|vox1_(?:dev|test)_wav\.zip", "use 'pcrq prep voxceleb1'"),
    "VoxForge": (r"[^/]+-\d{8}-[^/]+(?:/(?:wav|flac)/[^/]+|\.tgz)", "use 'pcrq prep voxforge'"),
    "Speech Commands": (
        r"[a-z_]+/[0-9a-f]{8}_nohash_\d+\.wav|speech_commands_\w+\.\d+\.tar(?:\.gz)?",
        "use 'pcrq prep speech-commands'",
    ),
    "NSynth as tfrecord": (r"nsynth-\w+\.tfrecord", "get its three archives nsynth-*.jsonwav.tar.gz instead"),
    "VoxCeleb2": (r"id\d{5}/[^/]+/\d{5}\.m4a", "get VoxCeleb1, which is another dataset"),
    "VoxCeleb1 in pieces": (r"vox1_dev_wav_parta[a-d]", "join them: cat vox1_dev_wav_parta* > vox1_dev_wav.zip"),
}
_CASE_SENSITIVE = (
    "ShapeNetCore v1",
    "ShapeNetCore v2",
    "ShapeNet Part",
    "ShapeNet Part without normals",
    "ModelNet40 as resampled points",
)
LAYOUTS: dict[str, re.Pattern[str]] = {
    name: re.compile(f"(?:^|/)(?:{path})$", 0 if name in _CASE_SENSITIVE else re.IGNORECASE)
    for name, (path, _) in _LAYOUTS.items()
}
"""The end of the path of a shape, clip or archive of every dataset."""


def wrong_shape_layout(source: Path, wanted: str) -> InputError:
    """:func:`wrong_layout` for a dataset of shapes."""
    names = (file.name for file in walk(source, archives=SYNSET_ARCHIVE))
    return wrong_layout(source, names, wanted, kind="shape")


def wrong_layout(source: Path, names: Iterable[str], wanted: str, *, kind: str) -> InputError:
    """The error for a source that contains nothing of the expected dataset.

    Args:
        source: the folder or archive.
        names: the paths of all files in it.
        wanted: the expected dataset.
        kind: "shape" or "clip".

    Returns:
        An error with the dataset that the source looks like, and what to do.
    """
    formats, command, what = {
        "shape": (MESH_FORMATS, "pcrq prep meshes", "meshes"),
        "clip": (SOUND_FORMATS, "pcrq prep audio", "sound files"),
    }[kind]
    seen, archives, files = Counter(), [], 0
    for name in names:
        files += PurePosixPath(name).suffix.lower() in formats
        if name.lower().endswith((".zip", *TAR_SUFFIXES)):
            archives.append(name)
        seen.update(layout for layout, path in LAYOUTS.items() if path.search(name))
    likely = seen.most_common(1)[0][0] if seen else wanted
    if likely != wanted:
        return InputError(f"{source}: looks like {likely}, not like {wanted}; {_LAYOUTS[likely][1]}")
    if archives:
        return InputError(
            f"{source}: no {kind} of {wanted}, but an archive {archives[0]}; pass the archive itself, with its "
            "published name, or extract it"
        )
    if files:
        return InputError(
            f"{source}: no {kind} of {wanted}, but {files} {what} in another layout; pass the top folder of the "
            f"dataset, or use '{command}'"
        )
    return InputError(f"{source}: contains no {kind} of {wanted}; it may be incomplete: extract or download it again")

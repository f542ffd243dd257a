"""Read UrbanSound8K as its authors publish it: audio/fold1 to fold10 and metadata/UrbanSound8K.csv, one archive.

The task (US8K) is to classify the ten classes, with each of the ten folds as the test set in turn. The folds are those
of the authors, because clips of one recording must not be in two of them.

Source: Salamon, Jacoby and Bello, "A Dataset and Taxonomy for Urban Sound Research", ACM Multimedia 2014.
"""

from __future__ import annotations

import csv
import io
import logging
import re
from pathlib import Path

from data_prep.public_datasets.dataset import PublicDataset, add_once, require_listed, warn_of, wrong_layout
from data_prep.source_files import Archives, SourceFile, find_files, sound_item
from pcrq import InputError

WHERE_TO_GET_IT = "https://zenodo.org/records/1203745"
CLASSES = (
    *("air_conditioner", "car_horn", "children_playing", "dog_bark", "drilling"),
    *("engine_idling", "gun_shot", "jackhammer", "siren", "street_music"),
)
"""The classes in the order of their published numbers."""
FOLDS = range(1, 11)
PUBLISHED = 8_732
_COLUMNS = ("slice_file_name", "fold", "classID", "class")
_ARCHIVES = Archives(re.compile(r"(UrbanSound8K)\.(?:tar|tar\.gz|tgz|zip)"), r"\1/")
_CLIP = re.compile(r"(?:^|/)(fold\d+/[^/]+\.wav)$")
_TABLE = re.compile(r"(?:^|/)UrbanSound8K\.csv$")

log = logging.getLogger(__name__)


def collect_urbansound8k(source: str | Path, folder: Path) -> PublicDataset:
    """Find the clips of UrbanSound8K.

    Args:
        source: UrbanSound8K.tar.gz, its extracted folder, or a folder that contains either.
        folder: where a compressed archive is decompressed.

    Returns:
        Clips in the order of folds and names, with the fold as its authors number it, 1 to 10, and no split. Ids are
        such as "fold5/100032-3-0-0.wav".

    Raises:
        InputError: the source is missing, of another kind, damaged or hostile, the table, a clip or a whole fold is
            missing, or the table cannot be used.
    """
    source, clips, tables = Path(source), {}, {}
    files = list(find_files(source, _ARCHIVES, folder))
    for file in files:
        if match := _CLIP.search(file.name):
            add_once(clips, match[1], file, source)
        elif _TABLE.search(file.name):
            add_once(tables, "table", file, source)
    if not clips:
        raise wrong_layout(source, (file.name for file in files), "UrbanSound8K", kind="clip")
    if not tables:
        raise InputError(
            f"{source}: metadata/UrbanSound8K.csv is missing; pass the folder that contains audio and metadata"
        )
    table = tables["table"]
    rows = _read_table(table)
    require_listed(table.name, rows, clips)
    warn_of(source, clips.keys() - rows.keys(), "{} clips are not in UrbanSound8K.csv and not used")
    absent = sorted(set(FOLDS) - {fold for fold, _ in rows.values()})
    if absent:
        raise InputError(f"{table.name}: no clip of fold {absent[0]}; all ten folds are needed, download it again")
    log.info("%s: %s clips in 10 folds; UrbanSound8K has %s", source, f"{len(rows):,}", f"{PUBLISHED:,}")
    items = [
        sound_item(clips[name], name, category=rows[name][1], fold=rows[name][0])
        for name in sorted(rows, key=lambda name: (rows[name][0], name))
    ]
    return PublicDataset("UrbanSound8K", items, list(CLASSES), task="US8K", seconds=4.0)


def _read_table(table: SourceFile) -> dict[str, tuple[int, str]]:
    """Fold and class of every clip, by its path below the folder audio."""
    clips = {}
    known = {(str(number), name) for number, name in enumerate(CLASSES)}
    folds = {str(fold) for fold in FOLDS}
    try:
        rows = csv.DictReader(io.StringIO(table.read().decode("utf-8-sig")), strict=True)
        if not set(_COLUMNS) <= set(rows.fieldnames or ()):
            raise InputError(f"{table.name}: columns {rows.fieldnames}, expected {', '.join(_COLUMNS)} among them")
        for row in rows:
            name, fold, number, category = (row[column] or "" for column in _COLUMNS)
            if fold not in folds:
                raise InputError(f"{table.name}: {name} is in fold {fold!r}; they are 1 to 10")
            if (number, category) not in known:
                raise InputError(
                    f"{table.name}: {name} is of class {number!r}, {category!r}; they are 0 air_conditioner to "
                    "9 street_music"
                )
            clips[f"fold{fold}/{name}"] = (int(fold), category)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table.name}: not a CSV file in UTF-8 ({error})") from error
    if not clips:
        raise InputError(f"{table.name}: contains no clip; extract or download it again")
    return clips

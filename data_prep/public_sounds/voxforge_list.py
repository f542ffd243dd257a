"""Read the list of splits that BYOL-A's authors publish for VoxForge, by which the paper's table 9 was made.

The list has the columns file_name, label and split (train, valid, test). They drew archives, 9,685 for training, 2,075
for validation and 2,077 for test, so a speaker may be in several splits. Archives were unpacked into one folder, below
which a name counts: "<folder in the archive>/wav/<clip>.wav". Folders above that are allowed here and do not matter,
and labels are not read, as clips lie in folders of their language.

Source: nttcslab/eval-audio-repr, evar/metadata/voxforge.csv; Preparing-datasets.md, evar/utils/download_voxforge.py and
evar/utils/make_metadata.py say how it was made.
"""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

from data_prep.public_datasets.source_files import SourceFile
from data_prep.public_sounds.dataset import SPLITS
from pcrq.errors import InputError

LIST_URL = "https://github.com/nttcslab/eval-audio-repr/blob/main/evar/metadata/voxforge.csv"
_SPLITS = {"train": "train", "valid": "val", "val": "val", "test": "test"}
_NAME = re.compile(r"(?:^|/)([^/]+/(wav|flac)/[^/]+\.\2)$", re.IGNORECASE)


def read_voxforge_list(path: Path) -> dict[str, str]:
    """The split, "train", "val" or "test", of every clip by its name, such as "kdl-20080318-xyz/wav/a1.wav".

    Raises:
        InputError: the list cannot be read, is no such list, contradicts itself or lacks a split.
    """
    advice = f"get the list again, {LIST_URL}"
    splits: dict[str, str] = {}
    try:
        rows = csv.DictReader(io.StringIO(SourceFile(str(path), path).read().decode("utf-8-sig")), strict=True)
        columns = rows.fieldnames or []
        if not {"file_name", "split"} <= set(columns):
            raise InputError(f"{path}: columns {str(columns)[:80]}, expected file_name, label, split; {advice}")
        for row in rows:
            match, split = _NAME.search(row["file_name"] or ""), _SPLITS.get((row["split"] or "").strip())
            if match is None or split is None:
                found = f"{row['file_name']!r}, {row['split']!r}"
                raise InputError(
                    f"{path}: line {rows.line_num} has {found[:80]}; expected a name such as "
                    f"kdl-20080318-xyz/wav/a1.wav, and train, valid or test; {advice}"
                )
            if splits.setdefault(match[1], split) != split:
                raise InputError(f"{path}: {match[1]} is in two splits, {splits[match[1]]} and {split}; {advice}")
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a CSV file in UTF-8 ({error}); {advice}") from error
    for split in SPLITS:
        if split not in splits.values():
            raise InputError(f"{path}: no clip for {split} in it; {advice}")
    return splits

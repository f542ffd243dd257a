"""Read VoxCeleb1 as its authors publish it: wav/<speaker>/<video>/<number>.wav in two archives, and iden_split.txt.

The task (VC1) is to identify the speakers with the authors' identification split, in which every speaker is in
training, validation and test. The list has 153,516 clips of 1,251 speakers. The paper's table 8 counts 153,514 clips
and 1,211 speakers, which is the number of speakers in the development archive alone; BYOL-A's evaluation code, whose
table it follows, uses all 1,251 (nttcslab/eval-audio-repr, evar/utils/make_metadata.py).

Source: Nagrani, Chung and Zisserman, "VoxCeleb: a large-scale speaker identification dataset", Interspeech 2017.
"""

from __future__ import annotations

import re
from pathlib import Path

from data_prep.public_datasets.dataset import (
    SPLITS,
    PublicDataset,
    add_once,
    log_counts,
    require_listed,
    warn_of,
    wrong_layout,
)
from data_prep.source_files import Archives, SourceFile, find_files, sound_item
from pcrq import InputError

LIST_URL = "https://www.robots.ox.ac.uk/~vgg/data/voxceleb/meta/iden_split.txt"
WHERE_TO_GET_IT = "https://www.robots.ox.ac.uk/~vgg/data/voxceleb/vox1.html"
PUBLISHED = {"train": 138_361, "val": 6_904, "test": 8_251}
_NUMBERS = {"1": "train", "2": "val", "3": "test"}
_ARCHIVES = Archives(re.compile(r"vox1_(?:dev|test)_wav\.zip"), "wav/")
_CLIP = re.compile(r"(?:^|/)(id\d{5}/[^/]+/\d{5}\.wav)$")
_LIST = re.compile(r"(?:^|/)iden_split\.txt$")


def collect_voxceleb1(source: str | Path, folder: Path) -> PublicDataset:
    """Find the clips of VoxCeleb1.

    Args:
        source: a folder with iden_split.txt, and with vox1_dev_wav.zip and vox1_test_wav.zip or their content.
        folder: not used, because zip archives are read in place; a parameter of all readers of sounds.

    Returns:
        Clips in the order of training, validation and test, in each by name. Ids are those of the list, such as
        "id10001/1zcIwhmdeo4/00001.wav"; classes are the speakers in the list.

    Raises:
        InputError: the source is missing, of another kind, damaged or hostile, the list or a clip is missing, or the
            list cannot be used.
    """
    source, clips, lists = Path(source), {}, {}
    files = list(find_files(source, _ARCHIVES, folder))
    for file in files:
        if match := _CLIP.search(file.name):
            add_once(clips, match[1], file, source)
        elif _LIST.search(file.name):
            add_once(lists, "list", file, source)
    if not clips:
        raise wrong_layout(source, (file.name for file in files), "VoxCeleb1", kind="clip")
    if not lists:
        raise InputError(f"{source}: iden_split.txt is missing; get it from {LIST_URL} and put it there")
    split = _read_list(lists["list"])
    require_listed(lists["list"].name, split, clips)
    warn_of(source, clips.keys() - split.keys(), "{} clips are not in iden_split.txt and not used")
    items = [
        sound_item(clips[name], name, category=name.split("/")[0], split=split[name])
        for name in sorted(split, key=lambda name: (SPLITS.index(split[name]), name))
    ]
    log_counts(source, "VoxCeleb1", items, PUBLISHED)
    return PublicDataset("VoxCeleb1", items, sorted({item.category for item in items}), task="VC1", seconds=8.2)


def _read_list(table: SourceFile) -> dict[str, str]:
    """The split of every clip."""
    split = {}
    for number, line in enumerate(table.read().decode("utf-8", errors="replace").splitlines(), 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2 or words[0] not in _NUMBERS or not _CLIP.search(words[1]):
            raise InputError(
                f"{table.name}: line {number} is {line[:60]!r}; expected 1, 2 or 3 and a clip such as "
                f"id10001/1zcIwhmdeo4/00001.wav, as in {LIST_URL}"
            )
        split[words[1]] = _NUMBERS[words[0]]
    for name in SPLITS:
        if name not in split.values():
            raise InputError(f"{table.name}: contains no clip for {name}; get the complete list, {LIST_URL}")
    return split

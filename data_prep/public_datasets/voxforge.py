"""Read VoxForge as it is published: for every language a folder of archives, in each the recordings of one person.

The task is to classify six languages. The paper's task (VF) has the splits that BYOL-A's authors publish as a list
(columns file_name, label and split). They sampled archives, 9,685 for training, 2,075 for validation and 2,077 for
test, so a speaker may be in several splits. Their archives were extracted into one folder, below which a name is
"<folder in the archive>/wav/<clip>.wav". Other folders before it are ignored, and so are the labels, because clips are
in folders of their language.

Without the list the task is another one (VF by speaker): all clips of a speaker are in one split, so that the voice
does not reveal the language; 70, 15 and 15 % of the speakers. TensorFlow Datasets does the same with 70, 10 and 20 %.
The split of a speaker depends only on the name. The many archives named "anonymous" are not of one person; each counts
as a speaker.

Source: http://www.voxforge.org; six languages and layout as in tensorflow_datasets/audio/voxforge.py. The list:
nttcslab/eval-audio-repr, evar/metadata/voxforge.csv; Preparing-datasets.md, evar/utils/download_voxforge.py and
evar/utils/make_metadata.py describe how it was made.
"""

from __future__ import annotations

import csv
import hashlib
import io
import logging
import re
from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np

from data_prep.archives import TarMember, tar_stem
from data_prep.public_datasets.dataset import (
    SPLITS,
    PublicDataset,
    add_once,
    require_listed,
    warn_of,
    wrong_layout,
)
from data_prep.run import Item
from data_prep.source_files import Archives, SourceFile, find_files, sound_item
from pcrq import InputError

LIST_URL = "https://github.com/nttcslab/eval-audio-repr/blob/main/evar/metadata/voxforge.csv"
WHERE_TO_GET_IT = "http://www.repository.voxforge1.org/downloads/{de,en,es,fr,it,ru}/Trunk/Audio/Main/16kHz_16bit/"
TASK, TASK_BY_SPEAKER = "VF", "VF by speaker"
CLASSES = ("de", "en", "es", "fr", "it", "ru")
PUBLISHED = 176_438
"""Clips in the paper's table 8; the server has more now."""
_SHARES = (("train", 0.70), ("val", 0.85), ("test", 1.0))  # upper ends
_FOLDERS = {**{language: language for language in CLASSES}, "SpeechCorpus": "en"}
_ARCHIVES = Archives(re.compile(r"([^/]+)\.tgz"), r"\1/")
_CLIP = re.compile(r"(?:^|/)([^/]+)/(wav|flac)/([^/]+)\.\2$", re.IGNORECASE)
_SPEAKER = re.compile(r"(.+?)-\d{8}")
_LIST_SPLITS = {"train": "train", "valid": "val", "val": "val", "test": "test"}
_LISTED_CLIP = re.compile(r"(?:^|/)([^/]+/(wav|flac)/[^/]+\.\2)$", re.IGNORECASE)
_Key = tuple[str, str, str, str]  # language, recording, clip, "wav" or "flac"

log = logging.getLogger(__name__)


def collect_voxforge(source: str | Path, folder: Path, *, splits: str | Path | None = None) -> PublicDataset:
    """Find the clips of VoxForge.

    Args:
        source: a folder with one folder for each of de, en (or SpeechCorpus), es, fr, it and ru, and below them,
            at any depth, the .tgz archives or their content: <speaker>-<date>-<letters>/wav/*.wav, or flac.
        folder: where archives are decompressed.
        splits: the published list, for the task of the paper; without it splits are by speaker, another task.

    Returns:
        Clips in the order of training, validation and test, in each by name. Ids are such as
        "de/anonymous-20080318-kdl/de5-01.wav"; without a list, the wav of a recording that has wav and flac. An
        archive that cannot be read becomes an item that raises the error when it is loaded, so the run continues.

    Raises:
        InputError: the source is missing, of another kind, a language is missing, a recording occurs twice, or the
            list cannot be used or contains a clip that is missing.
    """
    listed = None if splits is None else read_voxforge_list(Path(splits))
    source, clips, strays = Path(source), {}, []
    broken: list[tuple[str, InputError]] = []
    files = list(find_files(source, _ARCHIVES, folder, unreadable=lambda *found: broken.append(found)))
    for file in files:
        if match := _CLIP.search(file.name):
            language = _language(file.name)
            if language is None:
                strays.append(file.name)
            else:
                add_once(clips, (language, _recording(file, match[1]), match[3], match[2].lower()), file, source)
    if not clips:
        if broken:
            raise broken[0][1]
        if strays:
            raise InputError(
                f"{source}: {strays[0]} is in no folder of a language; put the archives of each language into a folder "
                f"{', '.join(CLASSES)}"
            )
        raise wrong_layout(source, (file.name for file in files), "VoxForge", kind="clip")
    warn_of(source, strays, "{} clips are in no folder of a language (de, en, es, fr, it, ru) and not used")
    absent = [language for language in CLASSES if language not in {key[0] for key in clips}]
    if absent:
        raise InputError(f"{source}: no clip of {absent[0]}; the task needs all six languages, from {WHERE_TO_GET_IT}")
    if listed is None:
        log.info("%s: split by speaker, which is not the paper's task; for that use --splits: %s", source, LIST_URL)
        split = {key: split_of(key[1]) for key in clips if key[3] == "wav" or (*key[:3], "wav") not in clips}
    else:
        split = _as_listed(source, str(splits), listed, clips, {tar_stem(Path(name).name) for name, _ in broken})
    items = sorted(
        (_item(clips[key], *key, split[key]) for key in split), key=lambda item: (SPLITS.index(item.split), item.id)
    )
    _log_found(source, items, split)
    task = TASK_BY_SPEAKER if listed is None else TASK
    return PublicDataset(
        "VoxForge", items + [_refused(*archive) for archive in broken], list(CLASSES), task=task, seconds=5.8
    )


def split_of(recording: str) -> str:
    """The split of a recording, which depends on its speaker.

    Args:
        recording: name of the archive without its suffix, such as "ralfherzog-20070803-de1".

    Returns:
        "train", "val" or "test".
    """
    match = _SPEAKER.match(recording)
    speaker = (match[1] if match else recording).casefold()
    if speaker == "anonymous":
        speaker = recording
    place = int.from_bytes(hashlib.sha256(f"pcrq VoxForge {speaker}".encode()).digest()[:8], "big") / 2**64
    return next(split for split, end in _SHARES if place < end)


def read_voxforge_list(path: Path) -> dict[str, str]:
    """The split, "train", "val" or "test", of every clip by its name, such as "kdl-20080318-xyz/wav/a1.wav".

    Raises:
        InputError: the list cannot be read, has another format, contradicts itself or has no clip for a split.
    """
    advice = f"get the list again, {LIST_URL}"
    splits: dict[str, str] = {}
    try:
        rows = csv.DictReader(io.StringIO(SourceFile(str(path), path).read().decode("utf-8-sig")), strict=True)
        columns = rows.fieldnames or []
        if not {"file_name", "split"} <= set(columns):
            raise InputError(f"{path}: columns {str(columns)[:80]}, expected file_name, label, split; {advice}")
        for row in rows:
            match, split = _LISTED_CLIP.search(row["file_name"] or ""), _LIST_SPLITS.get((row["split"] or "").strip())
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
            raise InputError(f"{path}: contains no clip for {split}; {advice}")
    return splits


def _as_listed(
    source: Path, table: str, listed: dict[str, str], clips: dict[_Key, SourceFile], broken: set[str]
) -> dict[_Key, str]:
    """The splits of the clips in the list; ``broken`` are the recordings whose archives cannot be read."""
    names = {}
    for key in clips:
        _, recording, clip, kind = key
        names[f"{recording}/{kind}/{clip}.{kind}"] = key
    for key, file in clips.items():  # the list has the folder in the archive, usually of the same name
        names.setdefault("/".join(file.name.split("/")[-3:]), key)
    require_listed(table, listed, names.keys() | {name for name in listed if name.split("/")[0] in broken})
    split = {names[name]: part for name, part in listed.items() if name in names}
    warn_of(source, (_id(*key) for key in clips.keys() - split.keys()), "{} clips are not in the list and not used")
    return split


def _language(name: str) -> str | None:
    """The language of the innermost folder named after one."""
    return next((_FOLDERS[part] for part in reversed(name.split("/")[:-1]) if part in _FOLDERS), None)


def _recording(file: SourceFile, inner: str) -> str:
    """The name of the archive; the folder of the recording in it may have another name."""
    if isinstance(file.place, TarMember):
        return file.name.removesuffix(f"/{file.place.name}").rpartition("/")[2]
    return inner


def _item(file: SourceFile, language: str, recording: str, clip: str, kind: str, split: str) -> Item:
    return sound_item(file, _id(language, recording, clip, kind), category=language, split=split)


def _id(language: str, recording: str, clip: str, kind: str) -> str:
    return f"{language}/{recording}/{clip}.{kind}"


def _refused(name: str, error: InputError) -> Item:
    id = f"{_language(name) or '?'}/{tar_stem(name.rpartition('/')[2])}"
    return Item(id, partial(_refuse, str(error)), stamp=str(error))


def _refuse(reason: str) -> np.ndarray:
    raise InputError(reason)


def _log_found(source: Path, items: list[Item], clips: Iterable[_Key]) -> None:
    languages, splits = Counter(item.category for item in items), Counter(item.split for item in items)
    log.info(
        "%s: %s clips, %s; %s; the paper has %s",
        source,
        f"{len(items):,}",
        ", ".join(f"{languages[language]:,} {language}" for language in CLASSES),
        ", ".join(f"{splits[split]:,} {split}" for split in SPLITS),
        f"{PUBLISHED:,}",
    )
    flac = sum(kind == "flac" for *_, kind in clips)
    if flac:
        log.info("%s: %d of them are flac, which other evaluations ignore", source, flac)

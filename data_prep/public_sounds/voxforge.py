"""Read VoxForge as it is published: for every language a folder of archives, in each the recordings of one person.

The task is to tell six languages. The paper's (VF) has the splits that BYOL-A's authors publish as a list, see
:mod:`~data_prep.public_sounds.voxforge_list`; they drew archives, so that a speaker may be in several splits.

Without the list another task is made (VF by speaker): all clips of a speaker are in one split, so that a voice cannot
tell the language, 70, 15 and 15 % of them. TensorFlow Datasets does the same with 70, 10 and 20 %. A speaker's split is
computed from the name alone: it is the same whatever else is there, and for every language. The many archives called
"anonymous" are not one person; each counts as a speaker.

Source: http://www.voxforge.org; six languages and layout as in tensorflow_datasets/audio/voxforge.py.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np

from data_prep.public_datasets.dataset import warn_of
from data_prep.public_datasets.source_files import SourceFile
from data_prep.public_sounds.dataset import SPLITS, SoundTask, note_once, require_listed, sound_item
from data_prep.public_sounds.published_files import Archives, find_files
from data_prep.public_sounds.recognise import wrong_layout
from data_prep.public_sounds.voxforge_list import LIST_URL, read_voxforge_list
from data_prep.run import Item
from data_prep.safe_tar import TarMember, tar_stem
from pcrq.errors import InputError

WHERE_TO_GET_IT = "http://www.repository.voxforge1.org/downloads/{de,en,es,fr,it,ru}/Trunk/Audio/Main/16kHz_16bit/"
TASK, TASK_BY_SPEAKER = "VF", "VF by speaker"
CLASSES = ("de", "en", "es", "fr", "it", "ru")
PUBLISHED = 176_438
"""Clips in the paper's table 8; those on the server have become more."""
_SHARES = (("train", 0.70), ("val", 0.85), ("test", 1.0))  # upper ends
_FOLDERS = {**{language: language for language in CLASSES}, "SpeechCorpus": "en"}
_ARCHIVES = Archives(re.compile(r"([^/]+)\.tgz"), r"\1/")
_CLIP = re.compile(r"(?:^|/)([^/]+)/(wav|flac)/([^/]+)\.\2$", re.IGNORECASE)
_SPEAKER = re.compile(r"(.+?)-\d{8}")
_Key = tuple[str, str, str, str]  # language, recording, clip, "wav" or "flac"

log = logging.getLogger(__name__)


def collect_voxforge(source: str | Path, folder: Path, *, splits: str | Path | None = None) -> SoundTask:
    """Find the clips of VoxForge.

    Args:
        source: a folder with one folder for each of de, en (or SpeechCorpus), es, fr, it and ru, and below them,
            however deep, the .tgz archives, or what they hold: <speaker>-<date>-<letters>/wav/*.wav, or flac.
        folder: where archives are decompressed to.
        splits: the published list, for the task of the paper; without it splits are by speaker, another task.

    Returns:
        Clips in the order of training, validation and test, in each by name. Ids are such as
        "de/anonymous-20080318-kdl/de5-01.wav"; without a list, where a recording has wav and flac, it is the wav. An
        archive that cannot be read is an item that says so when it is loaded, so the run goes on without it.

    Raises:
        InputError: the source is missing, of another kind, a language is missing, a recording is there twice, or the
            list cannot be used or has a clip that is not there.
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
                note_once(clips, (language, _recording(file, match[1]), match[3], match[2].lower()), file, source)
    if not clips:
        if broken:
            raise broken[0][1]
        if strays:
            raise InputError(
                f"{source}: {strays[0]} is in no folder of a language; put the archives of each into folders "
                f"{', '.join(CLASSES)}"
            )
        raise wrong_layout(source, (file.name for file in files), "VoxForge")
    warn_of(source, strays, "{} clips are in no folder of a language (de, en, es, fr, it, ru), they are not used")
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
    _tell(source, items, split)
    task = TASK_BY_SPEAKER if listed is None else TASK
    return SoundTask("VoxForge", task, 5.8, items + [_refused(*archive) for archive in broken], list(CLASSES))


def split_of(recording: str) -> str:
    """The split of a recording, by its speaker.

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


def _as_listed(
    source: Path, table: str, listed: dict[str, str], clips: dict[_Key, SourceFile], broken: set[str]
) -> dict[_Key, str]:
    """The splits of the clips in the list; ``broken`` are the recordings whose archives cannot be read."""
    names = {}
    for key in clips:
        _, recording, clip, kind = key
        names[f"{recording}/{kind}/{clip}.{kind}"] = key
    for key, file in clips.items():  # the list has the folder in the archive, which mostly is called like it
        names.setdefault("/".join(file.name.split("/")[-3:]), key)
    require_listed(table, listed, names.keys() | {name for name in listed if name.split("/")[0] in broken})
    split = {names[name]: part for name, part in listed.items() if name in names}
    warn_of(
        source, (_id(*key) for key in clips.keys() - split.keys()), "{} clips are not in the list, they are not used"
    )
    return split


def _language(name: str) -> str | None:
    """That of the innermost folder that is called by one."""
    return next((_FOLDERS[part] for part in reversed(name.split("/")[:-1]) if part in _FOLDERS), None)


def _recording(file: SourceFile, inner: str) -> str:
    """The name of the archive; a recording's folder in it may have another."""
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


def _tell(source: Path, items: list[Item], clips: Iterable[_Key]) -> None:
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
        log.info("%s: %d of them are flac, which the evaluations of others pass over", source, flac)

"""Read VoxForge as it is published: for every language a folder of archives, in each the recordings of one person.

The task (VF) is to tell six languages. There are no published splits, and those of others differ: TensorFlow Datasets
keeps all clips of a speaker in one split and takes 70, 10 and 20 % of the speakers; BYOL-A's authors draw archives,
70, 15 and 15 %, so that a speaker may be in several (nttcslab/eval-audio-repr, evar/utils/make_metadata.py). Here
speakers stay together, so that a voice cannot tell the language, and the shares are 70, 15 and 15 %. A speaker's split
is computed from the name alone: it is the same whatever else is there, and for every language. The many archives
called "anonymous" are not one person; each counts as a speaker.

Source: http://www.voxforge.org; six languages and layout as in tensorflow_datasets/audio/voxforge.py.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np

from data_prep.public_datasets.dataset import warn_of
from data_prep.public_datasets.source_files import SourceFile
from data_prep.public_sounds.dataset import SPLITS, SoundTask, note_once, sound_item
from data_prep.public_sounds.published_files import Archives, find_files
from data_prep.public_sounds.recognise import wrong_layout
from data_prep.run import Item
from data_prep.safe_tar import TarMember, tar_stem
from pcrq.errors import InputError

WHERE_TO_GET_IT = "http://www.repository.voxforge1.org/downloads/{de,en,es,fr,it,ru}/Trunk/Audio/Main/16kHz_16bit/"
CLASSES = ("de", "en", "es", "fr", "it", "ru")
PUBLISHED = 176_438
"""Clips in the paper's table 8; those on the server have become more."""
_SHARES = (("train", 0.70), ("val", 0.85), ("test", 1.0))  # upper ends
_FOLDERS = {**{language: language for language in CLASSES}, "SpeechCorpus": "en"}
_ARCHIVES = Archives(re.compile(r"([^/]+)\.tgz"), r"\1/")
_CLIP = re.compile(r"(?:^|/)([^/]+)/(wav|flac)/([^/]+)\.\2$", re.IGNORECASE)
_SPEAKER = re.compile(r"(.+?)-\d{8}")

log = logging.getLogger(__name__)


def collect_voxforge(source: str | Path, folder: Path) -> SoundTask:
    """Find the clips of VoxForge.

    Args:
        source: a folder with one folder for each of de, en (or SpeechCorpus), es, fr, it and ru, and below them,
            however deep, the .tgz archives, or what they hold: <speaker>-<date>-<letters>/wav/*.wav, or flac.
        folder: where archives are decompressed to.

    Returns:
        Clips in the order of training, validation and test, in each by name. Ids are such as
        "de/anonymous-20080318-kdl/de5-01.wav"; where a recording has wav and flac, it is the wav. An archive that
        cannot be read is an item that says so when it is loaded, so the run goes on without it.

    Raises:
        InputError: the source is missing, of another kind, a language is missing, or a recording is there twice.
    """
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
    clips = {key: file for key, file in clips.items() if key[3] == "wav" or (*key[:3], "wav") not in clips}
    absent = [language for language in CLASSES if language not in {key[0] for key in clips}]
    if absent:
        raise InputError(f"{source}: no clip of {absent[0]}; the task needs all six languages, from {WHERE_TO_GET_IT}")
    items = sorted(
        (_item(file, *key) for key, file in clips.items()), key=lambda item: (SPLITS.index(item.split), item.id)
    )
    _tell(source, items, clips)
    return SoundTask("VoxForge", "VF", 5.8, items + [_refused(*archive) for archive in broken], list(CLASSES))


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


def _language(name: str) -> str | None:
    """That of the innermost folder that is called by one."""
    return next((_FOLDERS[part] for part in reversed(name.split("/")[:-1]) if part in _FOLDERS), None)


def _recording(file: SourceFile, inner: str) -> str:
    """The name of the archive; a recording's folder in it may have another."""
    if isinstance(file.place, TarMember):
        return file.name.removesuffix(f"/{file.place.name}").rpartition("/")[2]
    return inner


def _item(file: SourceFile, language: str, recording: str, clip: str, kind: str) -> Item:
    id = f"{language}/{recording}/{clip}.{kind}"
    return sound_item(file, id, category=language, split=split_of(recording))


def _refused(name: str, error: InputError) -> Item:
    id = f"{_language(name) or '?'}/{tar_stem(name.rpartition('/')[2])}"
    return Item(id, partial(_refuse, str(error)), stamp=str(error))


def _refuse(reason: str) -> np.ndarray:
    raise InputError(reason)


def _tell(source: Path, items: list[Item], clips: dict) -> None:
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

"""Read Speech Commands v0.02 as Google publishes it: <word>/*.wav, two lists, background noise; and its test set.

With 35 classes (SPCV2) every word is one, and the lists say which clips are for validation and test. With 12 classes
(SPCV2/12) they are ten words, silence and unknown, built as TensorFlow Datasets does
(tensorflow_datasets/datasets/speech_commands), which is also the usual comparison; nothing is random:

- unknown are, for training and validation, all clips of the other 25 words;
- silence is background noise in segments of one second, one every half second: running_tap.wav for validation, the
  other files for training;
- the test clips of silence and unknown are those of the published test set, 408 each.

That gives 85,511 clips for training, 10,102 for validation and 4,890 for test.

Source: Warden, "Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition", arXiv:1804.03209.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from data_prep.download import PublishedArchive
from data_prep.public_datasets.dataset import (
    SPLITS,
    PublicDataset,
    add_once,
    log_counts,
    require_listed,
    warn_of,
    wrong_layout,
)
from data_prep.run import Item
from data_prep.source_files import Archives, SourceFile, find_files, read_sound, sound_item
from pcrq import InputError
from pcrq.stores.sound_store import RATE

_SERVER = "https://storage.googleapis.com/download.tensorflow.org/data"
# The checksums are those of tensorflow_datasets/url_checksums/speech_commands.txt; torchaudio has the first one, too.
ARCHIVE = PublishedArchive(
    name="Speech Commands v0.02",
    url=f"{_SERVER}/speech_commands_v0.02.tar.gz",
    sha256="af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
    advice="see https://arxiv.org/abs/1804.03209",
)
TEST_SET = PublishedArchive(
    name="the test set of Speech Commands v0.02",
    url=f"{_SERVER}/speech_commands_test_set_v0.02.tar.gz",
    sha256="cc2a00c1147c2254e9be3fa0f779d8c17421dc349b86366567a8edfa9acd51df",
    advice="see https://arxiv.org/abs/1804.03209",
)
COMMANDS = ("down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes")
SILENCE, UNKNOWN = "_silence_", "_unknown_"
CLASSES_12 = (*COMMANDS, SILENCE, UNKNOWN)
CLASSES_35 = (
    *("backward", "bed", "bird", "cat", "dog", "down", "eight", "five", "follow", "forward", "four", "go"),
    *("happy", "house", "learn", "left", "marvin", "nine", "no", "off", "on", "one", "right", "seven", "sheila"),
    *("six", "stop", "three", "tree", "two", "up", "visual", "wow", "yes", "zero"),
)
PUBLISHED = {
    35: {"train": 84_843, "val": 9_981, "test": 11_005},
    12: {"train": 85_511, "val": 10_102, "test": 4_890},
}
_NOISE, _VALIDATION_NOISE = "_background_noise_", "running_tap.wav"
_LISTS = {"validation_list.txt": "val", "testing_list.txt": "test"}
_ARCHIVES = Archives(re.compile(r"(speech_commands_(?:test_set_)?v0\.02)\.(?:tar|tar\.gz|tgz)"), r"\1/")
_ANY_CLIP = re.compile(r"(?:^|/)[a-z]+/[0-9a-f]{8}_nohash_\d+\.wav$")
_TEST_CLIP = re.compile(rf"(?:^|/)((?:{SILENCE}|{UNKNOWN})/[^/]+\.wav)$")


def collect_speech_commands(source: str | Path, folder: Path, *, classes: int) -> PublicDataset:
    """Find the clips of Speech Commands v0.02.

    Args:
        source: the archive, its extracted folder, or a folder that contains either; for 12 classes also the archive of
            the test set, or its content.
        folder: where compressed archives are decompressed.
        classes: 12 or 35.

    Returns:
        Clips in the order of training, validation and test, in each by name. Ids are such as
        "bed/00176480_nohash_0.wav" and "_background_noise_/running_tap.wav/0008000", the number being the first
        sample of a segment of noise.

    Raises:
        InputError: the source is missing, of another kind or version, damaged or hostile, or a list, a clip, a word,
            the noise or the test set is missing.
    """
    if classes not in PUBLISHED:
        raise InputError(f"--classes {classes}: Speech Commands has 35 words, or 12 classes with silence and unknown")
    source = Path(source)
    files = list(find_files(source, _ARCHIVES, folder))
    lists, clips, noise = _by_role(source, files)
    if not clips:
        raise wrong_layout(source, (file.name for file in files), "Speech Commands", kind="clip")
    split = _read_lists(source, lists, clips)
    absent = sorted(set(CLASSES_35) - {_word(id) for id in clips})
    if absent:
        raise InputError(
            f"{source}: no clip of {absent[0]} and {len(absent) - 1} more of the 35 words; version 0.01 has fewer: "
            f"get {ARCHIVE.url}"
        )
    if classes == 35:
        items = [sound_item(file, id, category=_word(id), split=split.get(id, "train")) for id, file in clips.items()]
    else:
        items = [*_words_of_12(clips, split), *_noise(source, noise), *_test_set(source, files)]
    items.sort(key=lambda item: (SPLITS.index(item.split), item.id))
    log_counts(source, f"Speech Commands with {classes} classes", items, PUBLISHED[classes])
    names = CLASSES_35 if classes == 35 else CLASSES_12
    task = "SPCV2" if classes == 35 else "SPCV2/12"
    return PublicDataset("Speech Commands v0.02", items, list(names), task=task, seconds=1.0)


def _by_role(
    source: Path, files: list[SourceFile]
) -> tuple[dict[str, SourceFile], dict[str, SourceFile], dict[str, SourceFile]]:
    """The lists by split, and by path the words' clips and the noise of the folder that has the lists."""
    lists, clips, noise, others, top = {}, {}, {}, [], None
    for file in files:
        folder, _, name = file.name.rpartition("/")
        if name in _LISTS:
            add_once(lists, _LISTS[name], file, source)
            top = folder
    if top is None and any(_ANY_CLIP.search(file.name) for file in files):
        raise _no_list(source, " and ".join(_LISTS) + " are")
    for file in files:
        path = file.name.removeprefix(f"{top}/")
        folder, _, name = path.partition("/")
        if path == file.name or "/" in name or not name.endswith(".wav"):
            continue
        if folder == _NOISE:
            noise[path] = file
        elif folder in CLASSES_35:
            clips[path] = file
        elif folder not in (SILENCE, UNKNOWN):
            others.append(path)
    warn_of(source, others, "{} clips are of none of the 35 words and not used")
    return lists, clips, noise


def _no_list(source: Path, what: str) -> InputError:
    return InputError(f"{source}: {what} missing; pass the folder above the words, or extract {ARCHIVE.url} again")


def _read_lists(source: Path, lists: dict[str, SourceFile], clips: dict[str, SourceFile]) -> dict[str, str]:
    """The split of the clips that are not for training."""
    split: dict[str, str] = {}
    for name, part in _LISTS.items():
        if part not in lists:
            raise _no_list(source, f"{name} is")
        table = lists[part]
        listed = table.read().decode("utf-8", errors="replace").split()
        if not listed:
            raise InputError(f"{table.name}: contains no clip; extract {ARCHIVE.url} again")
        require_listed(table.name, listed, clips)
        split |= dict.fromkeys(listed, part)
    return split


def _word(id: str) -> str:
    return id.split("/")[0]


def _words_of_12(clips: dict[str, SourceFile], split: dict[str, str]) -> Iterator[Item]:
    for id, file in clips.items():
        category, part = _word(id) if _word(id) in COMMANDS else UNKNOWN, split.get(id, "train")
        if category != UNKNOWN or part != "test":
            yield sound_item(file, id, category=category, split=part)


def _noise(source: Path, noise: dict[str, SourceFile]) -> Iterator[Item]:
    """Segments of one second, named by their first sample."""
    if f"{_NOISE}/{_VALIDATION_NOISE}" not in noise or len(noise) < 2:
        raise InputError(
            f"{source}: {_NOISE} with {_VALIDATION_NOISE} and others is missing, from which silence is made; extract "
            f"{ARCHIVE.url} again"
        )
    for path, file in noise.items():
        part = "val" if path.endswith(f"/{_VALIDATION_NOISE}") else "train"
        for start in segment_starts(len(read_sound(file, path))):
            id = f"{path}/{start:07}"
            yield Item(id, partial(_load_segment, file, path, start), SILENCE, part, stamp=f"{start} {file.stamp()}")


def segment_starts(samples: int) -> range:
    """First samples of the segments of background noise, one every half second.

    As in TensorFlow Datasets, a segment that would end with the file is omitted.

    Args:
        samples: length of the file at 16 kHz.
    """
    return range(0, samples - RATE, RATE // 2)


def _load_segment(file: SourceFile, path: str, start: int) -> np.ndarray:
    return read_sound(file, path)[start : start + RATE]


def _test_set(source: Path, files: list[SourceFile]) -> Iterator[Item]:
    """Silence and unknown for test; the test clips of the ten words are those of the testing list."""
    clips: dict[str, SourceFile] = {}
    for file in files:
        if match := _TEST_CLIP.search(file.name):
            add_once(clips, match[1], file, source)
    for category in (SILENCE, UNKNOWN):
        if not any(_word(id) == category for id in clips):
            raise InputError(
                f"{source}: the test clips of {category} are missing; put the test set into the same folder and pass "
                f"that folder: {TEST_SET.url}"
            )
    return (sound_item(file, id, category=_word(id), split="test") for id, file in clips.items())

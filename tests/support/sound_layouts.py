"""Writers of the layouts of public datasets of sounds, with short tones, to test the readers without a download."""

from __future__ import annotations

import csv
import io
import itertools
import json
import tarfile
from pathlib import Path

import numpy as np
import soundfile

from data_prep.public_datasets import nsynth, speech_commands, urbansound8k, voxforge
from pcrq.stores.sound_store import RATE

_SECONDS = 0.25  # of a clip; those of the datasets are longer


def write_nsynth(folder: str | Path, *, notes: int = 2) -> None:
    """Write the layout of NSynth: nsynth-{train,valid,test} with examples.json and audio.

    Args:
        folder: the folder to create.
        notes: of every instrument family in every split.
    """
    root = Path(folder)
    for part in ("train", "valid", "test"):
        table = {}
        for (number, family), note in itertools.product(enumerate(nsynth.CLASSES), range(notes)):
            name = f"{family}_synthetic_{note:03d}-060-100"
            table[name] = {"instrument_family": number, "instrument_family_str": family, "pitch": 60}
            _write(root / f"nsynth-{part}/audio/{name}.wav", number, part, note)
        (root / f"nsynth-{part}/examples.json").write_text(json.dumps(table), encoding="utf-8")


def write_urbansound8k(folder: str | Path, *, clips: int = 1) -> None:
    """Write the layout of UrbanSound8K: audio/fold1 to fold10 and metadata/UrbanSound8K.csv.

    Args:
        folder: the folder to create.
        clips: of every class in every fold.
    """
    columns = ("slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class")
    root = Path(folder)
    rows = []
    for fold, (number, name), clip in itertools.product(
        urbansound8k.FOLDS, enumerate(urbansound8k.CLASSES), range(clips)
    ):
        recording = 1000 * fold + clip
        file = f"{recording}-{number}-0-0.wav"
        rows.append((file, recording, 0.0, _SECONDS, 1, fold, number, name))
        _write(root / f"audio/fold{fold}/{file}", number, fold, clip)
    (root / "metadata").mkdir()
    with (root / "metadata/UrbanSound8K.csv").open("w", newline="", encoding="utf-8") as table:
        csv.writer(table).writerows([columns, *rows])


def write_voxceleb1(folder: str | Path, *, speakers: int = 3) -> None:
    """Write the layout of VoxCeleb1: wav/<speaker>/<video>/<number>.wav and iden_split.txt.

    Args:
        folder: the folder to create.
        speakers: how many; each has a video for training, one for validation and one for test, with two clips.
    """
    root = Path(folder)
    lines = []
    for speaker, part, clip in itertools.product(range(speakers), (1, 2, 3), (1, 2)):
        name = f"id{10_001 + speaker}/video-{part:05d}/{clip:05d}.wav"
        lines.append(f"{part} {name}\n")
        _write(root / "wav" / name, speaker, part, clip)
    (root / "iden_split.txt").write_text("".join(lines), encoding="ascii")


def write_voxforge(folder: str | Path, *, speakers: int = 12) -> None:
    """Write the layout of VoxForge: <language>/Trunk/Audio/Main/16kHz_16bit/<speaker>-<date>-<letters>.tgz.

    Args:
        folder: the folder to create.
        speakers: of every language, with one archive of two clips each.
    """
    root = Path(folder)
    for (number, language), speaker in itertools.product(enumerate(voxforge.CLASSES), range(speakers)):
        main = root / language / "Trunk/Audio/Main/16kHz_16bit"
        main.mkdir(parents=True, exist_ok=True)
        recording = f"{language}speaker{speaker}-20080318-abc"
        with tarfile.open(main / f"{recording}.tgz", "w:gz") as archive:
            for clip in (1, 2):
                content = io.BytesIO()
                soundfile.write(content, _tone(number, speaker, clip), RATE, format="WAV")
                _add(archive, f"{recording}/wav/{language}{clip:04d}.wav", content.getvalue())
            _add(archive, f"{recording}/etc/PROMPTS", b"")


def write_speech_commands(folder: str | Path, *, clips: int = 3, noise_seconds: float = 2.75) -> None:
    """Write the layout of Speech Commands v0.02 and of its test set.

    The folders in ``folder`` are speech_commands_v0.02 and speech_commands_test_set_v0.02.

    Args:
        folder: the folder to create for both.
        clips: of every word; the first is for validation, the second for test.
        noise_seconds: length of the two files of background noise.
    """
    both = Path(folder)
    root, test_set = both / "speech_commands_v0.02", both / "speech_commands_test_set_v0.02"
    lists: dict[int, list[str]] = {clip: [] for clip in range(clips)}
    for (number, word), clip in itertools.product(enumerate(speech_commands.CLASSES_35), range(clips)):
        name = f"{word}/{number:04x}{clip:04x}_nohash_0.wav"
        lists[clip].append(f"{name}\n")
        _write(root / name, number, clip, 0)
        if clip == 1 and word in speech_commands.COMMANDS:
            _write(test_set / name, number, clip, 0)
    for clip, name in enumerate(("validation_list.txt", "testing_list.txt")):
        (root / name).write_text("".join(lists[clip]), encoding="ascii")
    for number, name in enumerate(("running_tap", "pink_noise")):
        _write(root / f"_background_noise_/{name}.wav", number, "noise", 0, seconds=noise_seconds)
    for number, category in enumerate((speech_commands.SILENCE, speech_commands.UNKNOWN)):
        _write(test_set / category / "0.wav", number, category, 0)


def _write(path: Path, *what: object, seconds: float = _SECONDS) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, _tone(*what, seconds=seconds), RATE)


def _tone(number: int, *which: object, seconds: float = _SECONDS) -> np.ndarray:
    """(N,) float64: a tone whose pitch depends on the category, in noise that depends on the clip."""
    random = np.random.default_rng([number, *"".join(map(str, which)).encode()])
    time = np.arange(round(seconds * RATE)) / RATE
    return 0.4 * np.sin(2 * np.pi * 220 * 2 ** (number / 12) * time) + 0.02 * random.standard_normal(len(time))


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))

"""Read NSynth as Magenta publishes it: nsynth-{train,valid,test}/examples.json and audio/*.wav, three archives.

The task (NS) is to classify the eleven instrument families; the splits are the published ones, as in BYOL-A's
evaluation (nttcslab/byol-a, utils/preprocess_ds.py).

Source: Engel et al., "Neural Audio Synthesis of Musical Notes with WaveNet Autoencoders", ICML 2017.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from data_prep.public_datasets.dataset import (
    PublicDataset,
    add_once,
    log_counts,
    require_listed,
    warn_of,
    wrong_layout,
)
from data_prep.source_files import Archives, SourceFile, find_files, sound_item
from pcrq import InputError

WHERE_TO_GET_IT = "https://storage.googleapis.com/magentadata/datasets/nsynth/nsynth-{train,valid,test}.jsonwav.tar.gz"
CLASSES = ("bass", "brass", "flute", "guitar", "keyboard", "mallet", "organ", "reed", "string", "synth_lead", "vocal")
"""The instrument families in the order of their published numbers."""
PUBLISHED = {"train": 289_205, "val": 12_678, "test": 4_096}
_SPLITS = {"train": "train", "valid": "val", "test": "test"}
_ARCHIVES = Archives(re.compile(r"(nsynth-(?:train|valid|test))\.jsonwav\.(?:tar|tar\.gz|tgz)"), r"\1/")
_CLIP = re.compile(r"(?:^|/)nsynth-(train|valid|test)/audio/([^/]+)\.wav$")
_TABLE = re.compile(r"(?:^|/)nsynth-(train|valid|test)/examples\.json$")


def collect_nsynth(source: str | Path, folder: Path) -> PublicDataset:
    """Find the notes of NSynth.

    Args:
        source: a folder with the three archives, or with the three folders that they contain.
        folder: where compressed archives are decompressed.

    Returns:
        Notes in the order of training, validation and test, in each by name. Ids are such as
        "nsynth-train/bass_acoustic_000-024-025"; classes are all eleven families.

    Raises:
        InputError: the source is missing, of another kind, damaged or hostile, a split, a table or a note is missing,
            or a table cannot be used.
    """
    source, clips, tables = Path(source), {}, {}
    files = list(find_files(source, _ARCHIVES, folder))
    for file in files:
        if match := _CLIP.search(file.name):
            add_once(clips, match.groups(), file, source)
        elif match := _TABLE.search(file.name):
            add_once(tables, match[1], file, source)
    if not clips:
        raise wrong_layout(source, (file.name for file in files), "NSynth", kind="clip")
    items = []
    for name, split in _SPLITS.items():
        families = _read_table(source, name, tables, any(part == name for part, _ in clips))
        found = {note: file for (part, note), file in clips.items() if part == name}
        require_listed(tables[name].name, families, found)
        warn_of(
            source, found.keys() - families.keys(), f"{{}} notes are not in the table of nsynth-{name} and not used"
        )
        items += [
            sound_item(found[note], f"nsynth-{name}/{note}", category=families[note], split=split)
            for note in sorted(families)
        ]
    log_counts(source, "NSynth", items, PUBLISHED)
    return PublicDataset("NSynth", items, list(CLASSES), task="NS", seconds=4.0)


def _read_table(source: Path, name: str, tables: dict[str, SourceFile], has_clips: bool) -> dict[str, str]:
    """The family of every note of a split."""
    if name not in tables:
        missing = f"nsynth-{name}/examples.json is" if has_clips else f"nsynth-{name} with its audio is"
        raise InputError(
            f"{source}: {missing} missing; pass the folder that contains all three parts, from {WHERE_TO_GET_IT}"
        )
    table = tables[name]
    try:
        entries = {
            note: (entry["instrument_family"], entry["instrument_family_str"])
            for note, entry in json.loads(table.read()).items()
        }
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{table.name}: not a table of NSynth ({error!r}); extract or download it again") from None
    if not entries:
        raise InputError(f"{table.name}: contains no note; extract or download it again")
    known = set(enumerate(CLASSES))
    for note, family in entries.items():
        if family not in known:
            raise InputError(
                f"{table.name}: {note} is of family {family[0]!r}, {family[1]!r}; the eleven are 0 bass to 10 vocal"
            )
    return {note: family for note, (_, family) in entries.items()}

"""Say what a folder or archive is when it is not the data set of sounds that was asked for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from data_prep.safe_tar import TAR_SUFFIXES
from data_prep.sound_loading import SOUND_FORMATS
from pcrq.errors import InputError

LAYOUTS: dict[str, tuple[re.Pattern[str], str]] = {
    name: (re.compile(rf"(?:^|/)(?:{path})$", re.IGNORECASE), advice)
    for name, path, advice in (
        (
            "NSynth",
            r"nsynth-\w+(?:/examples\.json|/audio/[^/]+\.wav|\.jsonwav\.\w+(?:\.gz)?)",
            "use 'pcrq prep nsynth'",
        ),
        (
            "UrbanSound8K",
            r"fold\d+/\d+-\d+-\d+-\d+\.wav|UrbanSound8K\.(?:tar|tar\.gz|zip)",
            "use 'pcrq prep urbansound8k'",
        ),
        ("VoxCeleb1", r"id1\d{4}/[^/]+/\d{5}\.wav|vox1_(?:dev|test)_wav\.zip", "use 'pcrq prep voxceleb1'"),
        ("VoxForge", r"[^/]+-\d{8}-[^/]+(?:/(?:wav|flac)/[^/]+|\.tgz)", "use 'pcrq prep voxforge'"),
        (
            "Speech Commands",
            r"[a-z_]+/[0-9a-f]{8}_nohash_\d+\.wav|speech_commands_\w+\.\d+\.tar(?:\.gz)?",
            "use 'pcrq prep speech-commands'",
        ),
        ("NSynth as tfrecord", r"nsynth-\w+\.tfrecord", "get its three archives nsynth-*.jsonwav.tar.gz instead"),
        ("VoxCeleb2", r"id\d{5}/[^/]+/\d{5}\.m4a", "get VoxCeleb1, which is another data set"),
        (
            "VoxCeleb1 in pieces",
            r"vox1_dev_wav_parta[a-d]",
            "join them by: cat vox1_dev_wav_parta* > vox1_dev_wav.zip",
        ),
    )
}
"""For every layout the path of a clip or an archive, from the end, and what to do where it is not the one asked for."""


def wrong_layout(source: Path, names: Iterable[str], wanted: str) -> InputError:
    """The error for a source without a single clip of the data set that was asked for.

    Args:
        source: what the user named.
        names: the paths of all files in it.
        wanted: the data set, in words.

    Returns:
        An error that says what the source looks like and what to do.
    """
    seen, archives, sounds = Counter(), [], 0
    for name in names:
        suffix = PurePosixPath(name).suffix.lower()
        sounds += suffix in SOUND_FORMATS
        if name.lower().endswith((".zip", *TAR_SUFFIXES)):
            archives.append(name)
        for layout, (path, _) in LAYOUTS.items():
            seen[layout] += path.search(name) is not None
    likely, count = seen.most_common(1)[0] if seen else ("", 0)
    if count and likely != wanted:
        return InputError(f"{source}: looks like {likely}, not like {wanted}; {LAYOUTS[likely][1]}")
    if archives:
        return InputError(
            f"{source}: no clip of {wanted}, but an archive {archives[0]}; give it its published name, or unpack it"
        )
    if sounds:
        return InputError(
            f"{source}: no clip of {wanted}, but {sounds} sound files in another layout; name the top folder of the "
            "data set, or use 'pcrq prep audio'"
        )
    return InputError(f"{source}: no clip of {wanted} in it; it may be unpacked in part: unpack or download it again")

"""Reading sound files of any common format as 16 kHz mono.

libsndfile (through soundfile) decodes and soxr resamples, both block by block. Memory is bounded by the result, an
eighth of it for growth, and a few blocks, for any sample rate, number of channels and declared length.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from data_prep.file_checks import MP3_TOLERANCE, check_format, check_sound_complete
from pcrq import InputError
from pcrq.stores.sound_store import RATE

if TYPE_CHECKING:
    import soundfile

SOUND_FORMATS = (".wav", ".flac", ".ogg", ".mp3")
MAX_SECONDS = 3600
"""Maximum length of a clip: 230 MB as float32."""
_RATES = (1000, 1_000_000)  # Hz; with other rates the header is damaged
_BLOCK = 2**20  # samples, over all channels
_HEAD = 64  # bytes that identify the format
_UNKNOWN_FRAMES = 2**62  # libsndfile's value for a stream of unknown length is about 2⁶³


def load_sound(path: str | Path) -> np.ndarray:
    """Read one sound file.

    Channels are averaged. A clip that exceeds full scale (float files; overshoot of decoding and resampling) is scaled
    to a peak of 1, so that nothing is clipped. Silence, and sound that was clipped before, are kept as they are.

    Args:
        path: a wav, flac, ogg or mp3 file of any sample rate, number of channels and sample format.

    Returns:
        (N,) float32 in [-1, 1] at 16 kHz, N ≥ 1.

    Raises:
        InputError: the file is missing, of another format, damaged, longer than an hour or empty, or a sample is not
            finite.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file" if not path.exists() else f"{path}: a folder, not a sound file")
    try:
        with path.open("rb") as file:
            return _read(file, str(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error


def parse_sound(data: bytes, name: str) -> np.ndarray:
    """Read a sound from the content of a file.

    Args:
        data: content of the file.
        name: name of the file; its suffix gives the format, and error messages begin with it.

    Returns, Raises:
        As :func:`load_sound`.
    """
    return _read(io.BytesIO(data), name)


def _read(file: BinaryIO, name: str) -> np.ndarray:
    import soundfile  # loads libsndfile, needed only in the process that reads

    suffix = PurePosixPath(name).suffix.lower()
    if suffix not in SOUND_FORMATS:
        raise InputError(f"{name}: {suffix or 'a file without suffix'} is not one of {' '.join(SOUND_FORMATS)}")
    head = file.read(_HEAD)
    check_format(head, suffix, name)
    declared = check_sound_complete(file, name)
    file.seek(0)
    try:
        with soundfile.SoundFile(file) as sound:
            _check_header(sound, name)
            samples = _resampled(_mono_blocks(sound, declared, name), sound.samplerate, name)
    except soundfile.LibsndfileError as error:
        detail = error.error_string.removeprefix("Error : ").rstrip(".")
        if "does not exist" in detail:  # libsndfile's words for an MP3 file without a frame
            detail = "nothing in it can be decoded"
        raise InputError(f"{name}: not a readable sound file ({detail}); it is damaged or of another format") from error
    peak = max(samples.max(), -samples.min())  # of NaN it is NaN
    if not np.isfinite(peak):
        raise InputError(f"{name}: contains samples that are not finite (NaN or infinity)")
    if peak > 1:
        samples /= peak
    return samples


def _check_header(sound: soundfile.SoundFile, name: str) -> None:
    if not _RATES[0] <= sound.samplerate <= _RATES[1]:
        raise InputError(f"{name}: sample rate {sound.samplerate} Hz is not in [{_RATES[0]}, {_RATES[1]}]")
    if MAX_SECONDS * sound.samplerate < sound.frames < _UNKNOWN_FRAMES:
        raise _too_long(name)


def _mono_blocks(sound: soundfile.SoundFile, declared: float, name: str) -> Iterator[np.ndarray]:
    """(n,) float32 blocks, the mean of all channels; raises if there are fewer samples than the file declares."""
    read = 0
    while True:
        block = sound.read(max(1, _BLOCK // sound.channels), dtype="float32", always_2d=True)
        if len(block) == 0:
            break
        read += len(block)
        with np.errstate(all="ignore"):  # what overflows is not finite, which raises later
            yield block.mean(axis=1)
    if sound.format == "FLAC" and read < sound.frames:  # some other formats give an approximate count
        missing = f"{sound.frames} samples declared, {read} found"
    elif read / sound.samplerate < declared - MP3_TOLERANCE:
        missing = f"{declared:.1f} seconds declared, {read / sound.samplerate:.1f} found"
    else:
        return
    raise InputError(f"{name}: damaged or truncated ({missing}); copy it again")


def _resampled(blocks: Iterator[np.ndarray], rate: int, name: str) -> np.ndarray:
    """All blocks, resampled to 16 kHz with soxr's "HQ" filter: 20 bits of precision, linear phase."""
    import soxr

    stream = None if rate == RATE else soxr.ResampleStream(rate, RATE, 1, dtype="float32", quality="HQ")
    collected, found = bytearray(), 0  # a bytearray grows in place
    for block in blocks:
        found += len(block)
        collected += (block if stream is None else stream.resample_chunk(block)).data
        if len(collected) > 4 * MAX_SECONDS * RATE:  # the header declared less, or nothing
            raise _too_long(name)
    if not found:
        raise InputError(f"{name}: contains no samples")
    if stream is not None:
        collected += stream.resample_chunk(np.empty(0, np.float32), last=True).data
    samples = np.frombuffer(collected, np.float32)
    if not len(samples):
        raise InputError(f"{name}: {found} samples at {rate} Hz are too short for one at {RATE} Hz")
    return samples


def _too_long(name: str) -> InputError:
    return InputError(f"{name}: longer than {MAX_SECONDS} seconds; cut it into clips")

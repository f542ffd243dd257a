"""Read a sound file of any common format as 16 kHz mono.

libsndfile (through soundfile) decodes, soxr resamples; both work block by block, so that no more than the result, an
eighth of it to grow into, and a few blocks are ever in memory, whatever the rate, the number of channels and the length
that a file claims.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from data_prep.foreign_content import refuse_foreign
from data_prep.truncated_sounds import MISSING_SECONDS, refuse_truncated
from pcrq.errors import InputError
from pcrq.stores.sound_store import RATE

if TYPE_CHECKING:
    import soundfile

SOUND_FORMATS = (".wav", ".flac", ".ogg", ".mp3")
MAX_SECONDS = 3600
"""Of the longest clip that is read: 230 MB as float32."""
_RATES = (1000, 1_000_000)  # Hz; outside them the header is damaged
_BLOCK = 2**20  # samples, over all channels
_HEAD = 64  # bytes that tell what kind of file it is
_UNKNOWN_FRAMES = 2**62  # libsndfile's for a stream that does not tell its length is about 2⁶³


def load_sound(path: str | Path) -> np.ndarray:
    """Read one sound file.

    Channels are averaged. A clip that goes beyond full scale, as float files and the overshoot of decoding and
    resampling may, is turned down as a whole until its peak is 1, so that nothing is clipped. Silence, and sound that
    was clipped before, are taken as they are.

    Args:
        path: a wav, flac, ogg or mp3 file of any sample rate, number of channels and sample format.

    Returns:
        (N,) float32 in [-1, 1] at 16 kHz, N ≥ 1.

    Raises:
        InputError: the file is missing, of another kind, damaged, longer than an hour or without a sample, or a sample
            is not finite.
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
        data: the content.
        name: the file's name; error messages begin with it.

    Returns, Raises:
        As :func:`load_sound`.
    """
    return _read(io.BytesIO(data), name)


def _read(file: BinaryIO, name: str) -> np.ndarray:
    import soundfile  # loads libsndfile, which only the process that reads needs

    suffix = PurePosixPath(name).suffix.lower()
    if suffix not in SOUND_FORMATS:
        raise InputError(f"{name}: {suffix or 'a file without suffix'} is not one of {' '.join(SOUND_FORMATS)}")
    head = file.read(_HEAD)
    refuse_foreign(head, suffix, name)
    announced = refuse_truncated(file, name)
    file.seek(0)
    try:
        with soundfile.SoundFile(file) as sound:
            _check_header(sound, name)
            samples = _resampled(_mono_blocks(sound, announced, name), sound.samplerate, name)
    except soundfile.LibsndfileError as error:
        detail = error.error_string.removeprefix("Error : ").rstrip(".")
        if "does not exist" in detail:  # libsndfile's words for an MP3 file without a frame
            detail = "nothing in it can be decoded"
        raise InputError(f"{name}: not a readable sound file ({detail}); it is damaged or of another kind") from error
    peak = max(samples.max(), -samples.min())  # of NaN it is NaN
    if not np.isfinite(peak):
        raise InputError(f"{name}: samples that are not finite (NaN or infinite)")
    if peak > 1:
        samples /= peak
    return samples


def _check_header(sound: soundfile.SoundFile, name: str) -> None:
    if not _RATES[0] <= sound.samplerate <= _RATES[1]:
        raise InputError(f"{name}: {sound.samplerate} samples a second; a sound has {_RATES[0]} to {_RATES[1]}")
    if MAX_SECONDS * sound.samplerate < sound.frames < _UNKNOWN_FRAMES:
        raise _too_long(name)


def _mono_blocks(sound: soundfile.SoundFile, announced: float, name: str) -> Iterator[np.ndarray]:
    """(n,) float32 blocks, the mean of all channels; raises where there are fewer than the file announced."""
    read = 0
    while True:
        block = sound.read(max(1, _BLOCK // sound.channels), dtype="float32", always_2d=True)
        if len(block) == 0:
            break
        read += len(block)
        with np.errstate(all="ignore"):  # what overflows is not finite, and refused
            yield block.mean(axis=1)
    if sound.format == "FLAC" and read < sound.frames:  # of the others, some count only roughly
        missing = f"{sound.frames} samples announced, {read} found"
    elif read / sound.samplerate < announced - MISSING_SECONDS:
        missing = f"{announced:.1f} seconds announced, {read / sound.samplerate:.1f} found"
    else:
        return
    raise InputError(f"{name}: damaged or cut short ({missing}); copy it again")


def _resampled(blocks: Iterator[np.ndarray], rate: int, name: str) -> np.ndarray:
    """All blocks, brought to 16 kHz with soxr's "HQ" filter: 20 bits of precision, linear phase."""
    import soxr

    stream = None if rate == RATE else soxr.ResampleStream(rate, RATE, 1, dtype="float32", quality="HQ")
    collected, found = bytearray(), 0  # which grows in place
    for block in blocks:
        found += len(block)
        collected += (block if stream is None else stream.resample_chunk(block)).data
        if len(collected) > 4 * MAX_SECONDS * RATE:  # the header said less, or nothing
            raise _too_long(name)
    if not found:
        raise InputError(f"{name}: no samples in it")
    if stream is not None:
        collected += stream.resample_chunk(np.empty(0, np.float32), last=True).data
    samples = np.frombuffer(collected, np.float32)
    if not len(samples):
        raise InputError(f"{name}: {found} samples at {rate} Hz are too short for one at {RATE} Hz")
    return samples


def _too_long(name: str) -> InputError:
    return InputError(f"{name}: longer than {MAX_SECONDS} seconds; cut it into clips")

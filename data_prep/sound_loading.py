"""Read a sound file of any common format as 16 kHz mono.

libsndfile (through soundfile) decodes, soxr resamples; both work block by block, so that no more than the result and
one block is ever in memory, whatever the rate, the number of channels and the length that a file claims.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from data_prep.foreign_content import refuse_foreign
from data_prep.sound_store import RATE
from pcrq.errors import InputError

if TYPE_CHECKING:
    import soundfile

SOUND_FORMATS = (".wav", ".flac", ".ogg", ".mp3")
MAX_SECONDS = 3600
"""Of the longest clip that is read: 230 MB as float32."""
_RATES = (1000, 1_000_000)  # Hz; outside them the header is damaged
_BLOCK = 2**20  # samples, over all channels
_HEAD = 64  # bytes that tell what kind of file it is
_UNKNOWN_SIZE = 0x7FFF0000  # sizes from here on are what programs write that do not know the size yet
_UNKNOWN_FRAMES = 2**62  # libsndfile's for a stream that does not tell its length is about 2⁶³
_SLACK = 1024  # bytes; some programs count headers and padding wrongly


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
    _refuse_truncated(head, file.seek(0, io.SEEK_END), name)
    file.seek(0)
    try:
        with soundfile.SoundFile(file) as sound:
            _check_header(sound, name)
            samples = _resampled(_mono_blocks(sound, name), sound.samplerate, name)
    except soundfile.LibsndfileError as error:
        detail = error.error_string.removeprefix("Error : ").rstrip(".")
        if "does not exist" in detail:  # libsndfile's words for an MP3 file without a frame
            detail = "nothing in it can be decoded"
        raise InputError(f"{name}: not a readable sound file ({detail}); it is damaged or of another kind") from error
    if not np.isfinite(samples).all():
        raise InputError(f"{name}: samples that are not finite (NaN or infinite)")
    peak = np.abs(samples).max()
    return samples / peak if peak > 1 else samples


def _refuse_truncated(head: bytes, size: int, name: str) -> None:
    """A WAV file says how long it is; libsndfile would read what is there of it without complaint."""
    if head[:4] != b"RIFF" or len(head) < 8:
        return
    announced = struct.unpack_from("<I", head, 4)[0] + 8
    if size + _SLACK < announced < _UNKNOWN_SIZE:
        raise InputError(f"{name}: damaged or cut short ({announced} bytes promised, {size} found); copy it again")


def _check_header(sound: soundfile.SoundFile, name: str) -> None:
    if not _RATES[0] <= sound.samplerate <= _RATES[1]:
        raise InputError(f"{name}: {sound.samplerate} samples a second; a sound has {_RATES[0]} to {_RATES[1]}")
    if MAX_SECONDS * sound.samplerate < sound.frames < _UNKNOWN_FRAMES:
        raise _too_long(name)


def _mono_blocks(sound: soundfile.SoundFile, name: str) -> Iterator[np.ndarray]:
    """(n,) float32 blocks, the mean of all channels."""
    read = 0
    while True:
        block = sound.read(max(1, _BLOCK // sound.channels), dtype="float32", always_2d=True)
        if len(block) == 0:
            break
        read += len(block)
        with np.errstate(all="ignore"):  # what overflows is not finite, and refused
            yield block.mean(axis=1)
    if sound.format == "FLAC" and read < sound.frames:  # of the others, some count only roughly
        raise InputError(
            f"{name}: damaged or cut short ({sound.frames} samples announced, {read} found); copy it again"
        )


def _resampled(blocks: Iterator[np.ndarray], rate: int, name: str) -> np.ndarray:
    """All blocks, brought to 16 kHz with soxr's "HQ" filter: 20 bits of precision, linear phase."""
    import soxr

    stream = None if rate == RATE else soxr.ResampleStream(rate, RATE, 1, dtype="float32", quality="HQ")
    parts, length, found = [], 0, 0
    for block in blocks:
        found += len(block)
        parts.append(block if stream is None else stream.resample_chunk(block))
        length += len(parts[-1])
        if length > MAX_SECONDS * RATE:  # the header said less, or nothing
            raise _too_long(name)
    if not found:
        raise InputError(f"{name}: no samples in it")
    if stream is not None:
        parts.append(stream.resample_chunk(np.empty(0, np.float32), last=True))
    samples = np.concatenate(parts)
    if not len(samples):
        raise InputError(f"{name}: {found} samples at {rate} Hz are too short for one at {RATE} Hz")
    return samples


def _too_long(name: str) -> InputError:
    return InputError(f"{name}: longer than {MAX_SECONDS} seconds; cut it into clips")

"""The sound store: one HDF5 file of clips of any length, 16 kHz mono, read in full or in part.

Layout (plain ``h5py`` reads it; C clips, N samples over all clips)::

    /                    attributes: format "pcrq-sounds", version 1, source, parameters (JSON),
                         digest (SHA-256 over the clips, in order), complete (True, written last), rate 16000 (Hz)
    /samples             (N,)   int16     sample * 32768, where full scale is [-1, 1)
    /clips/offsets       (C+1,) int64     clip i owns samples[offsets[i]:offsets[i+1]]
    /clips/category      (C,)   int32     index into classes, -1 if unknown
    /clips/fold          (C,)   int32     fold of a cross-validation, as numbered by its authors, -1 if there is none
    /clips/id            (C,)   UTF-8     name of the clip in its source, unique
    /clips/split         (C,)   UTF-8     "train", "val", "test", or "" if the source has no splits
    /classes             (K,)   UTF-8     names of the categories

A second takes 32 kB. 16-bit files at 16 kHz are stored exactly. Finer samples are rounded to 16 bits: the error is at
most half a step, 1/65536 or 96 dB below full scale. +1 is not a 16-bit value and becomes 32767/32768. Nothing is
clipped: the writer refuses samples beyond full scale.

The file is written atomically, so a file under the final name is complete; the digest finds later damage.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

import h5py
import numpy as np

from pcrq import InputError
from pcrq.stores.store_file import StoreFile, StoreFileWriter, check_split

FORMAT = "pcrq-sounds"
VERSION = 1
RATE = 16_000
"""Samples per second of every clip."""
_SCALE = 2**15
_CHUNK = 2**14  # samples: 32 KB and about a second, so that a random second touches two chunks


@dataclass(frozen=True)
class Sound:
    """One clip.

    Args:
        samples: (N,) float32 in [-1, 1] at 16 kHz, N ≥ 1; int16 is stored unchanged.
        id: name of the clip in its source, unique in a store.
        category: index into the store's ``classes``, -1 if unknown.
        split: "train", "val", "test" or "".
        fold: fold of a cross-validation, -1 if there is none.
        index: position in the store it was read from, -1 if it was not read from a store.
    """

    samples: np.ndarray
    id: str
    category: int = -1
    split: str = ""
    fold: int = -1
    index: int = -1


class SoundStoreWriter(StoreFileWriter):
    """Write clips one after another to a new store; a context manager.

    The file appears under ``path`` only when the block ends without an exception; it replaces an older one.

    Args:
        path: the store to write; its folder must exist.
        classes: names of the categories.
        source: where the clips come from, in words.
        parameters: how they were made; plain values for JSON.

    Raises:
        InputError: the folder of ``path`` does not exist, or (from :meth:`append`) a clip does not fit.
    """

    FORMAT, VERSION = FORMAT, VERSION

    def _begin(self) -> None:
        self._file.attrs["rate"] = RATE
        self._file.create_dataset("samples", (0,), "<i2", maxshape=(None,), chunks=(_CHUNK,))

    def append(self, sound: Sound) -> None:
        """Add one clip at the end.

        Raises:
            InputError: there are no samples, one is not finite or beyond full scale, the category, split or fold is
                out of range, or the id is taken.
        """
        samples = quantize(sound.samples, sound.id)
        check_split(sound.split, sound.id)
        if not -1 <= sound.fold < 2**31:
            raise InputError(f"{sound.id}: fold {sound.fold} must be 0 or more, or -1 for none")
        self._claim(sound.id, sound.category)
        self._extend("samples", samples)
        self._offsets.append(self._offsets[-1] + len(samples))
        row = (int(sound.category), sound.id, sound.split, int(sound.fold))
        self._rows.append(row)
        self._digest.update(_sound_digest(samples, *row))

    def _finish(self) -> None:
        category, ids, splits, folds = zip(*self._rows, strict=True) if self._rows else ((), (), (), ())
        self._file["clips/offsets"] = np.asarray(self._offsets, "<i8")
        self._file["clips/category"] = np.asarray(category, "<i4")
        self._file["clips/fold"] = np.asarray(folds, "<i4")
        self._write_names("clips/id", ids)
        self._write_names("clips/split", splits)
        self._write_names("classes", self.classes)


class SoundStore(StoreFile):
    """Random access to the clips of a store, and to parts of them: ``store[index]``, ``store.samples(index, ...)``.

    Opening reads the small per-clip tables; samples are read on demand. The object can be sent to worker processes:
    every process opens its own handle.

    Args:
        path: an HDF5 file written by :class:`SoundStoreWriter`.

    Raises:
        InputError: the file is missing, damaged, unfinished, of another kind or of a newer version.

    Attributes:
        classes: names of the categories.
        category, fold: (C,) int32, of every clip; -1 if there is none.
        ids, split: of every clip.
        offsets: (C + 1,) int64, position of every clip among all samples.
        source, parameters, digest: where the clips come from, how they were made, and their SHA-256.
    """

    FORMAT, VERSION = FORMAT, VERSION

    def _read_tables(self, file: h5py.File) -> None:
        self.offsets: np.ndarray = file["clips/offsets"][:]
        self.category: np.ndarray = file["clips/category"][:]
        self.fold: np.ndarray = file["clips/fold"][:]
        self.ids: list[str] = list(file["clips/id"].asstr()[:])
        self.split: list[str] = list(file["clips/split"].asstr()[:])
        lengths = {len(self.category), len(self.fold), len(self.ids), len(self.split), len(self.offsets) - 1}
        if len(lengths) != 1 or len(file["samples"]) != self.offsets[-1]:
            raise InputError(f"{self.path}: the tables of the sound store differ in length; prepare it again")

    def __iter__(self) -> Iterator[Sound]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Sound:
        """Read one clip; negative indices count from the end.

        Raises:
            IndexError: there is no such clip.
            InputError: the file is damaged there.
        """
        samples = self.samples(index)
        index %= len(self)
        return Sound(
            samples=samples,
            id=self.ids[index],
            category=int(self.category[index]),
            split=self.split[index],
            fold=int(self.fold[index]),
            index=index,
        )

    def samples(self, index: int, start: int = 0, count: int | None = None) -> np.ndarray:
        """Read a part of a clip, and only that part.

        Args:
            index: the clip; negative indices count from the end.
            start: first sample to read, from 0.
            count: number of samples; None reads to the end.

        Returns:
            (count,) float32 in [-1, 1).

        Raises:
            IndexError: there is no such clip, or the clip is shorter.
            InputError: the file is damaged there.
        """
        samples: np.ndarray = self._read(index, start, count) / np.float32(_SCALE)
        return samples

    def _read(self, index: int, start: int = 0, count: int | None = None) -> np.ndarray:
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.path}: no clip {index}; the store contains {len(self)}")
        index %= len(self)
        first, length = int(self.offsets[index]), int(self.offsets[index + 1] - self.offsets[index])
        stop = length if count is None else start + count
        if not 0 <= start <= stop <= length:
            raise IndexError(f"{self.path}: no samples {start} to {stop} in clip {index}, which has {length}")
        try:
            samples: np.ndarray = self._column("samples")[first + start : first + stop]
        except (OSError, RuntimeError) as error:
            raise InputError(f"{self.path}: clip {index} cannot be read ({error}); prepare it again") from error
        return samples

    @property
    def lengths(self) -> np.ndarray:
        """(C,) int64 number of samples of every clip."""
        return np.diff(self.offsets)

    def _entry_digest(self, index: int) -> bytes:
        row = (int(self.category[index]), self.ids[index], self.split[index], int(self.fold[index]))
        return _sound_digest(self._read(index), *row)


def quantize(samples: np.ndarray, name: str) -> np.ndarray:
    """Convert samples to 16 bits, as they are stored.

    Args:
        samples: (N,) floats in [-1, 1], or int16, which is returned unchanged.
        name: the clip, for error messages.

    Returns:
        (N,) int16.

    Raises:
        InputError: there are no samples, or they are not one channel, not finite, or beyond full scale.
    """
    samples = np.asarray(samples)
    if samples.ndim != 1 or len(samples) == 0:
        raise InputError(f"{name}: samples of shape {samples.shape}, expected (N,) with N > 0")
    if samples.dtype == np.int16:
        return samples
    if not np.isfinite(samples).all():
        raise InputError(f"{name}: samples are not finite (NaN or infinity); remove or repair the clip")
    peak = float(np.abs(samples).max())
    if peak > 1:
        raise InputError(f"{name}: a sample of {peak:g} is beyond full scale [-1, 1]; divide all samples by {peak:g}")
    rounded: np.ndarray = np.rint(samples * _SCALE).clip(-_SCALE, _SCALE - 1).astype(np.int16)
    return rounded


def _sound_digest(samples: np.ndarray, category: int, id_: str, split: str, fold: int) -> bytes:
    digest = hashlib.sha256(np.ascontiguousarray(samples, "<i2").tobytes())
    digest.update(json.dumps([category, id_, split, fold]).encode())
    return digest.digest()

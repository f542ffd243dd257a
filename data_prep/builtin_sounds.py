"""Built-in sounds: a data set of single notes that needs no download.

Twelve categories, the instruments of :mod:`data_prep.instruments`. Every clip has its own pitch, length, beginning,
loudness, microphone (a tilt of the spectrum), room and background noise, so that its mean spectrum says little of its
category: the nearest neighbour by mean log-mel spectrum is of the same one in 4 of 10 cases, by chance in 1 of 12.

>>> sound = generate("bell", 7)
>>> sound.dtype, 16_000 <= len(sound) <= 32_000
(dtype('float32'), True)
"""

from __future__ import annotations

import hashlib
from functools import partial

import numpy as np

from data_prep.instruments import INSTRUMENTS, Note, filtered
from data_prep.run import Item
from pcrq.errors import InputError
from pcrq.stores.sound_store import RATE

VERSION = 1
"""Goes up when a sound changes, so that sounds prepared before are made anew."""
CATEGORIES = list(INSTRUMENTS)
_PITCHES = (110.0, 880.0)  # Hz, A2 to A5
_SECONDS = (1.0, 2.0)
_ONSET = 0.15  # seconds of background before the note, at most
_TILT = 6.0  # dB an octave by which the microphone raises or lowers the spectrum, at most
_LEVEL = (-24.0, -1.0)  # dB of the peak below full scale
_NOISE = (-45.0, -15.0)  # dB of the background against the note


def generate(category: str, index: int, seed: int = 0) -> np.ndarray:
    """Make one sound.

    The same arguments give the same sound in every process, whatever was made before.

    Args:
        category: one of CATEGORIES.
        index: which sound of the category, any whole number from 0.
        seed: another seed gives other sounds throughout.

    Returns:
        (N,) float32 in [-1, 1] at 16 kHz, 1 to 2 seconds.

    Raises:
        InputError: there is no such category, or the index is negative.
    """
    if category not in INSTRUMENTS:
        raise InputError(f"there is no built-in sound {category!r}; choose from {', '.join(CATEGORIES)}")
    if index < 0:
        raise InputError(f"sound {index} of {category} asked for; indices start at 0")
    random = _random("pcrq sound", int(seed), category, int(index))

    def between(low: float, high: float) -> float:
        return low + (high - low) * random.random()

    total, onset = round(between(*_SECONDS) * RATE), round(between(0, _ONSET) * RATE)
    frequency = float(np.exp(between(*np.log(_PITCHES))))
    time = np.arange(total - onset) / RATE
    note = Note(frequency, time, held=between(0.5, 0.9) * time[-1], random=random)
    sound = np.zeros(total)
    sound[onset:] = INSTRUMENTS[category](note)
    sound = _tilted(_in_room(sound, between(0.15, 1.0), between(0.0, 0.5), random), between(-_TILT, _TILT))
    noise = _tilted(2 * random.random(total) - 1, between(-_TILT, 0.0))
    sound = sound / _strength(sound) + noise / _strength(noise) * _ratio(between(*_NOISE))
    return (sound * (_ratio(between(*_LEVEL)) / np.abs(sound).max())).astype(np.float32)


def builtin_items(count_per_category: int, seed: int = 0) -> list[Item]:
    """The items of a data set of built-in sounds.

    Use them as ``prepare_store(items, out, SoundRecipe(), classes=CATEGORIES)``.

    Args:
        count_per_category: sounds of every category, at least 1.
        seed: another seed gives other sounds.

    Returns:
        Items named "bell-0007", category after category. Of every five sounds number 4 is "test", the others "train".

    Raises:
        InputError: the count is too small.
    """
    if count_per_category < 1:
        raise InputError(f"{count_per_category} sounds of every category asked for; give at least 1")
    stamp = f"builtin sounds {VERSION}, seed {seed}"
    return [
        Item(
            id=f"{name.replace(' ', '-')}-{index:04d}",
            load=partial(generate, name, index, seed),
            category=name,
            split="test" if index % 5 == 4 else "train",
            stamp=stamp,
        )
        for name in CATEGORIES
        for index in range(count_per_category)
    ]


def _random(*key: object) -> np.random.Generator:
    """Random numbers that depend on nothing but a key; uniform doubles of it are the same in every NumPy."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))


def _in_room(sound: np.ndarray, decay: float, wet: float, random: np.random.Generator) -> np.ndarray:
    """The sound with its reverberation: noise that dies away by 60 dB in ``decay`` seconds."""
    time = np.arange(round(decay * RATE)) / RATE
    echo = (2 * random.random(len(time)) - 1) * np.exp(-6.9 * time / decay)
    size = len(sound) + len(echo)
    heard = np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(echo, size), size)[: len(sound)]
    return (1 - wet) * sound / _strength(sound) + wet * heard / _strength(heard)


def _tilted(sound: np.ndarray, slope: float) -> np.ndarray:
    """The sound with its spectrum raised by ``slope`` dB an octave, from 100 Hz on."""
    return filtered(sound, lambda frequency: _ratio(slope * np.log2(np.maximum(frequency, 100) / 100)))


def _strength(sound: np.ndarray) -> float:
    return float(np.sqrt(np.mean(sound**2)))


def _ratio(decibel):
    return 10.0 ** (np.asarray(decibel) / 20)

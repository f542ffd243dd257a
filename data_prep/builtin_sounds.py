"""Built-in sounds: a dataset of single notes that needs no download.

The twelve categories are instruments. Every clip has its own pitch, length, beginning, loudness, microphone (a tilt of
the spectrum), room and background noise, so that its mean spectrum contains little information on its category: the
nearest neighbour by mean log-mel spectrum is of the same category in 4 of 10 cases, by chance in 1 of 12.

Pitched instruments have the same range of pitch, and some have the same mean spectrum on purpose (organ and voice,
violin and brass, bell and electric piano): the difference is how their partials change with time. The rules are those
of textbooks on sound synthesis: sums of sines, formants (voice), frequency modulation (electric piano; Chowning, J.
Audio Eng. Soc. 1973) and filtered noise (drum, cymbal).

>>> sound = generate("bell", 7)
>>> sound.dtype, 16_000 <= len(sound) <= 32_000
(dtype('float32'), True)
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from data_prep.run import Item
from pcrq import InputError
from pcrq.stores.sound_store import RATE

VERSION = 1
"""Increases when a sound changes, so that sounds prepared before are prepared again."""
_PITCHES = (110.0, 880.0)  # Hz, A2 to A5
_SECONDS = (1.0, 2.0)
_ONSET = 0.15  # maximum seconds of background before the note
_TILT = 6.0  # maximum dB per octave by which the microphone raises or lowers the spectrum
_LEVEL = (-24.0, -1.0)  # dB of the peak below full scale
_NOISE = (-45.0, -15.0)  # dB of the background relative to the note
_HIGHEST = 7600  # Hz; partials above are omitted, because above 8000 Hz they would be aliased
_VOWELS = ((730, 1090, 2440), (530, 1840, 2480), (270, 2290, 3010), (570, 840, 2410), (300, 870, 2240))
"""Formants in Hz of the vowels in father, bed, see, law and boot (Peterson and Barney, 1952; men)."""
_BELL = (0.5, 1, 1.183, 1.506, 2, 2.514, 2.662, 3.011, 4.166, 5.433)
"""Partials of a church bell against its prime: hum, prime, tierce, quint, nominal and above."""


@dataclass(frozen=True)
class Note:
    """One note of an instrument.

    Args:
        frequency: of the fundamental, in Hz.
        time: (N,) seconds since the beginning, at 16 kHz.
        held: seconds until the note is released.
        random: random numbers of this note; only uniform ones are used.
    """

    frequency: float
    time: np.ndarray
    held: float
    random: np.random.Generator

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.random.random()

    def noise(self) -> np.ndarray:
        """(N,) white noise in [-1, 1)."""
        return 2 * self.random.random(len(self.time)) - 1


def organ(note: Note) -> np.ndarray:
    ratios = np.array([0.5, 1, 1.5, 2, 3, 4, 5, 6, 8])
    levels = note.random.random(len(ratios)) ** 2
    levels[1] = 1
    return _partials(note, ratios, levels) * _held(note, note.between(0.005, 0.06), 0.06)


def flute(note: Note) -> np.ndarray:
    harmonics = np.arange(1, 7)
    curve = _vibrato(note, 0.002, 0.01)
    tone = _partials(note, harmonics, note.between(0.15, 0.5) ** (harmonics - 1), curve)
    breath = _band(note.noise(), note.frequency, 6 * note.frequency) * note.between(0.2, 1)
    return (tone * (1 + 20 * (curve - 1)) + breath) * _held(note, note.between(0.05, 0.2), 0.08)


def clarinet(note: Note) -> np.ndarray:
    harmonics = np.arange(1, 24)
    levels = harmonics ** -note.between(0.8, 1.6) * np.where(harmonics % 2, 1, note.between(0.02, 0.15))
    return _partials(note, harmonics, levels) * _held(note, note.between(0.03, 0.1), 0.06)


def brass(note: Note) -> np.ndarray:
    """The louder, the brighter (Risset): high partials follow the envelope late and fall off early."""
    harmonics = np.arange(1, 30)[:, None]
    swell = _held(note, note.between(0.06, 0.25), 0.12) * (1 - note.between(0, 0.5) * note.time / note.time[-1])
    levels = np.exp(-(harmonics - 1) / (note.between(3, 9) * swell + 0.05)) * swell
    return _partials(note, harmonics[:, 0], levels, 1 + 0.01 * np.exp(-note.time / 0.03))


def violin(note: Note) -> np.ndarray:
    harmonics = np.arange(1, 40)
    body = 1 + 1.5 * np.cos(harmonics * note.frequency / note.between(250, 500) + note.between(0, 6)) ** 2
    tone = _partials(note, harmonics, body / harmonics, _vibrato(note, 0.003, 0.012))
    return tone * _held(note, note.between(0.12, 0.35), 0.1)


def voice(note: Note) -> np.ndarray:
    harmonics = np.arange(1, 40)
    formants = np.array(_VOWELS[int(note.between(0, len(_VOWELS)))])[:, None] * note.between(0.9, 1.25)
    gains = np.array([1, 0.6, 0.3])[:, None]
    levels = (gains / (1 + ((harmonics * note.frequency - formants) / 110) ** 2)).sum(0) + 0.02 / harmonics
    tone = _partials(note, harmonics, levels, _vibrato(note, 0.004, 0.015))
    return tone * _held(note, note.between(0.06, 0.2), 0.1)


def plucked_string(note: Note) -> np.ndarray:
    harmonics = np.arange(1, 40)
    levels = np.abs(np.sin(np.pi * harmonics * note.between(0.08, 0.45))) / harmonics
    decay = note.between(1.5, 4) * (1 + note.between(0.05, 0.2) * (harmonics - 1))
    stiff = harmonics * np.sqrt(1 + note.between(0, 4e-4) * harmonics**2)
    return _partials(note, stiff, levels[:, None] * np.exp(-decay[:, None] * note.time)) * _held(note, 0.002, 0.1)


def marimba(note: Note) -> np.ndarray:
    ratios = np.array([1, 3.93, 9.5]) * (1, note.between(0.98, 1.02), note.between(0.95, 1.05))
    decay = note.between(4, 9) * np.array([1, 3, 8])
    levels = np.array([1, note.between(0.2, 0.7), note.between(0.1, 0.5)])
    knock = note.noise() * np.exp(-note.time / 0.004) * note.between(0.1, 0.6)
    return _partials(note, ratios, levels[:, None] * np.exp(-decay[:, None] * note.time)) + knock


def bell(note: Note) -> np.ndarray:
    ratios = np.array(_BELL) * (1 + 0.01 * (note.random.random(len(_BELL)) - 0.5))
    decay = note.between(0.8, 2.5) * ratios**0.7
    levels = (0.3 + 0.7 * note.random.random(len(_BELL)))[:, None] * np.exp(-decay[:, None] * note.time)
    return _partials(note, ratios, levels)


def electric_piano(note: Note) -> np.ndarray:
    phase = 2 * np.pi * note.frequency * note.time
    bark = note.between(0.8, 3) * np.exp(-note.time * note.between(2, 6))
    tone = np.sin(phase + bark * np.sin(phase)) * np.exp(-note.time * note.between(1, 3))
    tine_ratio = min(14.0, _HIGHEST / note.frequency - 1)
    tine = np.sin(tine_ratio * phase) * np.exp(-note.time * note.between(8, 20)) * note.between(0.05, 0.3)
    return (tone + tine) * _held(note, 0.003, 0.1)


def drum(note: Note) -> np.ndarray:
    lowest = note.frequency / 3
    falling = lowest * (1 + note.between(0.5, 2) * np.exp(-note.time / note.between(0.02, 0.06)))
    skin = np.sin(2 * np.pi * np.cumsum(falling) / RATE) * np.exp(-note.time * note.between(6, 16))
    snare = _band(note.noise(), 500, note.between(3000, 7000)) * np.exp(-note.time * note.between(8, 30))
    return skin + snare * note.between(0.3, 2)


def cymbal(note: Note) -> np.ndarray:
    ratios = 1 + 12 * np.sort(note.random.random(24))
    metal = _partials(note, ratios, 0.15 * np.exp(-note.time * note.between(2, 5))[None].repeat(24, 0))
    hiss = _band(note.noise(), note.between(1500, 4000), 8000) * np.exp(-note.time * note.between(2, 6))
    return metal + hiss


INSTRUMENTS: dict[str, Callable[[Note], np.ndarray]] = {
    "organ": organ,
    "flute": flute,
    "clarinet": clarinet,
    "brass": brass,
    "violin": violin,
    "voice": voice,
    "plucked string": plucked_string,
    "marimba": marimba,
    "bell": bell,
    "electric piano": electric_piano,
    "drum": drum,
    "cymbal": cymbal,
}
"""Every instrument by name; a function from a note to (N,) samples of any level."""
CATEGORIES = list(INSTRUMENTS)


def generate(category: str, index: int, seed: int = 0) -> np.ndarray:
    """Make one sound.

    The same arguments give the same sound in every process, whatever was made before.

    Args:
        category: one of CATEGORIES.
        index: index of the sound in the category, any integer from 0.
        seed: random seed of all sounds.

    Returns:
        (N,) float32 in [-1, 1] at 16 kHz, 1 to 2 seconds.

    Raises:
        InputError: there is no such category, or the index is negative.
    """
    if category not in INSTRUMENTS:
        raise InputError(f"unknown built-in sound {category!r}; available: {', '.join(CATEGORIES)}")
    if index < 0:
        raise InputError(f"index {index} of {category} is negative; indices start at 0")
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
    """The items of a dataset of built-in sounds, for ``prepare_store(items, out, SoundRecipe(), classes=CATEGORIES)``.

    Args:
        count_per_category: sounds of every category, at least 1.
        seed: random seed of all sounds.

    Returns:
        Items with ids such as "bell-0007", category by category. Every fifth sound is "test", the others "train".

    Raises:
        InputError: the count is too small.
    """
    if count_per_category < 1:
        raise InputError(f"count {count_per_category} is too small; at least 1 sound per category is needed")
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
    """Random numbers that depend only on a key; their uniform doubles are the same in every version of NumPy."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))


def _in_room(sound: np.ndarray, decay: float, wet: float, random: np.random.Generator) -> np.ndarray:
    """The sound with its reverberation: noise that decays by 60 dB in ``decay`` seconds."""
    time = np.arange(round(decay * RATE)) / RATE
    echo = (2 * random.random(len(time)) - 1) * np.exp(-6.9 * time / decay)
    size = len(sound) + len(echo)
    heard = np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(echo, size), size)[: len(sound)]
    return (1 - wet) * sound / _strength(sound) + wet * heard / _strength(heard)


def _tilted(sound: np.ndarray, slope: float) -> np.ndarray:
    """The sound with its spectrum raised by ``slope`` dB per octave above 100 Hz."""
    return _filtered(sound, lambda frequency: _ratio(slope * np.log2(np.maximum(frequency, 100) / 100)))


def _strength(sound: np.ndarray) -> float:
    return float(np.sqrt(np.mean(sound**2)))


def _ratio(decibel):
    return 10.0 ** (np.asarray(decibel) / 20)


def _filtered(samples: np.ndarray, gain: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Apply a gain, a function from frequencies in Hz to factors, to (N,) samples at 16 kHz."""
    size = len(samples) + RATE // 4  # zero padding, so that its end does not wrap around into its beginning
    return np.fft.irfft(np.fft.rfft(samples, size) * gain(np.fft.rfftfreq(size, 1 / RATE)), size)[: len(samples)]


def _partials(note: Note, ratios: np.ndarray, levels: np.ndarray, curve: np.ndarray | float = 1.0) -> np.ndarray:
    """(N,) sum of sines.

    Args:
        note: the note; its frequency has ratio 1.
        ratios: (K,) frequencies of the partials relative to the note.
        levels: (K,) or (K, N) amplitudes.
        curve: (N,) or one number, the pitch relative to the note.
    """
    turns = np.cumsum(note.frequency * np.broadcast_to(curve, note.time.shape)) / RATE
    levels, phases = np.asarray(levels, float), note.random.random(len(ratios))
    audible = np.flatnonzero(ratios * note.frequency * np.max(curve) < _HIGHEST)
    total = np.zeros_like(note.time)
    for k in audible:
        total += levels[k] * np.sin(2 * np.pi * (ratios[k] * turns + phases[k]))
    return total


def _held(note: Note, attack: float, release: float) -> np.ndarray:
    """(N,) in [0, 1]: rises in ``attack`` seconds, stays, and decays after the release."""
    rise = np.minimum(note.time / attack, 1)
    return rise * np.exp(-np.maximum(note.time - note.held, 0) / release)


def _vibrato(note: Note, least: float, most: float) -> np.ndarray:
    """(N,) pitch with a vibrato of 4.5 to 7 Hz that sets in after the beginning."""
    depth = note.between(least, most) * np.minimum(note.time / note.between(0.1, 0.4), 1)
    return 1 + depth * np.sin(2 * np.pi * (note.between(4.5, 7) * note.time + note.between(0, 1)))


def _band(samples: np.ndarray, low: float, high: float) -> np.ndarray:
    """The part of a sound between two frequencies in Hz, with soft edges."""
    return _filtered(samples, lambda f: 1 / (1 + (low / np.maximum(f, 1)) ** 4) / (1 + (f / high) ** 4))

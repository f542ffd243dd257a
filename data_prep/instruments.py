"""Twelve instruments by rule: how a note of each begins, sounds and dies away, before any room or recording.

Pitched ones share their range of pitch, and neighbours share their mean spectrum on purpose (organ and voice, violin
and brass, bell and electric piano): what tells them apart is how their partials move. The rules are those of textbooks
on sound synthesis: sums of sines, formants (voice), frequency modulation (electric piano; Chowning, J. Audio Eng. Soc.
1973) and filtered noise (drum, cymbal).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pcrq.stores.sound_store import RATE

_HIGHEST = 7600  # Hz; partials from here on are left out, as above 8000 Hz they would come back as others
_VOWELS = ((730, 1090, 2440), (530, 1840, 2480), (270, 2290, 3010), (570, 840, 2410), (300, 870, 2240))
"""Formants in Hz of the vowels in father, bed, see, law and boot (Peterson and Barney, 1952; men)."""
_BELL = (0.5, 1, 1.183, 1.506, 2, 2.514, 2.662, 3.011, 4.166, 5.433)
"""Partials of a church bell against its prime: hum, prime, tierce, quint, nominal and above."""


@dataclass(frozen=True)
class Note:
    """What an instrument plays.

    Args:
        frequency: of the fundamental, in Hz.
        time: (N,) seconds since the beginning, at 16 kHz.
        held: seconds until the player lets go.
        random: of the player and of this very instrument; only uniform numbers are drawn from it.
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
"""Every instrument by name: it takes a note and returns (N,) samples of any level."""


def filtered(samples: np.ndarray, gain: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """A sound with every frequency made louder or softer.

    Args:
        samples: (N,) at 16 kHz.
        gain: takes frequencies in Hz and returns factors.

    Returns:
        (N,) samples.
    """
    size = len(samples) + RATE // 4  # silence behind it, lest its end reaches round into its beginning
    return np.fft.irfft(np.fft.rfft(samples, size) * gain(np.fft.rfftfreq(size, 1 / RATE)), size)[: len(samples)]


def _partials(note: Note, ratios: np.ndarray, levels: np.ndarray, curve: np.ndarray | float = 1.0) -> np.ndarray:
    """(N,) sum of sines.

    Args:
        note: its frequency is that of ratio 1.
        ratios: (K,) frequencies of the partials over that of the note.
        levels: (K,) or (K, N) amplitudes.
        curve: (N,) or one number, the pitch over that of the note.
    """
    turns = np.cumsum(note.frequency * np.broadcast_to(curve, note.time.shape)) / RATE
    levels, phases = np.asarray(levels, float), note.random.random(len(ratios))
    audible = np.flatnonzero(ratios * note.frequency * np.max(curve) < _HIGHEST)
    total = np.zeros_like(note.time)
    for k in audible:
        total += levels[k] * np.sin(2 * np.pi * (ratios[k] * turns + phases[k]))
    return total


def _held(note: Note, attack: float, release: float) -> np.ndarray:
    """(N,) in [0, 1]: rises in ``attack`` seconds, stays, and dies away when the player lets go."""
    rise = np.minimum(note.time / attack, 1)
    return rise * np.exp(-np.maximum(note.time - note.held, 0) / release)


def _vibrato(note: Note, least: float, most: float) -> np.ndarray:
    """(N,) pitch that swings 4.5 to 7 times a second, a little after the beginning."""
    depth = note.between(least, most) * np.minimum(note.time / note.between(0.1, 0.4), 1)
    return 1 + depth * np.sin(2 * np.pi * (note.between(4.5, 7) * note.time + note.between(0, 1)))


def _band(samples: np.ndarray, low: float, high: float) -> np.ndarray:
    """The part of a sound between two frequencies in Hz, with soft edges."""
    return filtered(samples, lambda f: 1 / (1 + (low / np.maximum(f, 1)) ** 4) / (1 + (f / high) ** 4))

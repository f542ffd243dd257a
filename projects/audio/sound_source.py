"""Load the sound that a command shows: a file, or one sound of a store."""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor

from data_prep import load_sound
from pcrq import InputError
from pcrq.stores import SoundStore, entry_index, split_store_name
from projects.audio.log_mel import FFT


def load_waveform(name: str) -> Tensor:
    """Load one sound.

    Args:
        name: a wav, flac, ogg or mp3 file, or ``STORE.h5:KEY``, where KEY is an index (negative ones count from the
            end) or the id of a sound.

    Returns:
        (T,) float32 in [-1, 1] at 16 kHz, long enough for a spectrogram.

    Raises:
        InputError: there is no such file or sound, or it cannot be used.
    """
    named = split_store_name(name)
    if named is None:
        samples = load_sound(name)
    else:
        path, key = named
        with contextlib.closing(SoundStore(path)) as store:
            samples = store.samples(entry_index(store, store.ids, key))
    if len(samples) <= FFT // 2:
        raise InputError(f"{name}: {len(samples)} samples at 16 kHz; a spectrogram needs at least {FFT // 2 + 1}")
    return torch.from_numpy(samples)

"""The sound that the user names: a file, or one sound of a store."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from data_prep.sound_loading import load_sound
from pcrq.errors import InputError
from pcrq.stores.sound_store import SoundStore
from pcrq.stores.store_file import entry_index, split_store_name
from projects.audio.log_mel import FFT


def load_waveform(name: str) -> Tensor:
    """Read the sound that ``name`` stands for.

    Args:
        name: a wav, flac, ogg or mp3 file, or ``STORE.h5:key``, the key being an index (negative ones count from the
            end) or the id of a sound.

    Returns:
        (T,) float32 in [-1, 1] at 16 kHz, long enough for a spectrogram.

    Raises:
        InputError: there is no such file or sound, or it cannot be used.
    """
    named = split_store_name(name)
    samples = load_sound(name) if named is None else _stored(*named)
    if len(samples) <= FFT // 2:
        raise InputError(f"{name}: {len(samples)} samples at 16 kHz; a spectrogram needs at least {FFT // 2 + 1}")
    return torch.from_numpy(samples)


def _stored(path: str, key: str) -> np.ndarray:
    store = SoundStore(path)
    try:
        return store.samples(entry_index(store, store.ids, key))
    finally:
        store.close()

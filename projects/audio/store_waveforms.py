"""Waveforms of a sound store, read by worker processes: random segments to train on, whole clips to measure on."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pcrq.evaluation.subsets import subset
from pcrq.stores.sound_store import RATE, SoundStore
from projects.audio.log_mel import SEGMENT_SAMPLES, LogMel, frame_count
from projects.audio.normalization import LogMelStatistics, log_mel_statistics
from projects.audio.segment import between_zeros

SOUNDS_MEASURED = 10_000
"""Of a larger data set only so many tell its statistics, as in BYOL-A's evaluation."""
FRAMES_IN_A_BATCH = 30_000
"""Clips of five minutes together make a batch, however many were asked for; a longer clip is one by itself."""


class RandomSegments(Dataset[Tensor]):
    """0.95 s of every clip, drawn as a function of (seed, epoch, clip); nothing else of a clip is read.

    Args:
        store: the clips.
        indices: (N,) positions of those to use.
        seed: draws the segments.

    Item:
        ``data[epoch, index]``, or ``data[index]`` for epoch 0 -> (15200,) float32; shorter clips are centred between
        zeros. ``index`` counts those to use.
    """

    def __init__(self, store: SoundStore, indices: np.ndarray, seed: int = 0):
        self.store, self.indices, self.seed = store, indices, seed

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, key: tuple[int, int] | int) -> Tensor:
        epoch, index = key if isinstance(key, tuple) else (0, key)
        clip = int(self.indices[index])
        spare = _length(self.store, clip) - SEGMENT_SAMPLES
        if spare <= 0:
            return between_zeros(torch.from_numpy(self.store.samples(clip)), SEGMENT_SAMPLES)
        start = int(np.random.default_rng([self.seed, epoch, clip]).integers(spare + 1))
        return torch.from_numpy(self.store.samples(clip, start, SEGMENT_SAMPLES))


class Clips(Dataset[Tensor]):
    """Clips as they are evaluated: all of each, or the same length of each.

    Args:
        store: the clips.
        indices: (N,) positions of those to use.
        seconds: what is longer is cut and what is shorter is centred between zeros; None leaves the clips as they are
            from 0.95 s on.

    Item:
        ``data[index]`` -> (samples,) float32.
    """

    def __init__(self, store: SoundStore, indices: np.ndarray, seconds: float | None = None):
        self.store, self.indices = store, indices
        self.samples = None if seconds is None else round(seconds * RATE)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Tensor:
        clip, wanted = int(self.indices[index]), self.length(index)
        spare = max(0, _length(self.store, clip) - wanted)
        count = _length(self.store, clip) - spare
        return between_zeros(torch.from_numpy(self.store.samples(clip, spare // 2, count)), wanted)

    def length(self, index: int) -> int:
        """Samples of an item."""
        return self.samples or max(SEGMENT_SAMPLES, _length(self.store, int(self.indices[index])))


def clips_at_once(samples: int, wanted: int) -> int:
    """Clips of so many samples that make a batch: those wanted, or as many as memory has room for."""
    return max(1, min(wanted, FRAMES_IN_A_BATCH // frame_count(samples)))


def waveform_statistics(
    data: RandomSegments | Clips, device: torch.device | str = "cpu", workers: int = 0
) -> LogMelStatistics:
    """Mean and deviation of the log-mel spectrograms of a data set, or of a fixed choice of 10,000 of its sounds.

    Args:
        data: the waveforms.
        device: where spectrograms are computed.
        workers: processes that read.

    Raises:
        InputError: the sounds are all silent.
    """
    log_mel = LogMel().to(device)
    chosen = subset(SOUNDS_MEASURED, np.arange(len(data))).tolist()
    samples = SEGMENT_SAMPLES if isinstance(data, RandomSegments) else data.samples
    batch_size = 1 if samples is None else clips_at_once(samples, 64)  # None: every clip has a length of its own
    loader = DataLoader(data, batch_size=batch_size, sampler=chosen, num_workers=workers)
    return log_mel_statistics(log_mel(waveforms.to(device)) for waveforms in loader)


def _length(store: SoundStore, clip: int) -> int:
    return int(store.offsets[clip + 1] - store.offsets[clip])

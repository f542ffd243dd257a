"""Waveforms of a sound store as datasets: random segments for training, whole clips for evaluation."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pcrq.evaluation import subset
from pcrq.stores import SoundStore
from projects.audio.log_mel import (
    SAMPLE_RATE,
    SEGMENT_SAMPLES,
    LogMel,
    LogMelStatistics,
    frame_count,
    log_mel_statistics,
)

STATISTICS_SOUNDS = 10_000
"""Maximum number of sounds that the statistics of a dataset are computed from, as in BYOL-A's evaluation."""
FRAMES_IN_A_BATCH = 30_000
"""Maximum number of frames of a batch of clips: five minutes. A longer clip is a batch by itself."""


class RandomSegments(Dataset[Tensor]):
    """Random 0.95 s of every clip, a function of (seed, epoch, clip); only these are read from the store.

    Args:
        store: the clips.
        indices: (N,) positions of the clips of the dataset.
        seed: random seed of the segments.

    Item:
        ``data[epoch, index]``, or ``data[index]`` for epoch 0 -> (15200,) float32; shorter clips are centered between
        zeros.
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
            return pad_centered(torch.from_numpy(self.store.samples(clip)), SEGMENT_SAMPLES)
        start = int(np.random.default_rng([self.seed, epoch, clip]).integers(spare + 1))
        return torch.from_numpy(self.store.samples(clip, start, SEGMENT_SAMPLES))


class Clips(Dataset[Tensor]):
    """Whole clips, or the middle of each at one length.

    Args:
        store: the clips.
        indices: (N,) positions of the clips of the dataset.
        seconds: length of all items: longer clips are cut, shorter ones centered between zeros. None keeps the length
            of every clip, but at least 0.95 s.

    Item:
        ``data[index]`` -> (samples,) float32.
    """

    def __init__(self, store: SoundStore, indices: np.ndarray, seconds: float | None = None):
        self.store, self.indices = store, indices
        self.samples = None if seconds is None else round(seconds * SAMPLE_RATE)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Tensor:
        clip, wanted = int(self.indices[index]), self.length(index)
        spare = max(0, _length(self.store, clip) - wanted)
        count = _length(self.store, clip) - spare
        return pad_centered(torch.from_numpy(self.store.samples(clip, spare // 2, count)), wanted)

    def length(self, index: int) -> int:
        """Number of samples of an item."""
        return self.samples or max(SEGMENT_SAMPLES, _length(self.store, int(self.indices[index])))


def pad_centered(waveforms: Tensor, samples: int) -> Tensor:
    """Center waveforms between zeros.

    Args:
        waveforms: (..., T), any dtype and device, T at most ``samples``.
        samples: length of the result.

    Returns:
        (..., samples), with dtype and device of the waveforms.
    """
    spare = samples - waveforms.shape[-1]
    return F.pad(waveforms, (spare // 2, spare - spare // 2))


def clips_at_once(samples: int, batch_size: int) -> int:
    """Number of clips of a length that make a batch: ``batch_size``, or fewer where they are long."""
    return max(1, min(batch_size, FRAMES_IN_A_BATCH // frame_count(samples)))


def waveform_statistics(
    data: RandomSegments | Clips, device: torch.device | str = "cpu", workers: int = 0
) -> LogMelStatistics:
    """Compute the log-mel statistics of a dataset, or of a fixed random subset of 10,000 of its sounds.

    Args:
        data: the waveforms.
        device: where spectrograms are computed.
        workers: processes that read the store.

    Raises:
        InputError: the sounds are all silent.
    """
    log_mel = LogMel().to(device)
    chosen = subset(STATISTICS_SOUNDS, np.arange(len(data))).tolist()
    samples = SEGMENT_SAMPLES if isinstance(data, RandomSegments) else data.samples
    batch_size = 1 if samples is None else clips_at_once(samples, 64)  # None: every clip has another length
    loader = DataLoader(data, batch_size=batch_size, sampler=chosen, num_workers=workers)
    return log_mel_statistics(log_mel(waveforms.to(device)) for waveforms in loader)


def task_name(store: SoundStore) -> str:
    """Name of a store's task in the results: that of a public dataset, such as "NS", or the name of the file."""
    return str(store.parameters.get("task", store.path.name))


def _length(store: SoundStore, clip: int) -> int:
    return int(store.offsets[clip + 1] - store.offsets[clip])

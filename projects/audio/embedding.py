"""Embeddings of a store's clips by a frozen encoder."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from pcrq.evaluation import eval_mode
from pcrq.stores import SoundStore
from projects.audio.encoder import HALVINGS, AudioNTT2020
from projects.audio.log_mel import LogMel, LogMelStatistics
from projects.audio.waveforms import Clips, clips_at_once

_FRAMES_AT_ONCE = 3000  # 30 s; features of a longer batch would take gigabytes


def embed_sounds(
    network: AudioNTT2020,
    statistics: LogMelStatistics,
    store: SoundStore,
    indices: np.ndarray,
    *,
    seconds: float | None = None,
    batch_size: int = 64,
    workers: int = 0,
    progress: Callable[[Iterable], Iterable] = iter,
) -> Tensor:
    """Embed clips without augmentation, on the network's device. The mode of the network does not change.

    Args:
        network: the encoder.
        statistics: of the normalization of the spectrograms.
        store: the clips.
        indices: (S,) positions in the store.
        seconds: length that all clips are cut or padded to, as by :class:`~projects.audio.waveforms.Clips`; None for
            whole clips.
        batch_size: clips per batch; fewer where they are long. Clips of different lengths are in different batches.
        workers: processes that read the store; 0 reads in this process.
        progress: wraps the batches, for example ``tqdm``.

    Returns:
        (S, dimension) float32 on the CPU, in the order of ``indices``.
    """
    device = next(network.parameters()).device
    log_mel = LogMel().to(device)
    clips = Clips(store, indices, seconds)
    batches = _batches_of_one_length(clips, batch_size)
    embeddings = torch.zeros(len(indices), network.dimension)
    with eval_mode(network):
        loader = DataLoader(clips, batch_sampler=batches, num_workers=workers)
        for batch, waveforms in zip(batches, progress(loader), strict=True):
            spectrograms = statistics.normalize(log_mel(waveforms.to(device)))
            embeddings[batch] = _embed(network, spectrograms).float().cpu()
    return embeddings


def _batches_of_one_length(clips: Clips, batch_size: int) -> list[list[int]]:
    order = sorted(range(len(clips)), key=clips.length)  # stable: in the order of the store where lengths are equal
    batches = []
    for samples, group in groupby(order, key=clips.length):
        same, together = list(group), clips_at_once(samples, batch_size)
        batches += [same[start : start + together] for start in range(0, len(same), together)]
    return batches


def _embed(network: AudioNTT2020, log_mel: Tensor) -> Tensor:
    """Embed spectrograms of any length, those over 30 s in pieces, of which only maximum and sum are kept."""
    highest = log_mel.new_full((len(log_mel), network.dimension), -torch.inf)
    total, count = torch.zeros_like(highest), 0
    for piece in log_mel.split(_FRAMES_AT_ONCE, dim=3):
        if piece.shape[3] < 2**HALVINGS:
            continue
        frames = network.frames(piece)
        highest = torch.maximum(highest, frames.amax(dim=1))
        total += frames.sum(dim=1)
        count += frames.shape[1]
    return highest + total / count

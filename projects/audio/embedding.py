"""Embeddings of a store's clips by a frozen encoder."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from pcrq.evaluation.features import eval_mode
from pcrq.stores.sound_store import SoundStore
from projects.audio.log_mel import LogMel
from projects.audio.normalization import LogMelStatistics, PreNormalize
from projects.audio.ntt import HALVINGS, AudioNTT2020
from projects.audio.store_waveforms import Clips, clips_at_once

_FRAMES_AT_ONCE = 3000  # 30 s, after which the features of a batch would take gigabytes


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
    """Embed clips, undistorted, on the network's device; its mode stays as it was.

    Args:
        network: the encoder.
        statistics: to normalise spectrograms by.
        store: where the clips are.
        indices: (S,) positions in the store.
        seconds: all clips are brought to this length, as by :class:`~projects.audio.store_waveforms.Clips`; None
            embeds every clip as it is.
        batch_size: clips at a time, fewer where they are long; those of other lengths than their neighbours take turns
            of their own.
        workers: processes that read; 0 reads here.
        progress: wraps the batches, for example ``tqdm``.

    Returns:
        (S, dimension) float32 on the CPU, in the order of ``indices``.
    """
    device = next(network.parameters()).device
    log_mel, normalize = LogMel().to(device), PreNormalize(statistics)
    clips = Clips(store, indices, seconds)
    batches = _batches_of_one_length(clips, batch_size)
    embeddings = torch.zeros(len(indices), network.dimension)
    with eval_mode(network):
        loader = DataLoader(clips, batch_sampler=batches, num_workers=workers)
        for batch, waveforms in zip(batches, progress(loader), strict=True):
            embeddings[batch] = _embed(network, normalize(log_mel(waveforms.to(device)))).float().cpu()
    return embeddings


def _batches_of_one_length(clips: Clips, batch_size: int) -> list[list[int]]:
    order = sorted(range(len(clips)), key=clips.length)  # stable: in the store's order where all are of one length
    batches = []
    for samples, group in groupby(order, key=clips.length):
        same, together = list(group), clips_at_once(samples, batch_size)
        batches += [same[start : start + together] for start in range(0, len(same), together)]
    return batches


def _embed(network: AudioNTT2020, log_mel: Tensor) -> Tensor:
    """What the network makes of spectrograms of any length; what is over 30 s passes it in pieces.

    Of their features only maximum and sum are kept, which are all that pooling needs.
    """
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

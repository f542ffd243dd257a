"""Features of whole shapes by a frozen network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch

from octree.midnet import MIDNet
from octree.point_batch import PointBatch, collate
from pcrq.stores.shape_store import ShapeStore


@torch.no_grad()
def embed(
    network: MIDNet,
    store: ShapeStore,
    indices: Sequence[int],
    *,
    batch_size: int = 32,
    progress: Callable[[Iterable], Iterable] = iter,
) -> torch.Tensor:
    """Embed undistorted shapes of a store, on the network's device.

    The network runs in evaluation mode and is left in the mode it was in.

    Args:
        network: the network to ask.
        store: where the shapes are.
        indices: positions of S shapes in the store.
        batch_size: shapes at a time.
        progress: wraps the iteration over batches, for example ``tqdm``.

    Returns:
        (S, 8·width) float32 features "fc1" on the CPU, in the order of ``indices``.
    """
    device = next(network.parameters()).device
    training = network.training
    features = [torch.zeros(0, 8 * network.config.width)]
    try:
        network.eval()
        for start in progress(range(0, len(indices), batch_size)):
            shapes = [store[int(index)] for index in indices[start : start + batch_size]]
            features.append(_embed_batch(network, collate(shapes).to(device)).float().cpu())
    finally:
        network.train(training)
    return torch.cat(features)


def _embed_batch(network: MIDNet, batch: PointBatch) -> torch.Tensor:
    octree, _ = network.octree(batch)
    return network.embed(octree)

"""Features of a source's images by a frozen encoder, and how well their neighbours know the classes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from pcrq.errors import InputError
from pcrq.evaluation.features import eval_mode
from pcrq.evaluation.knn import knn_accuracy
from pcrq.evaluation.subsets import subset
from projects.image.encoder import device_of
from projects.image.image_transforms import evaluation_transform
from projects.image.sources.source import ImageSource
from projects.image.view_data import ViewData


def embed_images(
    network: nn.Module,
    source: ImageSource,
    size: int,
    mean: Sequence[float],
    std: Sequence[float],
    *,
    indices: np.ndarray | None = None,
    batch_size: int = 256,
    workers: int = 0,
    progress: Callable[[Iterable], Iterable] = iter,
) -> tuple[Tensor, Tensor, np.ndarray]:
    """Features of undistorted images, on the device of the network; its mode stays as it was.

    Args:
        network: maps (B, 3, size, size) normalised images to (B, features).
        source: the images.
        size: pixels along each side.
        mean, std: to normalise by, per colour channel, of pixels in [0, 1].
        indices: (N,) of the source; all for None.
        batch_size: images at a time.
        workers: processes that decode; 0 decodes here.
        progress: wraps the batches, for example ``tqdm``.

    Returns:
        Features (R, D) float32 and labels (R,) int64 on the device, and the indices (R,) they belong to. Images that
        cannot be read are left out.

    Raises:
        InputError: none can be read.
    """
    indices = np.arange(len(source)) if indices is None else indices
    device = device_of(network)
    mean, std = (torch.tensor(numbers, device=device).view(-1, 1, 1) for numbers in (mean, std))
    data = ViewData(source, [evaluation_transform(size)])
    loader = DataLoader(
        data, batch_size=batch_size, sampler=indices.tolist(), num_workers=workers, pin_memory=device.type == "cuda"
    )
    features, labels = [], []
    with eval_mode(network):
        for views, batch_labels in progress(loader):
            images = views[:, 0].to(device, non_blocking=True).float().div_(255).sub_(mean).div_(std)
            features.append(network(images.contiguous(memory_format=torch.channels_last)).float())
            labels.append(batch_labels.to(device))
    readable = ~data.unreadable[torch.from_numpy(indices)]
    if not readable.any():
        raise InputError(f"{source.name}: none of {len(indices)} images can be read")
    kept = readable.to(device)
    return torch.cat(features)[kept], torch.cat(labels)[kept], indices[readable.numpy()]


def source_knn_accuracy(
    network: nn.Module,
    gallery: ImageSource,
    held_out: ImageSource,
    size: int,
    mean: Sequence[float],
    std: Sequence[float],
    *,
    neighbours: int = 200,
    images: int = 50_000,
    workers: int = 0,
) -> float:
    """Share in [0, 1] of the held-out images that their nearest neighbours in a gallery classify.

    Args:
        network, size, mean, std, workers: as for :func:`embed_images`.
        gallery, held_out: labelled images.
        neighbours: images that vote on one.
        images: at most so many of either source, the same ones every time.

    Source: Wu et al., Unsupervised Feature Learning via Instance Discrimination, CVPR 2018, section 3.4.
    """
    voters, voters_labels, _ = embed_images(
        network, gallery, size, mean, std, indices=subset(images, np.arange(len(gallery))), workers=workers
    )
    features, labels, _ = embed_images(
        network, held_out, size, mean, std, indices=subset(images, np.arange(len(held_out))), workers=workers
    )
    return knn_accuracy(features, labels, voters, voters_labels, neighbours=neighbours)

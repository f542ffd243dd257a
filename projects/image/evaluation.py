"""Evaluation of image encoders: features of a source's images, kNN accuracy, and run records."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from pcrq import InputError
from pcrq.evaluation.features import eval_mode, subset
from pcrq.evaluation.knn import knn_accuracy
from projects.image.augmentation import Augmentation, AugmentedImages, evaluation_transform
from projects.image.encoder import device_of
from projects.image.image_source import ImageSource
from projects.training.records import Record, append_records, code_version


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
    """Features of images without augmentation, computed on the network's device in evaluation mode.

    Args:
        network: maps (B, 3, size, size) normalized images to (B, features); its mode is restored.
        source: the images.
        size: height and width in pixels.
        mean, std: normalization per color channel, of pixels in [0, 1].
        indices: (N,) indices of images of the source; None for all.
        batch_size: images per forward pass.
        workers: processes that decode images; 0 decodes in this process.
        progress: wraps the iterable of batches, for example ``tqdm``.

    Returns:
        Features (R, D) float32 and labels (R,) int64 on the device, and their indices (R,). Images that cannot be
        read are left out.

    Raises:
        InputError: no image can be read.
    """
    indices = np.arange(len(source)) if indices is None else indices
    device = device_of(network)
    mean, std = (torch.tensor(values, device=device).view(-1, 1, 1) for values in (mean, std))
    data = AugmentedImages(source, [evaluation_transform(size)])
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
        raise InputError(f"{source.name}: none of the {len(indices)} images can be read; check the files")
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
    """kNN accuracy in [0, 1] of the held-out images, classified by the images of a gallery.

    Args:
        network, size, mean, std, workers: see :func:`embed_images`.
        gallery, held_out: labeled images.
        neighbours: number of neighbors that vote.
        images: maximum number of images of either source; a fixed random subset.

    Source: Wu et al., Unsupervised Feature Learning via Instance Discrimination, CVPR 2018, section 3.4.
    """
    gallery_features, gallery_labels, _ = embed_images(
        network, gallery, size, mean, std, indices=subset(images, np.arange(len(gallery))), workers=workers
    )
    features, labels, _ = embed_images(
        network, held_out, size, mean, std, indices=subset(images, np.arange(len(held_out))), workers=workers
    )
    return knn_accuracy(features, labels, gallery_features, gallery_labels, neighbours=neighbours)


# --- run records ---

UNTRAINED = "untrained"


def method_name(pretraining: Mapping[str, Any]) -> str:
    """The report's name of a pretraining: "RRC+RQ", "CR + i-Mix", "MSF"; "untrained" without pretraining.

    Args:
        pretraining: plain values of a checkpoint, with the keys "augmentation" and "baseline".

    Raises:
        InputError: an option of the augmentation is unknown.
    """
    if not pretraining.get("augmentation"):
        return UNTRAINED
    try:
        augmentation = Augmentation(**pretraining["augmentation"]).name
    except TypeError as error:
        raise InputError(f"the checkpoint has another augmentation ({error}); it is damaged or newer") from error
    baseline = pretraining.get("baseline", "")
    return augmentation if baseline in ("", augmentation) else f"{augmentation} + {baseline}"


def record_evaluation(
    folder: Path,
    values: Mapping[str, float],
    *,
    method: str,
    protocol: str,
    seed: int,
    train: ImageSource,
    test: ImageSource,
    most: int | None = None,
    config: dict[str, Any],
    seconds: float,
) -> Path:
    """Append measured values to the results of a run, except those that are already recorded.

    Args:
        folder: the run folder.
        values: numbers in [0, 1] by metric.
        method, protocol, seed, config, seconds: see :class:`projects.training.records.Record`.
        train, test: the labeled images.
        most: maximum number of images of either source that were used; None for all.

    Returns:
        The results file.
    """
    results = folder / "results.json"
    train_samples, test_samples = (len(source) if most is None else min(most, len(source)) for source in (train, test))
    records = [
        Record(
            method=method,
            protocol=protocol,
            metric=metric,
            value=value,
            ratio=1.0,
            seed=seed,
            store=test.name,
            digest=hashlib.sha256(f"{train.digest}\n{test.digest}".encode()).hexdigest(),
            train_samples=train_samples,
            test_samples=test_samples,
            task="image classification",
            config=config,
            seconds=round(seconds, 1),
            code=code_version(),
        )
        for metric, value in values.items()
    ]
    append_records(results, records)
    return results

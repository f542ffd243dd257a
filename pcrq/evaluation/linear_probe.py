"""Linear probes: the accuracy of a linear layer that is trained on frozen features.

Two protocols for features in memory: scikit-learn's logistic regression, which is quick, and O-CNN's stochastic
gradient descent, which table 6 of the paper uses. :func:`train_linear` is the training loop for other protocols.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pcrq import InputError


@dataclass(frozen=True)
class LabelledFeatures:
    """Features of samples with known categories.

    Args:
        features: (S, D) float32.
        category: (S,) integers in [0, classes).
    """

    features: np.ndarray
    category: np.ndarray


def logistic_probe(train: LabelledFeatures, test: LabelledFeatures) -> float:
    """Return the accuracy in [0, 1] of a logistic regression on standardized features.

    Raises:
        InputError: the training set has fewer than two categories.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    _check_categories(train)
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    with threadpool_limits(1), warnings.catch_warnings():  # the matrix products are too small for several threads
        warnings.filterwarnings("ignore", message="The number of unique classes is greater than 50%")
        probe.fit(train.features, train.category)
        return float(probe.score(test.features, test.category))


def sgd_probe(
    train: LabelledFeatures,
    test: LabelledFeatures,
    *,
    classes: int,
    steps: int,
    milestones: Sequence[float] = (2 / 3,),
    learning_rate: float = 1.0,
    weight_decay: float = 5e-7,
    batch_size: int = 32,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> float:
    """Return the accuracy in [0, 1] of a linear layer trained by stochastic gradient descent with momentum 0.9.

    Args:
        train, test: features of samples without augmentation, used as they are.
        classes: number of categories.
        steps: number of batches; O-CNN uses 300k × ratio × m with m = 4 up to 2 % of the labels, 2 up to 10 %, else 1.
        milestones: fractions of the steps after which the learning rate is divided by ten.
        learning_rate, weight_decay, batch_size: as in O-CNN's protocol.
        seed: of the initial weights and the order of the samples.
        device: where to train.

    Raises:
        InputError: the training set has fewer than two categories.

    Source: microsoft/O-CNN, linear classification of ModelNet40 ("lin").
    """
    _check_categories(train)
    generator = torch.Generator().manual_seed(seed)
    features = torch.as_tensor(train.features, dtype=torch.float32, device=device)
    category = torch.as_tensor(train.category, dtype=torch.long, device=device)
    layer = nn.Linear(features.shape[1], classes)
    with torch.no_grad():
        layer.weight.normal_(std=features.shape[1] ** -0.5, generator=generator)
        layer.bias.zero_()
    layer.to(device)
    optimizer = torch.optim.SGD(layer.parameters(), learning_rate, momentum=0.9, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [round(part * steps) for part in milestones])
    batches = islice(_shuffled_batches(len(features), batch_size, generator), steps)
    train_linear(layer, optimizer, features, category, batches, schedule)
    return linear_accuracy(
        layer,
        torch.as_tensor(test.features, dtype=torch.float32, device=device),
        torch.as_tensor(test.category, dtype=torch.long, device=device),
    )


def train_linear(
    layer: nn.Module,
    optimizer: torch.optim.Optimizer,
    features: Tensor,
    category: Tensor,
    batches: Iterable[Tensor],
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None,
) -> None:
    """Train a classifier on features in memory by cross-entropy, one optimizer step per batch.

    Args:
        layer: maps (B, D) features to (B, classes) logits.
        optimizer: of the layer's parameters.
        features: (S, D) float32, on the device of the layer.
        category: (S,) int64, on the same device.
        batches: the (B,) int64 rows of every batch, such as ``torch.randperm(S).split(200)`` for one epoch.
        schedule: of the learning rate; steps after every batch.
    """
    for batch in batches:
        batch = batch.to(features.device)
        loss = F.cross_entropy(layer(features[batch]), category[batch])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if schedule is not None:
            schedule.step()


@torch.no_grad()
def linear_accuracy(layer: nn.Module, features: Tensor, category: Tensor) -> float:
    """Return the share in [0, 1] of rows whose largest logit is that of their category.

    Args:
        layer: maps (S, D) features to (S, classes) logits.
        features: (S, D) float32, on the device of the layer.
        category: (S,) int64, on the same device.
    """
    return float((layer(features).argmax(dim=1) == category).double().mean())


def _shuffled_batches(size: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield batches of rows endlessly; every row once per epoch, the last batch of an epoch may be smaller."""
    while True:
        yield from torch.randperm(size, generator=generator).split(batch_size)


def _check_categories(train: LabelledFeatures) -> None:
    if len(np.unique(train.category)) < 2:
        raise InputError("a linear probe needs training samples of at least two categories; label more of them")

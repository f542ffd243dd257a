"""Linear probes: how well a linear layer on frozen features predicts the category.

Two protocols: a quick one by scikit-learn's logistic regression, and O-CNN's stochastic gradient descent, which
table 6 of the paper uses (microsoft/O-CNN, ModelNet40 "lin").
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from pcrq.errors import InputError


@dataclass(frozen=True)
class LabelledFeatures:
    """Features of shapes with known categories.

    Args:
        features: (S, D) float32.
        category: (S,) integers in [0, classes).
    """

    features: np.ndarray
    category: np.ndarray


def logistic_probe(train: LabelledFeatures, test: LabelledFeatures) -> float:
    """Accuracy in [0, 1] of a logistic regression on standardised features.

    Raises:
        InputError: the training set has fewer than two categories.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    _check(train)
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    with threadpool_limits(1), warnings.catch_warnings():  # many small products: threads would only wait for each other
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
    """Accuracy in [0, 1] of one linear layer trained by stochastic gradient descent with momentum 0.9.

    Args:
        train, test: features of undistorted shapes by the frozen backbone, used as they are.
        classes: number of categories.
        steps: number of batches; O-CNN takes 300k × ratio × m with m = 4 up to 2 % of the labels, 2 up to 10 %, else 1.
        milestones: parts of the steps after which the learning rate is divided by ten.
        learning_rate, weight_decay, batch_size: as in O-CNN's protocol.
        seed: draws the initial weights and the order of the shapes.
        device: where to train.

    Raises:
        InputError: the training set has fewer than two categories.

    Source: microsoft/O-CNN, linear classification of ModelNet40.
    """
    _check(train)
    generator = torch.Generator().manual_seed(seed)
    features = torch.as_tensor(train.features, dtype=torch.float32, device=device)
    category = torch.as_tensor(train.category, dtype=torch.long, device=device)
    layer = _linear(features.shape[1], classes, generator).to(device)
    optimizer = torch.optim.SGD(layer.parameters(), learning_rate, momentum=0.9, weight_decay=weight_decay)
    batches = (batch.to(device) for batch in _shuffled_batches(len(features), batch_size, generator))
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [round(part * steps) for part in milestones])
    for _, batch in zip(range(steps), batches, strict=False):
        loss = F.cross_entropy(layer(features[batch]), category[batch])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        guess = layer(torch.as_tensor(test.features, dtype=torch.float32, device=device)).argmax(dim=1)
    return float((guess.cpu().numpy() == test.category).mean())


def _linear(features: int, classes: int, generator: torch.Generator) -> nn.Linear:
    layer = nn.Linear(features, classes)
    with torch.no_grad():
        layer.weight.normal_(std=features**-0.5, generator=generator)
        layer.bias.zero_()
    return layer


def _shuffled_batches(size: int, batch_size: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """Endless batches of indices; every index once per pass, the last batch of a pass may be smaller."""
    while True:
        yield from torch.randperm(size, generator=generator).split(batch_size)


def _check(train: LabelledFeatures) -> None:
    if len(np.unique(train.category)) < 2:
        raise InputError("a linear probe needs training shapes of at least two categories; label more shapes")

"""One linear layer on standardised features, trained until clips that it does not learn from say stop.

Source: nttcslab/byol-a, evaluate.py, and the classifier it takes (daisukelab/general-learning, MLP/torch_mlp_clf.py),
which has scikit-learn's defaults: Adam at 0.001, batches of 200. Its weight decay of 1e-8 is left out.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BATCH_SIZE = 200
LEARNING_RATE = 1e-3
EPOCHS = 200
"""At most."""
PATIENCE = 10
"""Epochs in a row that may be worse than the best before the training ends; its weights are taken then."""


def standardise_(features: Tensor, train: Tensor) -> Tensor:
    """Bring features, in place, to mean 0 and deviation 1 over the training rows; constant ones are only centred.

    Args:
        features: (S, D) float32; all clips of a large task take gigabytes, so that there is no second copy.
        train: (N,) int64 rows.

    Returns:
        ``features``.
    """
    std, mean = torch.std_mean(features[train], dim=0, correction=0)
    is_constant = std <= 10 * torch.finfo(torch.float32).eps * mean.abs()
    return features.sub_(mean).div_(torch.where(is_constant, 1.0, std))


def train_classifier(
    features: Tensor, category: Tensor, train: Tensor, validation: Tensor, classes: int, seed: int, epochs: int = EPOCHS
) -> nn.Linear:
    """The layer of the epoch that knows the validation clips best; of equal ones the last.

    Args:
        features: (S, D) float32, standardised.
        category: (S,) int64.
        train, validation: rows to learn from, and to stop by.
        classes: number of categories.
        seed: draws the initial weights and the order of the clips.
        epochs: at most so many.
    """
    generator = torch.Generator().manual_seed(seed)
    layer = _new_layer(features.shape[1], classes, generator).to(features.device)
    optimizer = torch.optim.Adam(layer.parameters(), LEARNING_RATE)
    best, best_accuracy, worse = {}, -1.0, 0
    for _ in range(epochs):
        order = train[torch.randperm(len(train), generator=generator).to(train.device)]
        for batch in order.split(BATCH_SIZE):
            loss = F.cross_entropy(layer(features[batch]), category[batch])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        reached = accuracy(layer, features[validation], category[validation])
        if reached >= best_accuracy:
            best_accuracy, worse = reached, 0
            best = {name: value.clone() for name, value in layer.state_dict().items()}
        else:
            worse += 1
            if worse == PATIENCE:
                break
    layer.load_state_dict(best)
    return layer


@torch.no_grad()
def accuracy(layer: nn.Linear, features: Tensor, category: Tensor) -> float:
    """Share in [0, 1] of the clips whose category is thought the most likely one."""
    return float((layer(features).argmax(dim=1) == category).double().mean())


def _new_layer(features: int, classes: int, generator: torch.Generator) -> nn.Linear:
    """PyTorch's own initial weights, but from a generator."""
    layer, bound = nn.Linear(features, classes), features**-0.5
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -bound, bound, generator=generator)
    return layer

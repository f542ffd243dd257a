"""Accuracy of nearest neighbours among frozen features: a probe without training."""

from __future__ import annotations

import torch
import torch.nn.functional as F

TEMPERATURE = 0.1
_QUERIES = 1024  # at a time: the similarities of all pairs of a large store do not fit into memory


def knn_accuracy(
    features: torch.Tensor,
    category: torch.Tensor,
    gallery: torch.Tensor | None = None,
    gallery_category: torch.Tensor | None = None,
    neighbours: int = 5,
) -> float:
    """Share of shapes whose category the nearest shapes of a gallery vote for.

    Votes count exp(cosine / 0.1): the weighting is that of instance discrimination (Wu et al., CVPR 2018, section 3.4),
    the temperature is ours.

    Args:
        features: (Q, D) features of the shapes to classify.
        category: (Q,) int64 their categories.
        gallery: (G, D) features of the labelled shapes; None for ``features`` itself, each shape left out of its
            own vote.
        gallery_category: (G,) int64 categories of the gallery; given exactly with it.
        neighbours: shapes that vote, fewer where the gallery is smaller.

    Returns:
        Accuracy in [0, 1].
    """
    leave_one_out = gallery is None
    if leave_one_out:
        gallery, gallery_category = features, category
    features, gallery = F.normalize(features, dim=1), F.normalize(gallery, dim=1)
    neighbours = min(neighbours, len(gallery) - leave_one_out)
    classes, hits = int(gallery_category.max()) + 1, 0
    for first in range(0, len(features), _QUERIES):
        similarity = features[first : first + _QUERIES] @ gallery.t()
        if leave_one_out:
            similarity.diagonal(first).fill_(-torch.inf)
        nearest = similarity.topk(neighbours, dim=1)
        votes = torch.zeros(len(similarity), classes, device=features.device)
        votes.scatter_add_(1, gallery_category[nearest.indices], (nearest.values / TEMPERATURE).exp())
        hits += int((votes.argmax(dim=1) == category[first : first + _QUERIES]).sum())
    return hits / len(features)

"""k nearest neighbors among frozen features: their ranking, and the accuracy of their votes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

TEMPERATURE = 0.1
_QUERIES = 1024  # at once: the similarities of all pairs of a large store do not fit into memory


def nearest_neighbors(queries: Tensor, gallery: Tensor, k: int, exclude: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Rank the rows of a gallery by cosine similarity.

    Args:
        queries: (Q, D) floating-point features.
        gallery: (G, D) features to search.
        k: number of neighbors K; fewer if the gallery is smaller.
        exclude: (Q,) int64 row of the gallery that is not a neighbor of each query, such as the query itself.

    Returns:
        (Q, K) cosine similarities and (Q, K) int64 rows of the gallery, nearest first.
    """
    queries, gallery = F.normalize(queries, dim=1), F.normalize(gallery, dim=1)
    k = min(k, len(gallery) - (exclude is not None))
    similarities, rows = [], []
    for start in range(0, len(queries), _QUERIES):
        similarity = queries[start : start + _QUERIES] @ gallery.t()
        if exclude is not None:
            similarity.scatter_(1, exclude[start : start + _QUERIES, None], -torch.inf)
        nearest = similarity.topk(k, dim=1)
        similarities.append(nearest.values)
        rows.append(nearest.indices)
    return torch.cat(similarities), torch.cat(rows)


def knn_accuracy(
    features: Tensor,
    category: Tensor,
    gallery: Tensor | None = None,
    gallery_category: Tensor | None = None,
    neighbours: int = 5,
) -> float:
    """Classify features by the votes of their nearest neighbors and return the accuracy.

    A vote has the weight exp(cosine / 0.1), as in instance discrimination, which uses another temperature (0.07).

    Args:
        features: (Q, D) floating-point features to classify.
        category: (Q,) int64 their categories, at least 0.
        gallery: (G, D) features of the labelled samples. None uses ``features``, without the sample itself.
        gallery_category: (G,) int64 categories of the gallery; required with ``gallery``.
        neighbours: number of neighbors that vote; fewer if the gallery is smaller.

    Returns:
        Accuracy in [0, 1].

    Source: Wu et al., Unsupervised Feature Learning via Non-Parametric Instance Discrimination, CVPR 2018, section 3.4.
    """
    exclude = None
    if gallery is None or gallery_category is None:
        gallery, gallery_category = features, category
        exclude = torch.arange(len(features), device=features.device)
    similarities, rows = nearest_neighbors(features, gallery, neighbours, exclude)
    classes, correct = int(gallery_category.max()) + 1, 0
    for similarity, row, truth in zip(*(x.split(_QUERIES) for x in (similarities, rows, category)), strict=True):
        votes = torch.zeros(len(row), classes, device=features.device)
        votes.scatter_add_(1, gallery_category[row], (similarity / TEMPERATURE).exp())
        correct += int((votes.argmax(dim=1) == truth).sum())
    return correct / len(features)

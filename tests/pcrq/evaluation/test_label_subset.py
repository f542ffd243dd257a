"""Label ratios as the protocol counts them."""

import numpy as np
import pytest

from pcrq import InputError
from pcrq.evaluation import label_subset

# Training shapes of the 40 classes of ModelNet40, airplane to xbox, as its authors publish them.
MODELNET40 = [
    *(626, 106, 515, 173, 572, 335, 64, 197, 889, 167, 79, 138, 200, 109, 200, 149, 171, 155, 145, 124),
    *(149, 284, 465, 200, 88, 231, 240, 104, 115, 128, 680, 124, 90, 392, 163, 344, 267, 475, 87, 103),
]


RATIOS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


def test_modelnet40_gives_the_published_counts():
    """O-CNN publishes its counts for 9,842 shapes, one less than the data set has; half of all is 4,931 there."""
    one_less = [size - (name == 2) for name, size in enumerate(MODELNET40)]
    published = {9842: (116, 214, 511, 1000, 1980, 4931, 9842), 9843: (116, 214, 511, 1000, 1980, 4932, 9843)}
    for sizes in (one_less, MODELNET40):
        category = np.repeat(np.arange(40), sizes)
        for seed in (None, 3):
            assert tuple(len(label_subset(category, ratio, seed)) for ratio in RATIOS) == published[len(category)]


def test_without_a_seed_the_first_of_every_category_are_taken():
    category = np.array([1, 0, 1, 0, -1, 1, 0, 1])
    assert label_subset(category, 0.5).tolist() == [0, 1, 2, 3]


def test_a_seed_draws_other_shapes_and_never_unlabelled_ones():
    category = np.tile([0, 1, -1], 50)
    draws = [label_subset(category, 0.2, seed) for seed in (0, 0, 1)]
    assert draws[0].tolist() == draws[1].tolist() != draws[2].tolist()
    for draw in draws:
        assert np.bincount(category[draw]).tolist() == [10, 10]


@pytest.mark.parametrize("ratio", [0, -0.1, 1.01])
def test_ratios_outside_are_refused(ratio):
    with pytest.raises(InputError, match="label ratio"):
        label_subset(np.zeros(3, int), ratio)

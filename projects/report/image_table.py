"""What the paper's tables of images have in common."""

from __future__ import annotations

from functools import partial

from projects.report.image_run import IMAGENET_TEST
from projects.report.table import Block, Table, mean_over_parts

FROM_IMAGENET = "from ImageNet (50,000 test images of 1,000 classes) with ResNet-50"

ImageTable = partial(
    Table,
    test_samples=IMAGENET_TEST,
    samples="images",
    data="data",
    of_seed=("weights", "pretraining.seed"),  # every seed has a pretraining of its own
)

accuracy_block = partial(Block, "top-1 accuracy", "accuracy", mean_over_parts)
"""Of the linear probe; takes the paper's numbers and a sentence about them."""

TOP_5_BLOCK = Block(
    "top-5 accuracy", "top-5 accuracy", mean_over_parts, {}, "Of the linear probe; the paper does not give it."
)
KNN_BLOCK = Block(
    "kNN accuracy",
    "kNN accuracy",
    mean_over_parts,
    {},
    "By the nearest neighbours among the training images, without training a classifier; the paper does not give it.",
)


def epochs_column(epochs: int) -> str:
    """A length of pretraining as the paper's columns name it."""
    return f"{epochs}-ep"


def epochs_of_column(column: str) -> int:
    """The length of pretraining that a column is for."""
    return int(column.removesuffix("-ep"))

"""Table 7 of the paper: part segmentation on ShapeNet Part, the networks pretrained on ShapeNet.

A network is trained for every category, so a cell is made of one record per category and stays blank until all are
there.
"""

from __future__ import annotations

from projects.report.point_cloud_row import PROTOCOLS, point_cloud_row
from projects.report.table import Block, Place, Table, mean_over_parts, mean_over_samples
from projects.training.records import Record

PAPER_CATEGORY_MEAN = {  # percent, as printed in the paper
    "Multi-Task (lin)": (None, 73.9, None),
    "MID-FC (lin)": (66.2, 76.5, 82.8),
    "Ours (lin)": (70.6, 76.9, 82.9),
    "MID-FC (ft)": (67.6, 77.8, 84.3),
    "Ours (ft)": (69.5, 78.4, 84.4),
}
PAPER_SHAPE_MEAN = {
    "Multi-Task (lin)": (68.2, 80.7, None),
    "MID-FC (lin)": (72.4, 80.9, 84.1),
    "Ours (lin)": (77.4, 81.9, 84.3),
    "MID-FC (ft)": (76.2, 82.1, 85.5),
    "Ours (ft)": (77.8, 82.3, 85.5),
}
PRESENT, ABSENT = "mIoU", "mIoU, absent parts count 1"
OVER_CATEGORIES = "Mean over the categories, each the mean over its test shapes."
OVER_SHAPES = "Mean over all test shapes."
CONVENTIONS = (
    "The tables above, like the paper and O-CNN, average the IoU of a shape over the parts that its ground truth has. "
    "Here all parts of the category are averaged: one that neither ground truth nor prediction has counts 1, one that "
    "only the prediction has counts 0. Do not compare these numbers with the paper's."
)
SAME_CONVENTION = "The convention of the block above, mean over all test shapes."


def locate(record: Record) -> Place | None:
    """The place of one category's segmentation, None for other tasks and protocols."""
    category, categories = record.config.get("category"), record.config.get("categories")
    if record.task != "part segmentation" or record.protocol not in PROTOCOLS:
        return None
    if not isinstance(category, str) or not isinstance(categories, int):
        return None
    return Place(point_cloud_row(record), record.ratio, category, categories)


TABLE_7 = Table(
    number="7",
    title="part segmentation",
    setting="from ShapeNet Part (2,874 test shapes of 16 categories) with the paper's network, pretrained on ShapeNet",
    test_samples=2874,
    columns=(0.01, 0.05, 1.0),
    blocks=(
        Block("C.mIoU", PRESENT, mean_over_parts, PAPER_CATEGORY_MEAN, OVER_CATEGORIES),
        Block("I.mIoU", PRESENT, mean_over_samples, PAPER_SHAPE_MEAN, OVER_SHAPES),
        Block("C.mIoU, absent parts count 1", ABSENT, mean_over_parts, {}, CONVENTIONS),
        Block("I.mIoU, absent parts count 1", ABSENT, mean_over_samples, {}, SAME_CONVENTION),
    ),
    locate=locate,
    part="category",
    parts="categories",
)

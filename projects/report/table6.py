"""Table 6 of the paper: shape classification on ModelNet40, the networks pretrained on ShapeNet."""

from __future__ import annotations

from projects.report.point_cloud_row import PROTOCOLS, point_cloud_row
from projects.report.table import Block, Place, Table, mean_over_parts
from projects.training.records import Record

PAPER_ACCURACY = {  # percent, as printed in the paper; its row FoldingNet is empty in the text we have
    "FoldingNet (lin)": (None, None, None, None, None, None),
    "MID-FC (lin)": (61.5, 73.1, 80.2, 84.2, 86.9, 90.3),
    "Ours (lin)": (66.7, 74.3, 80.0, 84.5, 87.2, 90.5),
    "Scratch": (58.5, 71.2, 80.1, 85.4, 88.7, 92.9),
    "MID-FC (ft)": (67.3, 76.5, 83.6, 88.4, 90.2, 93.0),
    "Ours (ft)": (71.3, 78.5, 84.9, 88.6, 90.6, 93.0),
}


def locate(record: Record) -> Place | None:
    """The place of a classification, None for other tasks and protocols."""
    if record.task != "shape classification" or record.protocol not in PROTOCOLS:
        return None
    return Place(point_cloud_row(record), record.ratio)


TABLE_6 = Table(
    number="6",
    title="shape classification",
    setting="from ModelNet40 (2,468 test shapes of 40 categories) with the paper's network, pretrained on ShapeNet",
    test_samples=2468,
    columns=(0.01, 0.02, 0.05, 0.1, 0.2, 1.0),
    blocks=(Block("accuracy", "accuracy", mean_over_parts, PAPER_ACCURACY),),
    locate=locate,
)

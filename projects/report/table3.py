"""Table 3 of the paper: quantization beside other augmentations that know nothing of images."""

from __future__ import annotations

from projects.report.image_run import place_by_framework
from projects.report.image_table import FROM_IMAGENET, KNN_BLOCK, TOP_5_BLOCK, ImageTable, accuracy_block
from projects.report.table import Place
from projects.training.records import Record

PAPER_ACCURACY = {  # percent, as printed in the paper; table 4 has 49.4 for RRC with BYOL
    "CR": (10.1, 9.9),
    "CR + DACL": (32.7, 33.2),
    "CR + i-Mix": (30.3, 28.7),
    "CR + SSQL": (11.1, 6.4),
    "CR + Ours": (42.9, 43.0),
    "RRC": (50.0, 49.3),
    "RRC + DACL": (57.2, 57.6),
    "RRC + i-Mix": (55.4, 49.9),
    "RRC + SSQL": (42.9, 49.3),
    "RRC + Ours": (67.9, 67.2),
}
ROWS = {row.replace(" + Ours", "+RQ"): row for row in PAPER_ACCURACY}
"""By method."""


def locate(record: Record) -> Place | None:
    """The place of a network pretrained with a crop alone, with quantization, or with a baseline of it."""
    return place_by_framework(record, ROWS)


TABLE_3 = ImageTable(
    number="3",
    title="domain-agnostic augmentations",
    setting=f"{FROM_IMAGENET}, 100 epochs and 8 bins",
    columns=("MoCo-v3", "BYOL"),
    blocks=(accuracy_block(PAPER_ACCURACY), TOP_5_BLOCK, KNN_BLOCK),
    locate=locate,
)

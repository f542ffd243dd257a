"""Table 4 of the paper: quantization beside augmentations made for images."""

from __future__ import annotations

from projects.report.image_run import place_by_framework
from projects.report.image_table import FROM_IMAGENET, KNN_BLOCK, TOP_5_BLOCK, ImageTable, accuracy_block
from projects.report.table import Place
from projects.training.records import Record

PAPER_ACCURACY = {  # percent, as printed in the paper; table 3 has 49.3 for RRC with BYOL
    "Ours": (42.9, 43.0),
    "RRC": (50.0, 49.4),
    "RRC + CJ": (60.1, 61.1),
    "RRC + Ours": (67.9, 67.2),
    "Full": (68.9, 68.9),
}
ROWS = {"CR+RQ": "Ours", "RRC": "RRC", "RRC+CJ": "RRC + CJ", "RRC+RQ": "RRC + Ours", "Full": "Full"}
"""By method; "Ours" alone is with a centre crop, as its numbers in table 3 tell."""
ABOUT = (
    "CJ is colour jitter; Full adds grey, blur, solarisation and flips. "
    "For RRC with BYOL the paper prints 49.4 here and 49.3 in table 3."
)


def locate(record: Record) -> Place | None:
    """The place of a network pretrained with quantization or colour changes."""
    return place_by_framework(record, ROWS)


TABLE_4 = ImageTable(
    number="4",
    title="augmentations for images",
    setting=f"{FROM_IMAGENET}, 100 epochs and 8 bins",
    columns=("MoCo-v3", "BYOL"),
    blocks=(accuracy_block(PAPER_ACCURACY, ABOUT), TOP_5_BLOCK, KNN_BLOCK),
    locate=locate,
)

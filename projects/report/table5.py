"""Table 5 of the paper: quantization beside mean shift with weak views."""

from __future__ import annotations

from projects.report.image_run import image_run
from projects.report.image_table import (
    FROM_IMAGENET,
    TOP_5_BLOCK,
    ImageTable,
    accuracy_block,
    epochs_column,
    epochs_of_column,
)
from projects.report.table import Place
from projects.training.records import Record

PAPER_ACCURACY = {  # percent, as printed in the table; section 5.1 has 71.9 instead of 71.6
    "MSF w/w": (None, 66.3, None),
    "Ours": (67.9, None, 71.6),
}


def locate(record: Record) -> Place | None:
    """The place of mean shift, and of quantization with MoCo v3, whose numbers the paper gives here."""
    run = image_run(record)
    if run is None or not run.quantizes_as_section_5:
        return None
    if run.method == "MSF":
        return Place("MSF w/w", epochs_column(run.epochs))
    if run.method == "RRC+RQ" and run.framework == "MoCo-v3":
        return Place("Ours", epochs_column(run.epochs))
    return None


TABLE_5 = ImageTable(
    number="5",
    title="quantization and mean shift",
    setting=f"{FROM_IMAGENET} and 8 bins",
    columns=("100-ep", "200-ep", "300-ep"),
    blocks=(accuracy_block(PAPER_ACCURACY), TOP_5_BLOCK),
    locate=locate,
    column_order=epochs_of_column,
)

"""Table 2 of the paper: images quantized for more and more epochs."""

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

PAPER_ACCURACY = {  # percent, as printed in the paper
    "MoCo-v3": (67.9, 71.6, 72.1),
    "BYOL": (67.2, 71.0, 71.6),
}


def locate(record: Record) -> Place | None:
    """The place of a network pretrained with random resized crop and quantization."""
    run = image_run(record)
    if run is None or run.method != "RRC+RQ" or not run.quantizes_as_section_5:
        return None
    return Place(run.framework, epochs_column(run.epochs))


TABLE_2 = ImageTable(
    number="2",
    title="epochs of pretraining",
    setting=f"{FROM_IMAGENET} and 8 bins",
    columns=("100-ep", "300-ep", "800-ep"),
    blocks=(accuracy_block(PAPER_ACCURACY), TOP_5_BLOCK),
    locate=locate,
    column_order=epochs_of_column,
)

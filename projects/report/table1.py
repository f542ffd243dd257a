"""Table 1 of the paper: what random bins and random reproduction values do for images."""

from __future__ import annotations

from projects.report.image_run import image_run
from projects.report.image_table import FROM_IMAGENET, KNN_BLOCK, TOP_5_BLOCK, ImageTable, accuracy_block
from projects.report.table import Place
from projects.training.records import Record

PAPER_ACCURACY = {  # percent, as printed in the paper; it calls the first row "baseline" and the others "+ quantize"
    "RRC": (50.0,),
    "+ uniform bins, midpoints": (54.8,),
    "+ uniform bins, random values": (62.6,),
    "+ random bins, midpoints": (66.0,),
    "+ random bins, random values": (67.9,),
}
ROWS = {  # by method, number of bins, whether these are random, and whether the values are
    ("RRC", 0, True, True): "RRC",
    ("RRC+RQ", 8, False, False): "+ uniform bins, midpoints",
    ("RRC+RQ", 8, False, True): "+ uniform bins, random values",
    ("RRC+RQ", 8, True, False): "+ random bins, midpoints",
    ("RRC+RQ", 8, True, True): "+ random bins, random values",
}


def locate(record: Record) -> Place | None:
    """The place of a network pretrained by MoCo v3 with eight bins or none."""
    run = image_run(record)
    if run is None or run.framework != "MoCo-v3" or not run.has_length_of_ablations:
        return None
    row = ROWS.get((run.method, run.bins, run.random_edges, run.random_values))
    return None if row is None else Place(row, run.framework)


TABLE_1 = ImageTable(
    number="1",
    title="random bins and values",
    setting=f"{FROM_IMAGENET}, 100 epochs and 8 bins",
    columns=("MoCo-v3",),
    blocks=(accuracy_block(PAPER_ACCURACY), TOP_5_BLOCK, KNN_BLOCK),
    locate=locate,
)

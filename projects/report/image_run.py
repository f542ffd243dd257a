"""How the network of an image record was pretrained, as far as the paper's tables tell networks apart."""

from __future__ import annotations

from dataclasses import dataclass

from projects.report.table import Place
from projects.training.records import Record

FRAMEWORKS = {"MoCo v3": "MoCo-v3", "BYOL": "BYOL"}
"""As records name them, and as the paper prints them."""
PROTOCOLS = {"accuracy": "linear probe", "top-5 accuracy": "linear probe", "kNN accuracy": "kNN"}
"""What measures a metric."""
IMAGENET_TEST = 50_000
"""Test images of ImageNet, the paper's data."""


@dataclass(frozen=True)
class ImageRun:
    """A pretraining.

    Args:
        framework: "MoCo-v3" or "BYOL".
        method: augmentation and baseline: "RRC+RQ", "CR + DACL", …; "MSF" for that method with its own weak views.
        bins: of the quantization, 0 for none.
        random_edges, random_values: of the quantization; True where there is none.
        epochs: its length.
        on_imagenet: whether it was measured on the paper's data.
    """

    framework: str
    method: str
    bins: int
    random_edges: bool
    random_values: bool
    epochs: int
    on_imagenet: bool

    @property
    def quantizes_as_section_5(self) -> bool:
        """Not at all, or by eight random bins with random values; all else is for table 1 and figure 5."""
        return self.bins in (0, 8) and self.random_edges and self.random_values

    @property
    def has_length_of_ablations(self) -> bool:
        """100 epochs on ImageNet, where longer runs are for tables 2 and 5; any number on other data."""
        return self.epochs == 100 or not self.on_imagenet


def image_run(record: Record) -> ImageRun | None:
    """The pretraining that a record measures.

    None for records of other tasks and protocols, and for networks that no table or figure of the paper could have:
    untrained ones, those of which nothing is known, and those that saw only a part of their views quantized.
    """
    if record.task != "image classification" or record.ratio != 1 or record.protocol != PROTOCOLS.get(record.metric):
        return None
    try:
        pretraining = record.config["pretraining"]
        augmentation = pretraining["augmentation"]
        framework, baseline, epochs = (
            FRAMEWORKS[pretraining["framework"]],
            pretraining["baseline"],
            pretraining["epochs"],
        )
        bins, p = augmentation["bins"], augmentation["p"]
        edges, values = augmentation["random_edges"], augmentation["random_values"]
    except (KeyError, TypeError):  # nothing is known, or it is written by other software
        return None
    if not isinstance(epochs, int) or not isinstance(bins, int) or (bins and p != 1):
        return None
    if record.method == "MSF" and baseline != "MSF":  # its weak views without its loss
        return None
    edges, values = bool(edges or not bins), bool(values or not bins)
    return ImageRun(framework, record.method, bins, edges, values, epochs, record.test_samples == IMAGENET_TEST)


def place_by_framework(record: Record, rows: dict[str, str]) -> Place | None:
    """The place in a table with a column for every framework.

    Args:
        record: what was measured.
        rows: the table's rows by method.
    """
    run = image_run(record)
    if run is None or run.method not in rows or not (run.quantizes_as_section_5 and run.has_length_of_ablations):
        return None
    return Place(rows[run.method], run.framework)

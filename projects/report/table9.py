"""Table 9 of the paper: linear evaluation of encoders of sounds on six tasks."""

from __future__ import annotations

import re
from typing import Any

from projects.report.table import Block, Place, Table, mean_over_parts
from projects.training.records import Record

AVERAGE = "Average"
PAPER_ACCURACY = {  # percent, as printed in the paper, which has two rows named "COLA [59]"
    "TRILL": (None, None, 17.9, 88.1, 74.9, None, None),
    "COLA": (63.4, None, 29.9, 71.3, 71.7, 62.4, None),
    "OpenL3": (None, 78.2, None, None, None, None, None),
    "COALA": (73.1, 72.7, None, None, None, None, None),
    "COLA, second row": (70.2, 78.5, 30.4, 79.5, 76.7, 76.8, 68.7),
    "BYOL-A": (74.1, 79.1, 40.1, 90.2, 91.0, 92.2, 77.8),
    "Ours": (74.2, 78.0, 45.7, 92.6, 95.1, 92.1, 79.6),
}
ROWS = {"RRC+Mixup": "BYOL-A", "RRC+RQ": "Ours"}
"""By method; other methods have rows of their own."""
PROTOCOLS = {"accuracy": "linear evaluation", "kNN accuracy": "kNN"}

_MIXUP = {"mixup": 0.4}
_QUANTIZATION = {"bins": 5, "per_frequency": False, "quantize_first": False, "random_edges": True}
_QUANTIZATION |= {"random_values": True, "p": 1.0}
_READINGS = {"per_frequency": "per frequency", "quantize_first": "before the crop"}


def locate(record: Record) -> Place | None:
    """The place of an evaluation; columns are tasks, "VF by speaker" being none of the paper's."""
    task = record.config.get("task")
    if record.task != "sound classification" or record.protocol != PROTOCOLS.get(record.metric):
        return None
    return Place(_row(record), task) if isinstance(task, str) and task else None


def _row(record: Record) -> str:
    """The paper's row, unless something was done in another way than it says, or by others."""
    pretraining = record.config.get("pretraining")
    pretraining = pretraining if isinstance(pretraining, dict) else {}
    if record.method == "BYOL-A" and "weights of" in pretraining:
        return _published(str(pretraining["weights of"]))
    augmentation = pretraining.get("augmentation")
    return _row_of_ours(record.method, augmentation if isinstance(augmentation, dict) else {})


def _row_of_ours(method: str, augmentation: dict[str, Any]) -> str:
    usual = {**(_MIXUP if "Mixup" in method else {}), **(_QUANTIZATION if "RQ" in method else {})}
    others = {name: augmentation[name] for name in usual if augmentation.get(name, usual[name]) != usual[name]}
    method = method.removesuffix(f" ({', '.join(_READINGS[name] for name in others if name in _READINGS)})")
    words = [_READINGS.get(name, f"{name} {value}") for name, value in others.items()]
    return f"{method} ({', '.join(words)})" if words else ROWS.get(method, method)


def _published(file: str) -> str:
    """The row of weights of nttcslab, by the dimensions that their file's name tells."""
    dimensions = re.search(r"d(\d+)", file)
    return f"BYOL-A, published {dimensions[1]}-d" if dimensions else f"BYOL-A, published ({file})"


TABLE_9 = Table(
    number="9",
    title="sounds",
    setting="of encoders pretrained on AudioSet; the rows above BYOL-A are of other methods",
    test_samples=0,
    columns=("NS", "US8K", "VC1", "VF", "SPCV2/12", "SPCV2", AVERAGE),
    blocks=(
        Block(
            "accuracy",
            "accuracy",
            mean_over_parts,
            PAPER_ACCURACY,
            'By a linear layer on frozen embeddings. Measured, "Ours" has one quantizer for a view, after the crop; '
            "other readings of the paper, and weights that others published, have rows of their own.",
        ),
        Block(
            "kNN accuracy",
            "kNN accuracy",
            mean_over_parts,
            {},
            "By the nearest neighbours among the training sounds, after a pretraining; the paper does not give it.",
        ),
    ),
    locate=locate,
    samples="sounds",
    data="data",
    of_seed=("weights", "pretraining.seed"),  # every seed may have a pretraining of its own
    columns_are_data=True,
    average=AVERAGE,
)

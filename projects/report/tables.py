"""The paper's tables and the row and column that a run record belongs to.

The numbers, rows and columns are data in ``tables.yaml``. This module reads them, and describes a record by the fields
that the rows of the tables refer to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from projects.training.records import Record

SOURCE = "Wu et al., Randomized Quantization, ICCV 2023"
IMAGENET_TEST = 50_000
FRAMEWORKS = {"MoCo v3": "MoCo-v3", "BYOL": "BYOL"}
"""Names in records and in the paper."""
SHAPE_PROTOCOLS = ("lin", "ft", "scratch", "kNN")

Column = float | str
"""A label ratio in (0, 1], or a name."""


@dataclass(frozen=True)
class Match:
    """The cell that a record belongs to.

    Args:
        row: method, named as in the paper if it is in the paper.
        column: label ratio or name.
        part: category that the record is about, if a cell is the mean over several records; else "".
        parts: number of records in a complete cell.
    """

    row: str
    column: Column
    part: str = ""
    parts: int = 1


@dataclass(frozen=True)
class Block:
    """One metric of a table.

    Args:
        name: heading, as in the paper.
        metric: metric of the records.
        paper: the paper's numbers in percent: one per column of the table for each row, None where it has none.
        mean_over: "parts" or "samples": whether every part or every test sample has the same weight in a cell.
        note: a sentence for the reader.
    """

    name: str
    metric: str
    paper: dict[str, tuple[float | None, ...]] = field(default_factory=dict)
    mean_over: str = "parts"
    note: str = ""

    def combine(self, values: Sequence[float], sizes: Sequence[int]) -> float:
        """Return the value of a cell from the values of its parts and their numbers of test samples."""
        if self.mean_over == "samples":
            return sum(value * size for value, size in zip(values, sizes, strict=True)) / sum(sizes)
        return sum(values) / len(values)


@dataclass(frozen=True)
class Table:
    """One table of the paper; see the head of ``tables.yaml`` for the fields that are not described here.

    Args:
        number: number of the table, such as "6".
        describe: returns the fields that ``match``, ``rows``, ``row`` and ``column`` refer to, or None for a record
            of another kind.
        blocks: metrics; the first one has all rows of the paper.
    """

    number: str
    title: str
    setting: str
    describe: Callable[[Record], Mapping[str, Any] | None]
    columns: tuple[Column, ...]
    blocks: tuple[Block, ...]
    column: str
    row: str = ""
    rows: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    match: Mapping[str, Any] = field(default_factory=dict)
    samples: str = "shapes"
    data: str = "store"
    test_samples: int = 0
    part: str = ""
    parts: str = ""
    column_order: str = ""
    per_seed: Sequence[str] = ()
    columns_are_data: bool = False
    average: str = ""

    @property
    def paper_rows(self) -> tuple[str, ...]:
        """The paper's rows, in order."""
        return tuple(self.blocks[0].paper)

    @property
    def columns_are_ordered(self) -> bool:
        """Whether the columns lie along an axis, as label ratios and numbers of epochs or bins do."""
        return bool(self.column_order) or not any(isinstance(column, str) for column in self.columns)

    def find(self, record: Record) -> Match | None:
        """Return the cell that a record belongs to, or None if it is not in this table."""
        if not any(record.metric == block.metric for block in self.blocks):
            return None
        described = self.describe(record)
        if described is None or not _agrees(described, self.match):
            return None
        fallback = described[self.row] if self.row else None
        row = next((name for name, condition in self.rows.items() if _agrees(described, condition)), fallback)
        if row is None:
            return None
        return Match(row, described[self.column], described.get("part", ""), described.get("parts", 1))

    def paper(self, block: Block, row: str, column: Column) -> float | None:
        """Return the paper's number in percent, or None if it has none."""
        return dict(zip(self.columns, block.paper.get(row, (None,) * len(self.columns)), strict=True)).get(column)

    def sort_columns(self, columns: Sequence[Column]) -> list[Column]:
        """Sort label ratios by size and numbered columns by their number; other names keep their order."""
        if self.column_order:
            return sorted(columns, key=number_in)
        return list(columns) if any(isinstance(column, str) for column in columns) else sorted(columns)


def _agrees(described: Mapping[str, Any], condition: Mapping[str, Any]) -> bool:
    return all(described[name] in (value if isinstance(value, list) else [value]) for name, value in condition.items())


def number_in(column: str) -> int:
    """Return the number in the name of a column: 300 for "300-ep", 0 for "no bins"."""
    found = re.search(r"\d+", column)
    return int(found[0]) if found else 0


def column_label(column: Column) -> str:
    """Return a label ratio in percent, or the column's name."""
    return column if isinstance(column, str) else f"{100 * column:g} %"


# Descriptions of records


def _describe_shapes(record: Record) -> dict[str, Any] | None:
    if (record.protocol == "kNN") != (record.metric == "kNN accuracy") or record.protocol not in SHAPE_PROTOCOLS:
        return None
    name = f"{record.method} ({record.protocol})"
    return {
        "task": record.task,
        "method": record.method,
        "protocol": record.protocol,
        "name": name,
        "ratio": record.ratio,
    }


def _describe_parts(record: Record) -> dict[str, Any] | None:
    described = _describe_shapes(record)
    category, categories = record.config.get("category"), record.config.get("categories")
    if described is None or not isinstance(category, str) or not isinstance(categories, int):
        return None
    return {**described, "part": category, "parts": categories}


def _describe_images(record: Record) -> dict[str, Any] | None:
    """Describe the pretraining of an image encoder.

    None for other tasks and protocols, and for networks that no table of the paper could contain: untrained ones, those
    with unknown pretraining, and those that saw only a part of the augmented samples quantized.

    ``default_quantizer``: not quantized at all, or by eight random bins with random values, as in all tables but the
    first. ``ablation_epochs``: 100 epochs on ImageNet (longer runs belong to tables 2 and 5), any number on other data.
    Both random options count as True without quantization.
    """
    protocol = {"accuracy": "linear probe", "top-5 accuracy": "linear probe", "kNN accuracy": "kNN"}.get(record.metric)
    if record.task != "image classification" or record.ratio != 1 or record.protocol != protocol:
        return None
    try:
        pretraining = record.config["pretraining"]
        augmentation = pretraining["augmentation"]
        framework, baseline = FRAMEWORKS[pretraining["framework"]], pretraining["baseline"]
        epochs, bins, p = pretraining["epochs"], augmentation["bins"] or 0, augmentation["p"]
        edges, values = augmentation["random_edges"], augmentation["random_values"]
    except (KeyError, TypeError):  # unknown pretraining, or a record of other software
        return None
    if not isinstance(epochs, int) or not isinstance(bins, int) or (bins and p != 1):
        return None
    if record.method == "MSF" and baseline != "MSF":  # its weak augmentation without its loss
        return None
    edges, values = bool(edges or not bins), bool(values or not bins)
    return {
        "framework": framework,
        "method": record.method,
        "bins": bins,
        "bins_name": f"{bins} bins" if bins else "no bins",
        "random_edges": edges,
        "random_values": values,
        "length": f"{epochs}-ep",
        "default_quantizer": bins in (0, 8) and edges and values,
        "ablation_epochs": epochs == 100 or record.test_samples != IMAGENET_TEST,
    }


def _describe_sounds(record: Record) -> dict[str, Any] | None:
    """Describe a linear evaluation of a sound encoder by its task and method."""
    task = record.config.get("task")
    protocol = {"accuracy": "linear evaluation", "kNN accuracy": "kNN"}.get(record.metric)
    if record.task != "sound classification" or record.protocol != protocol or not isinstance(task, str) or not task:
        return None
    return {"task": task, "method": _sound_method(record)}


_PAPER_AUGMENTATION = {
    "Mixup": {"mixup": 0.4},
    "RQ": {
        "bins": 5,
        "per_frequency": False,
        "quantize_first": False,
        "random_edges": True,
        "random_values": True,
        "p": 1.0,
    },
}
_OPTION_NAMES = {"per_frequency": "per frequency", "quantize_first": "before the crop"}


def _sound_method(record: Record) -> str:
    """Return the method, with what differs from the paper in parentheses; the file of published weights is named."""
    pretraining = record.config.get("pretraining")
    pretraining = pretraining if isinstance(pretraining, dict) else {}
    if record.method == "BYOL-A" and "weights of" in pretraining:
        file = str(pretraining["weights of"])
        dimensions = re.search(r"d(\d+)", file)
        return f"BYOL-A, published {dimensions[1]}-d" if dimensions else f"BYOL-A, published ({file})"
    augmentation = pretraining.get("augmentation")
    augmentation = augmentation if isinstance(augmentation, dict) else {}
    paper = {k: v for name, options in _PAPER_AUGMENTATION.items() if name in record.method for k, v in options.items()}
    others = {name: augmentation[name] for name in paper if augmentation.get(name, paper[name]) != paper[name]}
    method = record.method.removesuffix(
        f" ({', '.join(_OPTION_NAMES[name] for name in others if name in _OPTION_NAMES)})"
    )
    words = [_OPTION_NAMES.get(name, f"{name} {value}") for name, value in others.items()]
    return f"{method} ({', '.join(words)})" if words else method


# Loading


def _load(number: str, data: dict[str, Any]) -> Table:
    describe = {
        "shapes": _describe_shapes,
        "parts": _describe_parts,
        "images": _describe_images,
        "sounds": _describe_sounds,
    }[data.pop("records")]
    blocks = []
    for block in data.pop("blocks"):
        paper = {row: tuple(numbers) for row, numbers in block.get("paper", {}).items()}
        blocks.append(Block(**{**block, "paper": paper}))
    return Table(number, describe=describe, blocks=tuple(blocks), columns=tuple(data.pop("columns")), **data)


_content = yaml.safe_load(Path(__file__).with_name("tables.yaml").read_text(encoding="utf-8"))
TABLES = {number: _load(number, data) for number, data in _content["tables"].items()}
FIGURE_5 = _load("5", _content["figures"]["5"])

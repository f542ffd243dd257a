"""Run records: what was measured, on which data and with which config, in ``results.json`` of a run folder."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, get_origin, get_type_hints

from pcrq import InputError, __version__
from pcrq.files import write_text

FORMAT = "pcrq-results"
VERSION = 3
"""Increases when older software can no longer read the file."""

_RENAMED = {
    1: {"train_shapes": "train_samples", "test_shapes": "test_samples", "arm": "method"},
    2: {"arm": "method"},
}
"""Fields of older versions by their names of today."""

NETWORK = {"bn_momentum": 0.1, "bn_eps": 1e-5, "init": "default"}
"""Values of MID-Net before they were options, which older records and checkpoints lack."""


@dataclass(frozen=True)
class Record:
    """One measured number.

    Args:
        method: name of the compared method in the report: "scratch", "MID", "MID + quantization", …
        protocol: kind of the measurement: "linear, logistic regression", "lin", "ft", …
        metric: "accuracy", "mIoU", …
        value: the number; accuracies and IoUs are in [0, 1].
        ratio: fraction of the labels that were used, in (0, 1].
        seed: random seed of labels and weights.
        store, digest: name and fingerprint of the data: a shape store, a sound store, an image source.
        train_samples, test_samples: sizes of the splits that were used.
        task: "shape classification", "part segmentation", …; "" in older files.
        config: everything else that determines the number; plain values.
        seconds: duration since its last start.
        code: version of the software.
    """

    method: str
    protocol: str
    metric: str
    value: float
    ratio: float
    seed: int
    store: str
    digest: str
    train_samples: int
    test_samples: int
    task: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    code: str = ""

    @property
    def key(self) -> tuple:
        """Equal for two measurements of the same thing."""
        config = json.dumps(self.config, sort_keys=True)
        return (self.task, self.method, self.protocol, self.metric, self.ratio, self.seed, self.digest, config)


def append_records(path: Path, records: list[Record]) -> None:
    """Append measurements to a results file, or create it; the file is replaced atomically.

    A measurement that the file already contains, by its key, is left as it is: a resumed run may measure again.
    """
    known = read_records(path) if path.exists() else []
    keys = {record.key for record in known}
    known += [record for record in records if record.key not in keys]
    content = {"format": FORMAT, "version": VERSION, "records": [asdict(record) for record in known]}
    write_text(path, json.dumps(content, indent=1) + "\n")


def read_records(path: Path) -> list[Record]:
    """The measurements of a results file, in the order in which they were made.

    Raises:
        InputError: the file is missing or is not a results file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']!r}")
        if content["version"] not in range(1, VERSION + 1):
            raise ValueError(f"version {content['version']!r}, not 1 to {VERSION}")
        return [_checked(Record(**_upgraded(record, content["version"]))) for record in content["records"]]
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such results file") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: not a results file of pcrq ({error}); remove it and measure again") from error


def _upgraded(record: dict[str, Any], version: int) -> dict[str, Any]:
    """A record of any version with the names of this one."""
    record = {_RENAMED.get(version, {}).get(name, name): value for name, value in record.items()}
    if not isinstance(record.get("config", {}), dict):
        return record
    config = dict(record.get("config", {}))
    if isinstance(config.get("network"), dict):
        config["network"] = _completed(config["network"], NETWORK)
    if "full_depth" in config:  # of 'pcrq probe'
        config = _completed(config, NETWORK)
    if isinstance(config.get("pretraining"), dict):
        config["pretraining"] = upgraded_pretraining(config["pretraining"])
    if "view" in config:  # of fine-tuning
        config["augmentation"] = {**config.pop("view"), "uniform_scale": True}
    return {**record, "config": config}


def _completed(values: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """Add missing values at the end, so that the order of a complete record does not change."""
    return {**values, **{name: value for name, value in defaults.items() if name not in values}}


def upgraded_pretraining(pretraining: dict[str, Any]) -> dict[str, Any]:
    """The description of a pretraining in older records and checkpoints, with names and values of this version."""
    renamed = {"rival": "baseline", "rival_options": "baseline_options"}
    pretraining = {renamed.get(name, name): value for name, value in pretraining.items()}
    if pretraining.get("bins") == 0:  # no quantization
        pretraining["bins"] = None
    if isinstance(pretraining.get("augmentation"), dict):
        pretraining["augmentation"] = upgraded_pretraining(pretraining["augmentation"])
    if isinstance(pretraining.get("optimization"), dict):  # of images, before these were options
        former = {"optimizer": "lars", "final_momentum": 1.0}
        pretraining["optimization"] = _completed(pretraining["optimization"], former)
    return pretraining


def _checked(record: Record) -> Record:
    """The record, after checking the types of its fields."""
    for name, kind in get_type_hints(Record).items():
        kinds = (int, float) if kind is float else get_origin(kind) or kind
        if not isinstance(getattr(record, name), kinds):
            raise TypeError(f"{name} {getattr(record, name)!r} of a record is not of type {kind.__name__}")
    return record


def known_records(path: Path) -> dict[tuple, Record]:
    """The measurements of a results file by their keys; empty if there is no file.

    Raises:
        InputError: the file is not a results file.
    """
    return {record.key: record for record in read_records(path)} if path.exists() else {}


@cache  # git runs once
def code_version() -> str:
    """The version of the software, with the commit if it runs from a checkout."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return __version__
    describe = ["git", "-C", str(root), "describe", "--always", "--dirty"]
    try:
        commit = subprocess.run(describe, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return __version__
    return f"{__version__} ({commit})"


def check_resume_config(checkpoint: object, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Check that a run is resumed with the options that it was started with.

    Args:
        checkpoint: the file that the run is resumed from.
        before, now: plain values by the names of the options; entries of ``before`` alone are ignored.

    Raises:
        InputError: a value of ``now`` differs.
    """
    different = [
        text for name in now if before.get(name) != now[name] for text in _different(name, before.get(name), now[name])
    ]
    if different:
        raise InputError(
            f"{checkpoint}: trained with another {', '.join(different)}; resume with the same, or start anew in "
            "another --out"
        )


def _different(name: str, before: object, now: object) -> list[str]:
    """Name an option, or the entries of a group of options that differ, with their values of before."""
    if not isinstance(before, dict) or not isinstance(now, dict):
        return [name]
    entries = (key for key in {**before, **now} if key not in before or key not in now or before[key] != now[key])
    return [f"{name}.{key} ({before.get(key)})" for key in entries]

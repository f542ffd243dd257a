"""What the evaluations of encoders write into run records."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pcrq.errors import InputError
from projects.image.augmentation import Augmentation
from projects.image.sources import ImageSource
from projects.training.records import Record, append_records, code_version, known_records

UNTRAINED = "untrained"


def method_name(pretraining: Mapping[str, Any]) -> str:
    """What the report calls a pretraining: "RRC+RQ", "CR + i-Mix", "MSF"; "untrained" where there was none.

    Args:
        pretraining: plain values as a checkpoint has them, with "augmentation" and "baseline".

    Raises:
        InputError: it is not known what they mean.
    """
    if not pretraining.get("augmentation"):
        return UNTRAINED
    try:
        augmentation = Augmentation(**pretraining["augmentation"]).name
    except TypeError as error:
        raise InputError(f"a checkpoint tells of another augmentation ({error}); it is damaged or newer") from error
    baseline = pretraining.get("baseline", "")
    return augmentation if baseline in ("", augmentation) else f"{augmentation} + {baseline}"


def record_evaluation(
    folder: Path,
    values: Mapping[str, float],
    *,
    method: str,
    protocol: str,
    seed: int,
    train: ImageSource,
    test: ImageSource,
    most: int | None = None,
    config: dict[str, Any],
    seconds: float,
) -> Path:
    """Append what was measured to the results of a run; what is recorded already is not recorded again.

    Args:
        folder: of the run.
        values: by the name of the metric, in [0, 1].
        method, protocol, seed, config, seconds: as for :class:`projects.training.records.Record`.
        train, test: the labelled images.
        most: of each so many were looked at, if not all.

    Returns:
        The results file.
    """
    results = folder / "results.json"
    train_samples, test_samples = (len(source) if most is None else min(most, len(source)) for source in (train, test))
    records = [
        Record(
            method=method,
            protocol=protocol,
            metric=metric,
            value=value,
            ratio=1.0,
            seed=seed,
            store=test.name,
            digest=hashlib.sha256(f"{train.digest}\n{test.digest}".encode()).hexdigest(),
            train_samples=train_samples,
            test_samples=test_samples,
            task="image classification",
            config=config,
            seconds=round(seconds, 1),
            code=code_version(),
        )
        for metric, value in values.items()
    ]
    known = known_records(results)
    append_records(results, [record for record in records if record.key not in known])
    return results

"""What a quick start does; the defaults take a few minutes on two CPU cores."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pcrq.errors import InputError
from pcrq.files import write_text


@dataclass(frozen=True)
class Method:
    """One pretraining to compare.

    Args:
        name: as in the report.
        folder: name of its run folder; "" for a method without pretraining.
        bins: bins of the quantizer, 0 for none.
    """

    name: str
    folder: str
    bins: int


METHODS = (Method("scratch", "", 0), Method("MID", "mid", 0), Method("MID + quantization", "mid_rq", 30))


@dataclass(frozen=True)
class Settings:
    """Sizes and budgets.

    Args:
        count: shapes of each of the built-in categories; one in five is a test shape.
        epochs: passes over the training shapes, the same for every method.
        batch_size: half of the paper's, for more steps out of few shapes.
        seed: draws shapes, weights, views and the order of shapes.
        ratios: parts of the labels that the probes see.
        probe_seeds: draws of the labels per ratio.
        network: the architecture, as :class:`octree.midnet.MIDNetConfig` takes it.

    Raises:
        InputError: a value is out of range.
    """

    count: int = 16
    epochs: int = 80
    batch_size: int = 16
    seed: int = 0
    ratios: tuple[float, ...] = (0.05, 0.1, 0.2, 0.5, 1.0)
    probe_seeds: int = 5
    network: dict = field(
        default_factory=lambda: {"depth": 5, "full_depth": 2, "width": 32, "blocks": 1, "nempty": True}
    )

    def __post_init__(self) -> None:
        if self.count < 5:
            raise InputError(f"--count {self.count}: choose at least 5, so that every category has a test shape")
        if self.epochs < 1:
            raise InputError(f"--epochs {self.epochs}: choose at least 1")
        if self.seed < 0:
            raise InputError(f"--seed {self.seed}: choose 0 or more")

    @property
    def milestones(self) -> list[int]:
        """Epochs after which the learning rate falls: later than the paper's 1/2 and 3/4, as the budget is so short."""
        return [self.epochs * 7 // 10, self.epochs * 9 // 10]


def claim_folder(folder: Path, settings: Settings) -> None:
    """Create the folder of a quick start, or recognise it as one with the same settings.

    Raises:
        InputError: the folder holds something else.
    """
    marker = folder / "quickstart.json"
    ours = json.loads(json.dumps(asdict(settings)))
    if marker.exists():
        try:
            theirs = json.loads(marker.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{marker}: damaged ({error}); choose another --out") from error
        if theirs != ours:
            raise InputError(f"{folder}: holds a quick start with other settings; choose another --out or remove it")
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: exists and is no quick start; choose another --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be created ({error.strerror}); choose another --out") from error
    write_text(marker, json.dumps(ours, indent=1) + "\n")

"""What a training leaves in its run folder, as the tests look at it."""

import csv
from pathlib import Path

import torch


def logged(run: Path, name: str = "loss", version: int = -1) -> list[float]:
    """A logged column, from the given start of the run (the last by default)."""
    versions = sorted((run / "logs").glob("version_*"), key=lambda folder: int(folder.name.split("_")[1]))
    with (versions[version] / "metrics.csv").open() as file:
        return [float(row[name]) for row in csv.DictReader(file) if row.get(name)]


def saved(run: Path) -> dict:
    """The last checkpoint."""
    return torch.load(run / "checkpoints/last.ckpt", weights_only=True)


def assert_equal_ends(first: Path, second: Path) -> None:
    """Both runs ended with the same weights, to the bit."""
    states = [saved(run)["state_dict"] for run in (first, second)]
    assert states[0].keys() == states[1].keys()
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name

"""The command line of classification."""

from __future__ import annotations

from pathlib import Path

from projects.point_cloud.classify.lin import lin
from projects.point_cloud.classify.module import Classification
from projects.point_cloud.fine_tuning_cli import FineTuningCLI
from projects.point_cloud.labelled_data import ClassificationData
from projects.point_cloud.table_sweep import classify_sweep
from projects.training.cli import run_training


class ClassifyCLI(FineTuningCLI):
    """``python -m projects.point_cloud.classify fit``"""

    program = "classify"
    module = "projects.point_cloud.classify"
    task = "shape classification"
    description = """\
Train a classifier of shapes from a pretrained backbone ("ft") or from nothing ("scratch"), test it and record it.

The options that matter are explained in projects/point_cloud/README.md; the others are Lightning's.
"""
    default_run_dir = Path("runs/classify")

    def __init__(self, args: list[str] | None = None):
        super().__init__(Classification, ClassificationData, args)


def main(args: list[str] | None = None) -> int:
    """Run the command line; returns the exit status, as run_training does."""
    return run_training(ClassifyCLI, args, {"lin": lin, "sweep": classify_sweep})

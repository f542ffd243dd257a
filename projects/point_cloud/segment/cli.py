"""The command line of segmentation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from jsonargparse import Namespace

from projects.point_cloud.fine_tuning import Schedule
from projects.point_cloud.fine_tuning_cli import FineTuningCLI
from projects.point_cloud.labelled_data import SegmentationData
from projects.point_cloud.segment.module import Segmentation
from projects.point_cloud.table_sweep import segment_sweep
from projects.training.cli import run_training


class SegmentCLI(FineTuningCLI):
    """``python -m projects.point_cloud.segment fit``"""

    program = "segment"
    module = "projects.point_cloud.segment"
    task = "part segmentation"
    description = """\
Train a network that segments the shapes of one category into parts, test it and record it.

"ft" starts from a pretrained backbone, "lin" trains two layers on a frozen one, "scratch" starts from nothing. The
options that matter are explained in projects/point_cloud/README.md; the others are Lightning's.
"""
    default_run_dir = Path("runs/segment")

    def schedule(self, config: Namespace) -> Schedule:
        """The schedule of a configuration, with the iterations of the category."""
        schedule, iterations = super().schedule(config), config.model.category_iterations
        return replace(schedule, iterations=iterations.get(config.data.category, schedule.iterations))

    def __init__(self, args: list[str] | None = None):
        super().__init__(Segmentation, SegmentationData, args)


def main(args: list[str] | None = None) -> int:
    """Run the command line; returns the exit status, as run_training does."""
    return run_training(SegmentCLI, args, {"sweep": segment_sweep})

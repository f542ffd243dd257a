"""The command line of pretraining."""

from __future__ import annotations

from pathlib import Path

from octree.pretrained import KEY
from projects.point_cloud.pretrain.data import PretrainData
from projects.point_cloud.pretrain.knn_callback import KNNAccuracy
from projects.point_cloud.pretrain.module import MIDPretraining
from projects.training.cli import PretrainingCLI, run_training


class PretrainCLI(PretrainingCLI):
    """``python -m projects.point_cloud.pretrain fit``"""

    module = "projects.point_cloud.pretrain"
    description = """\
Pretrain a MID-Net on a shape store, with or without randomized quantization.

The options that matter are explained in projects/point_cloud/README.md; the others are Lightning's.
"""
    default_run_dir = Path("runs/pretrain")
    checkpoint_key = KEY
    knn_callback = KNNAccuracy

    def __init__(self, args: list[str] | None = None):
        super().__init__(MIDPretraining, PretrainData, args)

    def what_runs(self) -> str:
        """Data and network, for the first line."""
        data, weights = self.datamodule, sum(weight.numel() for weight in self.model.network.parameters())
        return f"{data.store.path}: {len(data.indices)} shapes, {weights:,} weights"


def main(args: list[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 2 for bad input, 130 after Ctrl-C."""
    return run_training(PretrainCLI, args)

"""Pretraining on two nodes, as torchrun or a SLURM job starts it; here both are processes of one machine."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="needs gloo")]

ROOT = Path(__file__).parents[3]
FIT = [
    *("projects.point_cloud.pretrain", "--config=tiny"),
    *("--data.workers=0", "--data.batch_size=3", "--model.network={depth: 4, full_depth: 1, width: 16, blocks: 1}"),
    *("--trainer.accelerator=cpu", "--trainer.strategy=ddp", "--trainer.enable_progress_bar=false"),
]
STEPS_AN_EPOCH = 2  # 8 shapes, 2 processes, 3 shapes a step


def start(*command: str) -> subprocess.Popen:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", *command], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    )


def errors(processes: list[subprocess.Popen]) -> list[str]:
    """What the processes wrote to standard error, after a good end."""
    try:
        written = [process.communicate(timeout=120)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * len(processes), written
    return written


def fit_on_two_nodes(*options: str) -> list[str]:
    """Start the same command on both nodes, as their users or their scheduler would."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    torchrun = ["torch.distributed.run", "--nnodes=2", "--nproc_per_node=1", "--rdzv_backend=c10d"]
    torchrun += [f"--rdzv_endpoint=127.0.0.1:{port}", "-m"]
    return errors([start(*torchrun, *FIT, "--trainer.num_nodes=2", *options) for _ in range(2)])


def test_two_nodes_train_as_two_devices_of_one_and_go_on_together(store_path, tmp_path):
    nodes, devices = tmp_path / "nodes", tmp_path / "devices"
    options = (f"--data.store={store_path}", f"--out={nodes}")
    written = fit_on_two_nodes(*options, "--trainer.max_epochs=1")
    assert sum("; output: " in text for text in written) == 1
    fit_on_two_nodes(*options, "--trainer.max_epochs=2", "--resume=last")
    assert sorted(path.name for path in (nodes / "logs").iterdir()) == ["version_0", "version_1"]

    options = (f"--data.store={store_path}", f"--out={devices}", "--trainer.devices=2")
    errors([start(*FIT, *options, "--trainer.max_epochs=2")])
    ends = [torch.load(run / "checkpoints/last.ckpt", weights_only=True) for run in (nodes, devices)]
    assert [end["global_step"] for end in ends] == [2 * STEPS_AN_EPOCH] * 2
    assert ends[0]["state_dict"].keys() == ends[1]["state_dict"].keys()
    for name, tensor in ends[0]["state_dict"].items():
        torch.testing.assert_close(tensor, ends[1]["state_dict"][name], rtol=0, atol=0, msg=name)

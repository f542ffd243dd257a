"""Two processes with half of a batch each, against one process with the joint batch."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).with_name("joint_batch.py")
ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="needs gloo")


@pytest.fixture(scope="module")
def joint() -> dict:
    return runpy.run_path(str(SCRIPT))["measure"](0, 1)


@pytest.fixture(scope="module")
def halves(tmp_path_factory) -> list[dict]:
    folder = tmp_path_factory.mktemp("processes")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    processes = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), str(rank), "2", str(folder)],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        written = [process.communicate(timeout=120)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], written
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def test_losses_gradients_and_memories_are_those_of_the_joint_batch(joint, halves):
    names = set(joint) - {"first_row", "gathered", "own memory"}
    assert {"moco_v3 loss", "moco_v3 encoder.0.weight", "byol predictor.layers.3.bias", "memory", "ssql loss"} <= names
    for name in names:
        for half in halves:
            torch.testing.assert_close(half[name], joint[name], msg=lambda text, name=name: f"{name}: {text}")


def test_rows_are_gathered_in_the_order_of_ranks(joint, halves):
    assert [half["first_row"] for half in halves] == [0, 4]
    for half in halves:
        assert torch.equal(half["gathered"], joint["gathered"])


def test_memories_are_not_sent_around(halves):
    """They are equal without, unless a test makes them different: MSF's 262 MB would go out before every step."""
    assert [half["own memory"].unique().tolist() for half in halves] == [[0], [1]]

"""Probing a pretrained network from the command line."""

import pytest
import torch

from octree.checkpoint import describe
from octree.midnet import MIDNet, MIDNetConfig
from projects.cli import main
from projects.run_record import read_records


@pytest.fixture
def checkpoint(tmp_path):
    network = MIDNet(MIDNetConfig(depth=4, full_depth=1, width=16, blocks=1, nempty=True))
    weights = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    torch.save({"midnet": describe(network), "state_dict": weights}, tmp_path / "c.ckpt")
    return tmp_path / "c.ckpt"


def test_every_ratio_and_seed_is_measured_once(store_path, checkpoint, capsys):
    command = ["probe", str(store_path), "--checkpoint", str(checkpoint), "--ratios", "0.5,1", "--seeds", "2"]
    assert main(command) == 0
    assert "50 % of the labels" in capsys.readouterr().out
    results = checkpoint.parent / "results.json"
    records = read_records(results)
    assert [(r.ratio, r.seed) for r in records] == [(0.5, 0), (0.5, 1), (1.0, 0), (1.0, 1)]
    assert [r.train_shapes for r in records] == [4, 4, 8, 8]
    assert all(r.test_shapes == 4 and 0 <= r.value <= 1 for r in records)
    before = results.read_bytes()
    assert main(command) == 0
    assert results.read_bytes() == before


def test_flat_and_tall_ellipsoids_are_told_apart(store_path, checkpoint):
    main(["probe", str(store_path), "--checkpoint", str(checkpoint), "--ratios", "1", "--seeds", "1"])
    assert read_records(checkpoint.parent / "results.json")[0].value == 1


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--ratios", "0"], "ratio"),
        (["--ratios", "a"], "ratios"),
        (["--seeds", "0"], "seeds"),
        (["--out", "/nowhere/at/all"], "nowhere"),
    ],
)
def test_bad_options_are_named(store_path, checkpoint, capsys, options, word):
    try:
        status = main(["probe", str(store_path), "--checkpoint", str(checkpoint), *options])
    except SystemExit as stop:
        status = stop.code
    assert status == 2
    assert word in capsys.readouterr().err
    assert not (checkpoint.parent / "results.json").exists()

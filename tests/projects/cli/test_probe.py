"""Probing a pretrained network from the command line."""

import pytest
import torch

from octree.midnet import MIDNet, MIDNetConfig
from octree.pretrained import describe, save_pretrained
from projects.cli import main
from projects.training.records import read_records


@pytest.fixture
def checkpoint(tmp_path):
    torch.manual_seed(0)
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
    assert [r.train_samples for r in records] == [4, 4, 8, 8]
    assert all(r.test_samples == 4 and 0 <= r.value <= 1 for r in records)
    before = results.read_bytes()
    assert main(command) == 0
    assert results.read_bytes() == before


def test_another_network_in_the_same_file_is_measured_anew(store_path, checkpoint):
    command = ["probe", str(store_path), "--checkpoint", str(checkpoint), "--ratios", "1,1", "--seeds", "1"]
    main(command)
    content = torch.load(checkpoint, weights_only=True)
    for tensor in content["state_dict"].values():
        tensor.zero_()
    torch.save(content, checkpoint)
    main(command)
    first, second = read_records(checkpoint.parent / "results.json")
    assert first.value == 1  # flat and tall ellipsoids are told apart even by random features
    assert second.value == 0.5  # and by none at all not


def test_features_of_quantized_views_are_measured_beside_those_of_the_shapes(store_path, checkpoint, capsys):
    command = ["probe", str(store_path), "--checkpoint", str(checkpoint), "--ratios", "1", "--seeds", "1"]
    assert main([*command, "--views", "2"]) == 2
    assert "pretrained with quantization" in capsys.readouterr().err
    content = torch.load(checkpoint, weights_only=True)
    content["midnet"]["pretraining"] = {"bins": 30}
    torch.save(content, checkpoint)
    assert main(command) == main([*command, "--views", "2"]) == 0
    shapes, views = read_records(checkpoint.parent / "results.json")
    assert "views" not in shapes.config and views.config == {**shapes.config, "views": 2}
    assert (shapes.method, views.method) == ("MID + quantization", "MID + quantization, 2 views")  # rows of the report


def test_an_interrupted_probe_keeps_what_was_measured(store_path, checkpoint, monkeypatch):
    from projects.point_cloud import evaluate

    original, calls = evaluate.logistic_probe, []

    def interrupted(train, test):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(train, test)

    monkeypatch.setattr(evaluate, "logistic_probe", interrupted)
    command = ["probe", str(store_path), "--checkpoint", str(checkpoint), "--ratios", "0.5,1", "--seeds", "2"]
    assert main(command) == 130
    assert len(read_records(checkpoint.parent / "results.json")) == 2
    assert main(command) == 0
    assert len(calls) == 3 + 2


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--ratios", "0"], "ratio"),
        (["--ratios", "a"], "ratios"),
        (["--seeds", "0"], "seeds"),
        (["--out", "/nowhere/at/all"], "nowhere"),
        (["--device", "abacus"], "abacus"),
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


def test_a_network_is_named_by_how_it_was_pretrained(store_path, tmp_path):
    network = MIDNet(MIDNetConfig(depth=4, full_depth=1, width=16, blocks=1, nempty=True))
    network.pretraining = {"bins": 30}
    exported = save_pretrained(network, tmp_path / "network")
    for path in (exported, exported / "model.safetensors"):  # the results lie beside the exported folder, not in it
        assert main(["probe", str(store_path), "--checkpoint", str(path), "--ratios", "1", "--seeds", "1"]) == 0
        assert [record.method for record in read_records(tmp_path / "results.json")] == ["MID + quantization"]
    assert len(list(exported.iterdir())) == 2

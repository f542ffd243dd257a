"""``pcrq export`` as a user meets it."""

import pytest
import torch

import octree
from octree.midnet import MIDNet, MIDNetConfig
from octree.pretrained import describe
from projects.cli import main


@pytest.fixture
def checkpoint(tmp_path):
    network = MIDNet(MIDNetConfig(depth=4, full_depth=1, width=16, blocks=1, nempty=True))
    weights = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    torch.save({"midnet": describe(network, {"bins": 0, "epochs": 3}), "state_dict": weights}, tmp_path / "c.ckpt")
    return tmp_path / "c.ckpt"


def test_a_checkpoint_becomes_a_folder_that_loads_back(checkpoint, tmp_path, capsys):
    assert main(["export", str(checkpoint), "--out", str(tmp_path / "network")]) == 0
    assert "network: MID, 62,160 weights, 0.3 MB" in capsys.readouterr().out
    before, after = octree.load_pretrained(checkpoint), octree.load_pretrained(tmp_path / "network")
    assert all(torch.equal(tensor, after.state_dict()[name]) for name, tensor in before.state_dict().items())
    assert after.pretraining == {"bins": 0, "epochs": 3}


def test_an_export_is_replaced_by_force_only(checkpoint, tmp_path, capsys):
    command = ["export", str(checkpoint), "--out", str(tmp_path / "network")]
    assert main(command) == 0
    assert main(command) == 2
    assert "--force" in capsys.readouterr().err
    assert main([*command, "--force"]) == 0


def test_an_export_is_exported_again_with_what_is_known_about_it(checkpoint, tmp_path):
    main(["export", str(checkpoint), "--out", str(tmp_path / "a")])
    assert main(["export", str(tmp_path / "a"), "--out", str(tmp_path / "b")]) == 0
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_what_cannot_be_exported_is_one_line(checkpoint, tmp_path, capsys):
    for source, out in (("missing.ckpt", "a"), ("c.ckpt", "no/such/folder"), ("c.ckpt", "c.ckpt"), (".", "a")):
        assert main(["export", str(tmp_path / source), "--out", str(tmp_path / out)]) == 2
        error = capsys.readouterr().err
        assert error.startswith("pcrq: error: ") and error.count("\n") == 1

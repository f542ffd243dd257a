"""Checkpoints are data: what does not fit is refused by name, and nothing in them runs."""

import pickle

import pytest
import torch

from octree.checkpoint import describe, load_network
from octree.midnet import MIDNet, MIDNetConfig
from pcrq import InputError

CONFIG = MIDNetConfig(depth=4, full_depth=1, width=16, blocks=1, nempty=True)


def save(path, network, **changes):
    weights = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    torch.save({"midnet": describe(network), "state_dict": {**weights, "loss.other": torch.zeros(1)}, **changes}, path)
    return path


def test_a_network_comes_back(tmp_path):
    network = MIDNet(CONFIG)
    loaded = load_network(save(tmp_path / "a.ckpt", network))
    assert loaded.config == CONFIG and not loaded.training
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name])


class Bomb:
    def __reduce__(self):
        return (print, ("boom",))


def test_each_kind_of_bad_file_has_its_message(tmp_path, capsys):
    network = MIDNet(CONFIG)
    good = save(tmp_path / "good.ckpt", network).read_bytes()
    (tmp_path / "cut.ckpt").write_bytes(good[: len(good) // 2])
    (tmp_path / "text.ckpt").write_text("hello")
    (tmp_path / "pickle.ckpt").write_bytes(pickle.dumps(Bomb()))
    torch.save({"weights": Bomb()}, tmp_path / "code.ckpt")
    torch.save({"state_dict": {}}, tmp_path / "foreign.ckpt")
    torch.save([1, 2], tmp_path / "list.ckpt")
    save(tmp_path / "other.ckpt", network, midnet={"config": {**describe(network)["config"], "width": 32}})
    save(tmp_path / "unknown.ckpt", network, midnet={"config": {"layers": 3}})
    messages = {
        "missing.ckpt": "no such checkpoint",
        "cut.ckpt": "cut short",
        "text.ckpt": "not a checkpoint",
        "pickle.ckpt": "not a checkpoint",
        "code.ckpt": "could run code",
        "foreign.ckpt": "not of a MID-Net",
        "list.ckpt": "not a training checkpoint",
        "other.ckpt": "do not fit",
        "unknown.ckpt": "do not fit",
    }
    for name, message in messages.items():
        with pytest.raises(InputError, match=f"{name}.*{message}"):
            load_network(tmp_path / name)
    assert "boom" not in capsys.readouterr().out

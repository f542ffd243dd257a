"""Checkpoints are data: what is none is refused by name, and nothing in them runs."""

import pickle

import pytest
import torch

from octree.midnet import MIDNet, MIDNetConfig
from octree.pretrained import describe
from pcrq import InputError
from pcrq.checkpoint import load_checkpoint, weights_digest

CONFIG = MIDNetConfig(depth=4, full_depth=1, width=16, blocks=1, nempty=True)


class Bomb:
    def __reduce__(self):
        return (print, ("boom",))


def test_each_kind_of_bad_file_has_its_message(tmp_path, capsys):
    torch.save({"state_dict": MIDNet(CONFIG).state_dict()}, tmp_path / "good.ckpt")
    good = (tmp_path / "good.ckpt").read_bytes()
    (tmp_path / "cut.ckpt").write_bytes(good[: len(good) // 2])
    (tmp_path / "text.ckpt").write_text("hello")
    (tmp_path / "pickle.ckpt").write_bytes(pickle.dumps(Bomb()))
    torch.save({"weights": Bomb()}, tmp_path / "code.ckpt")
    torch.save([1, 2], tmp_path / "list.ckpt")
    messages = {
        "missing.ckpt": "no such checkpoint",
        "cut.ckpt": "cut short",
        "text.ckpt": "not a checkpoint",
        "pickle.ckpt": "not a checkpoint",
        "code.ckpt": "could run code",
        "list.ckpt": "not a training checkpoint",
    }
    for name, message in messages.items():
        with pytest.raises(InputError, match=f"{name}.*{message}"):
            load_checkpoint(tmp_path / name)
    assert "boom" not in capsys.readouterr().out


def test_a_network_is_described_in_plain_values(tmp_path):
    network = MIDNet(CONFIG)
    torch.save(describe(network, {"bins": 30, "store": "a.h5"}), tmp_path / "about.ckpt")
    about = torch.load(tmp_path / "about.ckpt", weights_only=True)
    assert MIDNetConfig(**about["config"]) == CONFIG
    assert about["pretraining"] == {"bins": 30, "store": "a.h5"}
    assert describe(network)["pretraining"] == {}


def test_the_digest_tells_weights_and_statistics_apart():
    network, other = MIDNet(CONFIG), MIDNet(CONFIG)
    assert weights_digest(network) != weights_digest(other)
    other.load_state_dict(network.state_dict())
    assert weights_digest(network) == weights_digest(other)
    other.backbone.train()
    next(b for name, b in other.named_buffers() if name.endswith("running_mean")).add_(1e-6)
    assert weights_digest(network) != weights_digest(other)

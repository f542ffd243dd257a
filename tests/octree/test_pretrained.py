"""A pretrained network goes out and comes back bit by bit; whatever else is offered is refused in one line."""

import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import octree
from octree import collate, quantize
from octree.midnet import MIDNet, MIDNetConfig
from octree.pretrained import describe, load_pretrained, pretraining_method, save_pretrained
from pcrq import InputError
from pcrq.stores import Shape

CONFIG = MIDNetConfig(depth=4, full_depth=1, width=16, blocks=1, nempty=True)
PRETRAINING = {"bins": 30, "random_edges": True, "epochs": 7, "store": "shapes.h5", "seed": 0}


@pytest.fixture
def network() -> MIDNet:
    """A network whose statistics are not those it starts with."""
    network = MIDNet(CONFIG)
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.uniform_(-1, 1)
    network.pretraining = PRETRAINING
    return network


@pytest.fixture
def exported(network, tmp_path):
    return save_pretrained(network, tmp_path / "network")


def save_checkpoint(path, network, **changes):
    weights = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    content = {
        "midnet": describe(network, PRETRAINING),
        "state_dict": {**weights, "loss.shape_bank": torch.zeros(1)},
        **changes,
    }
    torch.save(content, path)
    return path


def same_weights(a, b) -> bool:
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) and a[name].dtype == b[name].dtype for name in a)


def refused(path) -> str:
    """The one line with which a path is refused."""
    with pytest.raises(InputError) as caught:
        load_pretrained(path)
    message = str(caught.value)
    assert message.startswith(str(path)) and "\n" not in message and len(message) < 400
    return message


def test_every_form_gives_back_the_same_network(network, exported, batch, tmp_path):
    checkpoint = save_checkpoint(tmp_path / "last.ckpt", network)
    expected = network.eval().embed(batch)
    for path in (exported, str(exported), exported / "model.safetensors", checkpoint):
        loaded = octree.load_pretrained(path)
        assert same_weights(loaded, network)
        assert loaded.config == CONFIG and not loaded.training
        assert loaded.pretraining == PRETRAINING
        assert torch.equal(loaded.embed(batch), expected)


def test_what_is_not_known_about_the_pretraining_is_empty(network, tmp_path):
    assert load_pretrained(save_pretrained(MIDNet(CONFIG), tmp_path / "network")).pretraining == {}
    about = {"config": network.hyper_parameters()}  # as checkpoints of older versions have it
    assert load_pretrained(save_checkpoint(tmp_path / "old.ckpt", network, midnet=about)).pretraining == {}


def test_batch_normalization_is_recorded_and_was_pytorchs_before_it_was_an_option(network, tmp_path):
    new = MIDNet(CONFIG, bn_momentum=0.01, bn_eps=1e-3)
    loaded = [
        load_pretrained(save_pretrained(new, tmp_path / "new")),
        load_pretrained(save_checkpoint(tmp_path / "new.ckpt", new)),
    ]
    about = describe(network, PRETRAINING)
    for name in ("bn_momentum", "bn_eps", "init"):
        del about["config"][name]
    loaded.append(load_pretrained(save_checkpoint(tmp_path / "old.ckpt", network, midnet=about)))
    norms = [[module for module in net.modules() if isinstance(module, torch.nn.BatchNorm1d)] for net in loaded]
    found = [{(norm.momentum, norm.eps) for norm in of_one} for of_one in norms]
    assert found == [{(0.01, 1e-3)}, {(0.01, 1e-3)}, {(0.1, 1e-5)}]
    assert same_weights(loaded[2], network) and loaded[2].config == CONFIG


def test_an_export_tells_other_programs_what_it_is(network, exported):
    about = json.loads((exported / "config.json").read_text())
    assert sorted(entry.name for entry in exported.iterdir()) == ["config.json", "model.safetensors"]
    assert (about["format"], about["version"]) == ("pcrq-midnet", 1)
    assert about["architecture"] == {**CONFIG.__dict__}
    assert about["feature"] == {"name": "fc1", "dimension": 128}
    assert about["pretraining"] == PRETRAINING
    assert load_file(exported / "model.safetensors").keys() == network.state_dict().keys()


def test_the_import_alone_loads_nothing_heavy():
    program = "import sys, octree; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
    with pytest.raises(AttributeError, match="load_everything"):
        octree.load_everything  # noqa: B018


def test_a_method_is_named_by_its_bins():
    assert [pretraining_method(p) for p in ({"bins": 0}, {"bins": 30}, {})] == [
        "MID",
        "MID + quantization",
        "pretrained",
    ]


class Bomb:
    def __reduce__(self):
        return (print, ("boom",))


def test_what_is_no_network_is_refused(network, exported, tmp_path, capsys):
    assert "no such checkpoint or folder" in refused(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    assert "no model.safetensors in it" in refused(tmp_path / "empty")
    (exported / "model.safetensors").rename(tmp_path / "alone.safetensors")
    with pytest.raises(InputError, match=r"no config\.json in it"):
        load_pretrained(tmp_path / "alone.safetensors")
    torch.save({"state_dict": {}}, tmp_path / "foreign.ckpt")
    assert "not of a MID-Net" in refused(tmp_path / "foreign.ckpt")
    (tmp_path / "renamed.ckpt").write_bytes((tmp_path / "alone.safetensors").read_bytes())
    assert "not a checkpoint" in refused(tmp_path / "renamed.ckpt")
    for name, content in {"pickle": pickle.dumps(Bomb()), "text": b"hello, this is text"}.items():
        (tmp_path / "config.json").write_bytes((exported / "config.json").read_bytes())
        (tmp_path / f"{name}.safetensors").write_bytes(content)
        assert "not a safetensors file" in refused(tmp_path / f"{name}.safetensors")
    torch.save({"weights": Bomb()}, tmp_path / "zip.safetensors")
    assert "not a safetensors file" in refused(tmp_path / "zip.safetensors")
    assert "boom" not in capsys.readouterr().out


@pytest.mark.parametrize("kept", [0, 5, 100, 0.5, -1])
def test_weights_cut_short_are_refused(exported, kept):
    path = exported / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept) if isinstance(kept, float) else kept])
    assert "cut short or damaged" in refused(path)


def test_a_changed_weight_is_noticed(exported):
    path = exported / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    assert "not the weights that config.json describes" in refused(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, "does not describe a MID-Net"),
        ({"version": 2}, "version 2, but this pcrq reads up to 1; update pcrq"),
        ({"version": "new"}, "does not describe a MID-Net"),
        ({"architecture": None}, "'architecture' is missing"),
        ({"pretraining": [1]}, "'pretraining' is missing or damaged"),
        ({"architecture": {"layers": 3}}, "unknown entry 'layers'"),
        ({"architecture": {"width": "wide"}}, "width is 'wide'"),
        ({"architecture": {"width": 17}}, "choose a multiple of 16"),
        ({"architecture": {"width": 2**30}}, "architecture"),
    ],
)
def test_a_description_that_is_not_ours_is_refused(exported, changes, message):
    path = exported / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(InputError, match=message):
        load_pretrained(exported)


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "[" * 100_000, "\x00", '{"format": "pcrq-midnet"}'])
def test_a_description_that_is_no_json_of_ours_is_refused(exported, text):
    (exported / "config.json").write_text(text)
    with pytest.raises(InputError, match=r"config\.json: (not JSON|does not describe)"):
        load_pretrained(exported)


def test_weights_of_another_architecture_are_counted_and_one_is_named(network, exported, tmp_path):
    wider = {**network.hyper_parameters(), "width": 32}
    for path in (
        save_checkpoint(tmp_path / "wider.ckpt", network, midnet={"config": wider}),
        change_architecture(exported, wider),
    ):
        message = refused(path)
        assert "0 missing, 0 unexpected, " in message
        assert "front_leaves.conv.weights is (27, 4, 8) instead of (27, 4, 16)" in message
    deeper = {**network.hyper_parameters(), "blocks": 2}
    message = refused(save_checkpoint(tmp_path / "deeper.ckpt", network, midnet={"config": deeper}))
    missing = MIDNet(MIDNetConfig(**deeper)).state_dict().keys() - network.state_dict().keys()
    assert f"{len(missing)} missing, 0 unexpected, 0 of another shape" in message
    assert any(name in message for name in missing)
    weights = {"network.extra": torch.zeros(1), **{f"network.{n}": t for n, t in network.state_dict().items()}}
    assert "1 unexpected" in refused(save_checkpoint(tmp_path / "extra.ckpt", network, state_dict=weights))


def change_architecture(exported, architecture):
    path = exported / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "architecture": architecture}))
    return exported / "model.safetensors"


def test_an_export_replaces_only_an_export_and_only_by_force(network, exported, tmp_path):
    other = MIDNet(CONFIG)
    with pytest.raises(InputError, match="replace it with --force"):
        save_pretrained(other, exported)
    assert same_weights(load_pretrained(exported), network)
    save_pretrained(other, exported, force=True)
    assert same_weights(load_pretrained(exported), other)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.tex").write_text("years of work")
    with pytest.raises(InputError, match=r"other files, such as chapter\.tex"):
        save_pretrained(network, tmp_path / "thesis", force=True)
    assert (tmp_path / "thesis/chapter.tex").read_text() == "years of work"
    (tmp_path / "new").mkdir()
    assert same_weights(load_pretrained(save_pretrained(network, tmp_path / "new")), network)
    for folder, message in ((tmp_path / "thesis/chapter.tex", "a file"), (tmp_path / "a/b", "does not exist")):
        with pytest.raises(InputError, match=message):
            save_pretrained(network, folder)


@pytest.mark.parametrize("there_before", [False, True])
def test_an_export_that_fails_leaves_nothing_behind(network, tmp_path, monkeypatch, there_before):
    if there_before:
        save_pretrained(network, tmp_path / "network")

    def full(weights, path):
        save_file({"half": torch.zeros(1)}, path)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(InputError, match="network: cannot be written"):
        save_pretrained(MIDNet(CONFIG), tmp_path / "network", force=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["network"] * there_before
    assert not there_before or same_weights(load_pretrained(tmp_path / "network"), network)


def test_features_are_averaged_over_quantized_views(network):
    random = np.random.default_rng(5)
    clouds = [random.normal(size=(100, 3)).astype(np.float32) for _ in range(4)]
    clouds = [cloud / np.linalg.norm(cloud, axis=1, keepdims=True) for cloud in clouds]  # spheres, so normals as well
    shapes = [Shape(0.9 * cloud, cloud, id=str(i)) for i, cloud in enumerate(clouds)]
    batch = collate(shapes)
    network.eval()
    generator = torch.Generator().manual_seed(7)
    network.pretraining = {**PRETRAINING, "bins": 7, "random_values": False}
    expected = sum(network.embed(quantize(batch, 7, generator, random_values=False)) for _ in range(3)) / 3
    found = octree.embed(network, shapes, views=3, seed=7)
    assert torch.allclose(found, expected, atol=1e-6)
    assert not torch.allclose(found, octree.embed(network, shapes), atol=1e-3)


@pytest.mark.parametrize(("pretraining", "views"), [({"bins": None}, 2), ({}, 1), (PRETRAINING, -1)])
def test_views_need_a_network_that_was_pretrained_with_quantization(network, pretraining, views):
    network.pretraining = pretraining
    with pytest.raises(InputError, match="views"):
        octree.embed(network, [], views=views)

"""Encoders from checkpoints: ours, moco-v3's and torchvision's; what a file says is never executed."""

import os
import pickle
import sys
from dataclasses import asdict

import pytest
import torch
import torchvision
from torch import nn

from pcrq import InputError
from projects.image.encoder import KEY, Encoder, describe, load_encoder
from projects.image.image_source import IMAGENET_MEAN, IMAGENET_STD

SMALL = Encoder("resnet10", 8, "small")
PRETRAINING = {"framework": "BYOL", "epochs": 3, "augmentation": {"crop": "RRC"}}
CALLS: list[int] = []


class Code:
    """Unpickled, it makes a folder."""

    def __reduce__(self):
        return (os.mkdir, (os.environ["EVIL_FOLDER"],))


def users_network(width: int) -> nn.Module:
    CALLS.append(width)
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, width))


@pytest.fixture
def write(tmp_path):
    """``write(content)``: the path of a checkpoint."""

    def save(content: object):
        path = tmp_path / "checkpoint.ckpt"
        torch.save(content, path)
        return path

    return save


def ours(network: nn.Module, encoder: Encoder = SMALL) -> dict:
    """A checkpoint as projects.image.pretrain writes it; the target encoder has other weights."""
    state = {f"framework.encoder.{name}": tensor for name, tensor in network.state_dict().items()}
    state |= {f"framework.target_encoder.{name}": tensor + 1 for name, tensor in network.state_dict().items()}
    state["framework.projector.layers.0.weight"] = torch.ones(2, 2)
    told = describe(encoder, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), PRETRAINING)
    return {"epoch": 3, "state_dict": state, KEY: told}


def says(encoder: object) -> dict:
    """A checkpoint of the small network that tells another encoder."""
    content = ours(small_network())
    return content | {KEY: content[KEY] | {"encoder": encoder}}


def moco_v3(network: nn.Module) -> dict:
    """As facebookresearch/moco-v3 saves a training on several devices, its projector in the place of fc."""
    state = {f"module.base_encoder.{name}": tensor for name, tensor in network.state_dict().items()}
    state |= {f"module.momentum_encoder.{name}": tensor + 1 for name, tensor in network.state_dict().items()}
    for part in ("base_encoder.fc", "momentum_encoder.fc", "predictor"):
        state |= {f"module.{part}.0.weight": torch.ones(4, 2048), f"module.{part}.1.running_mean": torch.ones(4)}
    optimizer = {"state": {}, "param_groups": [{"lr": 0.1}]}
    return {"epoch": 100, "arch": "resnet50", "state_dict": state, "optimizer": optimizer}


def theirs(name: str = "resnet50") -> nn.Module:
    """A network of torchvision without classifier, all its numbers random."""
    torch.manual_seed(1)
    network = getattr(torchvision.models, name)()
    network.fc = nn.Identity()
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(0.02 * torch.rand_like(tensor))
    return network.eval()


def small_network() -> nn.Module:
    torch.manual_seed(2)
    return SMALL.build().eval()


IMAGES = torch.linspace(-1, 1, 2 * 3 * 32 * 32).view(2, 3, 32, 32)

# --- what can be loaded -----------------------------------------------------------------------------------------------


def test_our_checkpoint_gives_back_encoder_statistics_and_history(write):
    network = small_network()
    loaded = load_encoder(write(ours(network)))
    assert torch.equal(loaded.network(IMAGES), network(IMAGES))
    assert not loaded.network.training
    assert loaded.encoder == SMALL
    assert (loaded.mean, loaded.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert loaded.pretraining == PRETRAINING


def test_naming_the_same_encoder_changes_nothing(write):
    assert load_encoder(write(ours(small_network())), SMALL).pretraining == PRETRAINING


def test_the_digest_is_that_of_the_weights(write):
    first, second = small_network(), small_network()
    assert load_encoder(write(ours(first))).digest == load_encoder(write(ours(second))).digest
    with torch.no_grad():
        second.bn1.running_mean[0] += 1e-3
    assert load_encoder(write(ours(first))).digest != load_encoder(write(ours(second))).digest


@pytest.mark.parametrize("name", ["resnet50", "resnet18"])
def test_a_published_checkpoint_of_moco_v3_gives_its_base_encoder(write, name):
    network = theirs(name)
    loaded = load_encoder(write(moco_v3(network)))
    assert torch.equal(loaded.network(IMAGES), network(IMAGES))
    assert loaded.encoder == Encoder(name)
    assert (loaded.mean, loaded.std, loaded.pretraining) == (IMAGENET_MEAN, IMAGENET_STD, {})


@pytest.mark.parametrize("name", ["resnet10", "resnet34", "resnet101"])
def test_bare_weights_tell_their_resnet(write, name):
    network = Encoder(name).build()
    loaded = load_encoder(write(network.state_dict()))
    assert loaded.encoder == Encoder(name)
    assert torch.equal(loaded.network.layer4[0].conv1.weight, network.layer4[0].conv1.weight)


def test_weights_of_torchvision_load_with_and_without_their_classifier(write):
    network = torchvision.models.resnet18().eval()
    state = network.state_dict()
    features = nn.Sequential(*list(network.children())[:-1], nn.Flatten())(IMAGES)
    for content in (state, {"state_dict": {k: v for k, v in state.items() if not k.startswith("fc.")}}):
        assert torch.equal(load_encoder(write(content), Encoder("resnet18")).network(IMAGES), features)


def test_a_file_in_the_format_before_torch_1_6_loads_and_runs_no_code(tmp_path, monkeypatch):
    network, path = theirs("resnet18"), tmp_path / "old.pth"
    torch.save(network.state_dict(), path, _use_new_zipfile_serialization=False)
    assert torch.equal(load_encoder(path, Encoder("resnet18")).network(IMAGES), network(IMAGES))
    monkeypatch.setenv("EVIL_FOLDER", str(tmp_path / "executed"))
    torch.save({"state_dict": network.state_dict(), "args": Code()}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(InputError, match="not a checkpoint"):
        load_encoder(path)
    assert not (tmp_path / "executed").exists()


def test_a_network_of_another_kind_loads_where_it_is_named(write):
    """Its last norm lies under "classifier", which elsewhere is a head."""
    torch.manual_seed(3)
    network = torchvision.models.convnext_tiny().eval()
    loaded = load_encoder(write(network.state_dict()), Encoder("torchvision.models.convnext_tiny"))
    network.classifier[-1] = nn.Identity()
    assert torch.equal(loaded.network(IMAGES), network(IMAGES))


def test_loading_draws_no_random_numbers(write):
    path, state = write(ours(small_network())), torch.get_rng_state()
    load_encoder(path)
    assert torch.equal(torch.get_rng_state(), state)


def test_an_encoder_of_the_users_code_is_called_only_where_the_user_names_it(write, monkeypatch):
    monkeypatch.setitem(sys.modules, "checkpoints_of_a_user", sys.modules[__name__])
    named = Encoder("checkpoints_of_a_user.users_network", arguments={"width": 5})
    network = named.build().eval()
    path = write(ours(network, named))
    CALLS.clear()
    with pytest.raises(InputError, match=r"made by calling checkpoints_of_a_user.users_network.*name the same encoder"):
        load_encoder(path)
    with pytest.raises(InputError, match="leave the encoder out"):
        load_encoder(path, SMALL)
    assert CALLS == []
    assert torch.equal(load_encoder(path, named).network(IMAGES), network(IMAGES))
    assert CALLS == [5]


# --- what cannot ------------------------------------------------------------------------------------------------------


def vit() -> dict:
    names = ("cls_token", "patch_embed.proj.weight", "blocks.0.norm1.weight", "head.0.weight")
    return {"arch": "vit_small", "state_dict": {f"module.base_encoder.{name}": torch.ones(4) for name in names}}


def without(content: dict, name: str) -> dict:
    state = {key: tensor for key, tensor in content["state_dict"].items() if not key.endswith(name)}
    return content | {"state_dict": state}


WIDE = asdict(SMALL) | {"width": 16}
BAD = {
    "no tensors": (lambda: {"epoch": 3}, r"contains no ResNet \(but no tensors\)"),
    "a list": (lambda: [1, 2], "not a training checkpoint"),
    "a state dict that is a tensor": (lambda: {"state_dict": torch.ones(3)}, "no tensors"),
    "a state dict that is a list": (lambda: {"state_dict": [torch.ones(3)]}, "no tensors"),
    "names that are numbers": (lambda: {"state_dict": {0: torch.ones(3)}}, r"but 0\)"),
    "a linear probe": (lambda: {"state_dict": {"layer.weight": torch.ones(3)}}, "no ResNet.*but layer.weight"),
    "a ViT of moco-v3": (vit, "no ResNet.*cls_token.*architecture of any other network"),
    "another depth": (lambda: without(moco_v3(theirs("resnet18")), "4.1.conv1.weight"), "a resnet50.*layer1.*missing"),
    "surplus weights": (
        lambda: theirs("resnet18").state_dict() | {"gate": torch.ones(3)},
        "a resnet18.*gate superfluous; name the architecture",
    ),
    "another width": (lambda: says(WIDE), "width 16.*conv1.weight and .* of another shape"),
    "a weight is missing": (lambda: without(ours(small_network()), "encoder.bn1.bias"), "bn1.bias missing; name"),
    "a weight is no tensor": (
        lambda: ours(small_network()) | {"state_dict": {"framework.encoder.conv1.weight": 3}},
        "conv1.weight and .* missing",
    ),
    "an unknown encoder": (lambda: says(WIDE | {"name": "net"}), "unknown encoder 'net'.*newer"),
    "an unknown option": (lambda: says(WIDE | {"depth": 3}), "depth.*damaged or newer"),
    "an encoder that is a word": (lambda: says("resnet50"), "damaged or newer"),
    "nothing told": (lambda: {KEY: None, "state_dict": {}}, "damaged or newer"),
}


@pytest.mark.parametrize("case", BAD)
def test_one_line_names_the_file_and_says_why(write, case):
    make, message = BAD[case]
    path = write(make())
    with pytest.raises(InputError, match=message) as caught:
        load_encoder(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    assert len(str(caught.value)) < 450


def test_another_depth_than_that_of_the_weights_is_refused(write):
    with pytest.raises(InputError, match=r"not the weights of a resnet34.*layer1.*missing"):
        load_encoder(write(moco_v3(theirs("resnet18"))), Encoder("resnet34"))


def test_another_network_than_that_of_the_weights_is_refused_by_its_own_options(write):
    named = Encoder("torchvision.models.shufflenet_v2_x0_5", arguments={"num_classes": 7})
    with pytest.raises(InputError, match=r"a torchvision.models.shufflenet_v2_x0_5 \({'num_classes': 7}\): .* missing"):
        load_encoder(write(moco_v3(small_network())), named)


def test_another_architecture_than_the_checkpoints_is_refused(write):
    with pytest.raises(InputError, match=r"width=8.*leave the encoder out"):
        load_encoder(write(ours(small_network())), Encoder("resnet10", 16, "small"))


@pytest.mark.parametrize("in_an_archive", [True, False])
def test_code_in_a_checkpoint_is_not_run(tmp_path, monkeypatch, in_an_archive):
    monkeypatch.setenv("EVIL_FOLDER", str(tmp_path / "executed"))
    path = tmp_path / "evil.pth.tar"
    if in_an_archive:
        torch.save(moco_v3(small_network()) | {"args": Code()}, path)
    else:
        path.write_bytes(pickle.dumps(Code()))
    with pytest.raises(InputError, match="evil"):
        load_encoder(path)
    assert not (tmp_path / "executed").exists()


def test_a_file_cut_short_and_one_that_is_missing(write):
    path = write(ours(small_network()))
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(InputError, match="cut short or damaged"):
        load_encoder(path)
    with pytest.raises(InputError, match="no such checkpoint file"):
        load_encoder(path.with_name("nowhere.ckpt"))

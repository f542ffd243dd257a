"""Encoders: our ResNets are torchvision's, and any other network by its import path becomes features."""

import sys
from importlib.util import find_spec

import pytest
import torch
import torchvision
from torch import nn

from pcrq import InputError
from projects.image.encoder import BLOCKS, Encoder, ResNet, feature_size

pytestmark = pytest.mark.medium


class Pooled(nn.Module):
    """The smallest encoder: the mean of every channel; no parameters."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=(2, 3))


class Maps(nn.Module):
    """No encoder: it does not pool."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images


class Words(nn.Module):
    """No encoder: no tensor."""

    def forward(self, images: torch.Tensor) -> str:
        return "features"


def fail(reason: str) -> nn.Module:
    raise RuntimeError(reason)


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """This file under a name that an import path can have."""
    monkeypatch.setitem(sys.modules, "encoders_of_a_user", sys.modules[__name__])


def users(name: str, **arguments) -> Encoder:
    return Encoder(f"encoders_of_a_user.{name}", arguments=arguments)


# --- ResNets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_a_resnet_of_width_64_is_that_of_torchvision(name):
    torch.manual_seed(0)
    theirs = getattr(torchvision.models, name)(zero_init_residual=True)
    with torch.no_grad():
        for parameter in theirs.parameters():  # away from zeros and ones
            parameter.add_(0.02 * torch.randn_like(parameter))
    theirs.fc = nn.Identity()
    ours = Encoder(name).build()
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(ours.eval()(images), theirs.eval()(images))
    assert torch.equal(ours.train()(images), theirs.train()(images))
    assert torch.equal(ours.eval()(images), theirs.eval()(images))  # with the statistics of that pass


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet101"])
def test_parameters_have_the_names_and_shapes_of_torchvision(name):
    with torch.device("meta"):
        theirs = getattr(torchvision.models, name)().state_dict()
        ours = ResNet(name).state_dict()
    shapes = {key: tensor.shape for key, tensor in theirs.items() if not key.startswith("fc.")}
    assert {key: tensor.shape for key, tensor in ours.items()} == shapes


def test_initial_weights_are_drawn_as_torchvision_draws_them():
    torch.manual_seed(0)
    ours = dict(ResNet("resnet18").named_parameters())
    theirs = torchvision.models.resnet18(zero_init_residual=True)
    for name, weight in theirs.named_parameters():
        if weight.ndim == 4:
            torch.testing.assert_close(ours[name].std(), weight.std(), rtol=0.1, atol=0)
        elif not name.startswith("fc."):
            assert torch.equal(ours[name], weight), name


@pytest.mark.parametrize("name", ["resnet10", "resnet50"])
def test_residual_branches_begin_as_nothing(name):
    blocks = [module for module in ResNet(name, width=8).modules() if type(module) is BLOCKS[name][0]]
    assert len(blocks) == sum(BLOCKS[name][1])
    for block in blocks:
        passed = block.downsample or nn.Identity()
        images = torch.randn(2, block.conv1.in_channels, 8, 8)
        torch.testing.assert_close(block(images), passed(images).relu())


@pytest.mark.parametrize(
    ("name", "width", "stem", "shapes"),
    [
        ("resnet10", 8, "small", [(8, 32), (16, 16), (32, 8), (64, 4)]),
        ("resnet10", 8, "imagenet", [(8, 8), (16, 4), (32, 2), (64, 1)]),
        ("resnet50", 4, "small", [(16, 32), (32, 16), (64, 8), (128, 4)]),
    ],
)
def test_stages_of_narrow_networks(name, width, stem, shapes):
    network, seen = Encoder(name, width, stem).build(), []
    for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
        stage.register_forward_hook(lambda _module, _input, output: seen.append((output.shape[1], output.shape[2])))
    features = network(torch.randn(2, 3, 32, 32))
    assert seen == shapes
    assert features.shape == (2, shapes[-1][0])


# --- any other network ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments", "features"),
    [
        ("resnet18", {}, 512),
        ("squeezenet1_1", {}, 1000),  # classifies by a convolution: its scores are features, too
        ("mobilenet_v3_small", {}, 1024),
        ("mnasnet0_5", {}, 1280),
        ("vit_b_16", {"image_size": 32}, 768),
        ("convnext_tiny", {}, 768),
        ("swin_t", {}, 768),
        ("densenet121", {}, 1024),
    ],
)
def test_a_network_of_torchvision_loses_its_classifier(name, arguments, features):
    network = Encoder(f"torchvision.models.{name}", arguments=arguments).build()
    assert feature_size(network, 32) == features


def test_a_network_of_timm_loses_its_classifier():
    if find_spec("timm") is None:
        pytest.skip("needs timm")
    for model, features in (("resnet10t", 512), ("vit_tiny_patch16_224", 192)):
        network = Encoder("timm.create_model", arguments={"model_name": model}).build()
        assert feature_size(network, 224) == features


def test_a_users_network_is_taken_as_it_is():
    network = users("Pooled").build()
    assert type(network) is Pooled
    assert feature_size(network, 8) == 3


def test_a_users_linear_layer_of_another_name_is_kept_and_fc_is_not(monkeypatch):
    class Net(Pooled):
        def __init__(self):
            super().__init__()
            self.head, self.fc = nn.Linear(3, 5), nn.Linear(5, 7)

        def forward(self, images):
            return self.fc(self.head(super().forward(images)))

    monkeypatch.setattr(sys.modules[__name__], "Net", Net, raising=False)
    assert feature_size(users("Net").build(), 8) == 5


def test_weights_follow_the_seed():
    def weights(seed):
        torch.manual_seed(seed)
        return Encoder("resnet10", 8).build().conv1.weight

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


def test_measuring_the_features_changes_nothing():
    network = nn.Sequential(Encoder("resnet10", 8).build(), nn.Dropout())
    network[0].layer2.eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    modes, state = [module.training for module in network.modules()], torch.get_rng_state()
    assert feature_size(network, 32) == 64
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert [module.training for module in network.modules()] == modes and set(modes) == {True, False}
    assert torch.equal(torch.get_rng_state(), state)


# --- what cannot be ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Encoder("resnet51"), "unknown encoder 'resnet51'; available: resnet10"),
        (lambda: Encoder(""), "unknown encoder ''"),
        (lambda: Encoder(width=0), "encoder.width 0"),
        (lambda: Encoder(stem="large"), "encoder.stem 'large'"),
        (
            lambda: Encoder(arguments={"depth": 3}),
            "encoder.arguments {'depth': 3}: resnet50 has",
        ),
        (lambda: Encoder("no_such_package.Net").build(), "no_such_package.Net: cannot be imported"),
        (
            lambda: Encoder("torchvision.models.resnet51").build(),
            "resnet51.*check the spelling",
        ),
        (lambda: Encoder(".resnet").build(), "cannot be imported"),
        (lambda: Encoder("a_user_s_broken_file.Net").build(), "a_user_s_broken_file.Net: cannot be imported"),
        (lambda: users("fail", reason="no weights").build(), "the call with .* fails: no weights"),
        (lambda: users("Pooled", depth=3).build(), "the call with {'depth': 3} fails"),
        (lambda: Encoder("math.pi").build(), "math.pi: the call with {} fails"),
        (lambda: Encoder("builtins.dict").build(), "returns a dict, expected a torch.nn.Module"),
        (
            lambda: feature_size(Maps(), 8),
            r"Maps: its output .* is \(2, 3, 8, 8\), expected \(2, features\)",
        ),
        (lambda: feature_size(Words(), 8), "Words: its output for two images is str"),
        (lambda: feature_size(nn.Linear(5, 5), 8), "Linear: fails on images of 8×8 pixels"),
    ],
)
def test_one_line_says_what_is_wrong(make, message, tmp_path, monkeypatch):
    (tmp_path / "a_user_s_broken_file.py").write_text("nonsense = = 1")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert len(str(caught.value)) < 400


def test_options_of_resnets_do_not_matter_to_other_networks():
    """A config that sets a ResNet's width and stem can be combined with any --model.encoder.name."""
    assert Encoder("timm.create_model", width=8, stem="small") == Encoder("timm.create_model")


def test_a_network_that_fails_keeps_its_modes():
    network = nn.Sequential(nn.Dropout(), nn.Linear(5, 5)).train()
    network[0].eval()
    with pytest.raises(InputError):
        feature_size(network, 8)
    assert [module.training for module in network.modules()] == [True, False, True]

"""SSQL: the rounded network and the two losses."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from pcrq import InputError
from pcrq.ssl import SSQL, MoCoV3, ssql
from pcrq.ssl.ssql import RoundedNetwork
from projects.image.augmentation import Augmentation
from projects.image.builtin_images import BuiltinImages
from projects.image.encoder import Encoder
from projects.image.pretrain import SiamesePretraining


def normal(*size: int) -> torch.Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(0))


def test_with_many_bits_it_is_the_plain_loss_and_gradient(make_framework, views, kind):
    results = []
    for baseline in (None, SSQL(weight_bits=(24, 24), activation_bits=(16, 16))):
        framework = make_framework(kind)
        loss = framework(*views) if baseline is None else baseline(framework, *views)
        loss.backward()
        results.append((loss, framework.encoder[0].weight.grad, framework.projector.layers[0].weight.grad))
    for plain, rounded in zip(*results, strict=True):
        torch.testing.assert_close(rounded, plain, rtol=1e-2, atol=1e-4)


def test_it_is_the_mean_of_the_rounded_and_the_plain_loss(make_framework, views, kind, monkeypatch):
    framework, baseline = make_framework(kind), SSQL(weight_bits=(2, 2), activation_bits=(4, 4))
    rounded = []

    class Kept(RoundedNetwork):
        def predict(self, view):
            rounded.append(super().predict(view))
            return rounded[-1]

    monkeypatch.setattr(ssql, "RoundedNetwork", Kept)
    loss = baseline(framework, *views)
    plain = make_framework(kind)(*views)
    auxiliary = framework.both_directions(rounded, [framework.target(view) for view in views])
    torch.testing.assert_close(loss, (plain + auxiliary) / 2)
    assert abs(plain - auxiliary) > 0.01  # two bits change what the network says


def test_bit_widths_are_drawn_for_every_step_from_the_whole_ranges(make_framework, views, monkeypatch):
    framework, drawn = make_framework(), []

    class Noted(RoundedNetwork):
        def __init__(self, framework, ranges, weight_bits, activation_bits):
            drawn.append((weight_bits, activation_bits))
            super().__init__(framework, ranges, weight_bits, activation_bits)

    monkeypatch.setattr(ssql, "RoundedNetwork", Noted)
    generator = torch.Generator().manual_seed(0)
    for _ in range(60):
        SSQL()(framework, views[0][:2], views[1][:2], generator)
    weight_bits, activation_bits = (set(bits) for bits in zip(*drawn, strict=True))
    assert weight_bits == set(range(2, 9)) and activation_bits == set(range(4, 9))


def test_all_processes_round_to_the_same_bit_widths(make_framework, views, monkeypatch):
    """Rounded alike by the image trainer, whose other random numbers are of one process."""
    drawn, others = [], []

    class Noted(RoundedNetwork):
        def __init__(self, framework, ranges, weight_bits, activation_bits):
            drawn.append((weight_bits, activation_bits))
            super().__init__(framework, ranges, weight_bits, activation_bits)

    def both_views(images, generator):
        others.append(torch.rand((), generator=generator).item())
        return views

    monkeypatch.setattr(ssql, "RoundedNetwork", Noted)
    for seed, rank in ((0, 0), (0, 1), (1, 0)):
        data = SimpleNamespace(size=8, augmentation=Augmentation(), source=BuiltinImages(count=1))
        module = SiamesePretraining(data, encoder=Encoder("resnet10", 4), baseline=SSQL(), seed=seed)
        del module.augment
        module.framework, module.augment, module.log = make_framework(), both_views, lambda *_, **__: None
        for batch in range(1, 9):
            progress = SimpleNamespace(batch_progress=SimpleNamespace(total=SimpleNamespace(ready=batch)))
            module._trainer = SimpleNamespace(global_rank=rank, fit_loop=SimpleNamespace(epoch_loop=progress))
            module.training_step([None], batch)
    first, second, other_seed = drawn[:8], drawn[8:16], drawn[16:]
    assert first == second and len(set(first)) > 4 and first != other_seed
    assert not set(others[:8]) & set(others[8:16])


def test_the_first_layer_and_the_projector_keep_eight_bits(make_framework):
    framework = make_framework(encoder=nn.Sequential(nn.Flatten(), nn.Linear(192, 64), nn.ReLU(), nn.Linear(64, 12)))
    network = RoundedNetwork(framework, [], weight_bits=2, activation_bits=4)
    assert set(network.encoder_weights) == {"1.weight", "3.weight"}
    assert len(network.encoder_weights["1.weight"][0].unique()) > 4
    assert all(len(row.unique()) <= 4 for row in network.encoder_weights["3.weight"])
    assert all(len(row.unique()) > 4 for row in network.projector_weights["layers.0.weight"])


def test_every_use_of_a_relu_in_a_resnet_has_a_range_of_its_own():
    """torchvision's blocks use one ReLU twice: after the first convolution and after the sum."""
    encoder = resnet18(num_classes=4)
    framework = MoCoV3(encoder, 4, hidden=8, out=4)
    _, ranges = ssql._predict_and_observe(framework, normal(2, 3, 32, 32))
    assert len(ranges) == 1 + 8 * 2
    assert len({float(high) for _, high in ranges}) == len(ranges)


def test_the_network_is_left_as_it_was(make_framework, views):
    framework = make_framework()
    weights = {name: parameter.clone() for name, parameter in framework.named_parameters()}
    SSQL()(framework, *views)
    assert all(torch.equal(parameter, weights[name]) for name, parameter in framework.named_parameters())
    assert not any(module._forward_hooks for module in framework.modules())


def test_an_encoder_without_activation_layers_is_refused(make_framework, views):
    framework = make_framework(encoder=nn.Sequential(nn.Flatten(), nn.Linear(192, 12)))
    with pytest.raises(InputError, match="Sequential has none of the layers ReLU"):
        SSQL()(framework, *views)

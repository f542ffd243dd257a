"""MoCo v3 and BYOL against loops over samples, and what a framework promises to a trainer."""

import io

import numpy as np
import pytest
import torch
from torch import nn

from pcrq import InputError
from pcrq.ssl import BYOL, MoCoV3


def unit(rows: torch.Tensor) -> np.ndarray:
    rows = rows.detach().double().numpy()
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def info_nce(query: np.ndarray, keys: np.ndarray, temperature: float) -> float:
    """MoCo v3, algorithm 1: cross-entropy of every query with its own key against all keys, times 2T."""
    total = 0.0
    for row in range(len(query)):
        similarities = np.array([query[row] @ key for key in keys]) / temperature
        total -= similarities[row] - np.log(np.exp(similarities).sum())
    return 2 * temperature * total / len(query)


def squared_distance(query: np.ndarray, target: np.ndarray) -> float:
    """BYOL, equation 2."""
    return float(np.mean([((one - other) ** 2).sum() for one, other in zip(query, target, strict=True)]))


def branches(framework, views):
    """Unit predictions and targets of both views."""
    return [unit(framework.predict(view)) for view in views], [unit(framework.target(view)) for view in views]


@pytest.mark.parametrize("temperature", [1.0, 0.2, 3.0])
def test_moco_v3_is_the_symmetric_info_nce_times_2t(make_framework, views, temperature):
    framework = make_framework(temperature=temperature)
    (q1, q2), (k1, k2) = branches(framework, views)
    expected = info_nce(q1, k2, temperature) + info_nce(q2, k1, temperature)
    assert framework(*views).item() == pytest.approx(expected, rel=1e-5)


def test_byol_is_the_squared_distance_in_both_directions(make_framework, views):
    framework = make_framework(BYOL)
    (q1, q2), (k1, k2) = branches(framework, views)
    expected = squared_distance(q1, k2) + squared_distance(q2, k1)
    assert framework(*views).item() == pytest.approx(expected, rel=1e-5)
    negative_cosine = -(q1 * k2).sum(axis=1).mean() - (q2 * k1).sum(axis=1).mean()
    assert framework(*views).item() == pytest.approx(4 + 2 * negative_cosine, rel=1e-5)


def test_a_prediction_goes_through_encoder_projector_and_predictor(make_framework, views):
    """The heads by hand: linear layers and batch statistics, in float64."""
    framework = make_framework()

    def by_hand(rows, head):
        for layer in head.layers:
            if isinstance(layer, nn.Linear):
                assert layer.bias is None
                rows = rows @ layer.weight.detach().double().numpy().T
            elif isinstance(layer, nn.BatchNorm1d):
                rows = (rows - rows.mean(axis=0)) / np.sqrt(rows.var(axis=0) + layer.eps)
            else:
                rows = np.maximum(rows, 0)
        return rows

    features = framework.encoder(views[0]).detach().double().numpy()
    expected = by_hand(by_hand(features, framework.projector), framework.predictor)
    np.testing.assert_allclose(framework.predict(views[0]).detach().numpy(), expected, atol=1e-4)
    features = framework.target_encoder(views[0]).double().numpy()
    target = framework.target(views[0]).numpy()  # its batch norm is affine, with values of its own
    assert target.shape == (8, 6) and not np.allclose(target, by_hand(features, framework.projector), atol=1e-2)


def describe(head: nn.Module) -> list[tuple]:
    return [
        (type(layer).__name__, layer.in_features, layer.out_features, layer.bias is not None)
        if isinstance(layer, nn.Linear)
        else (type(layer).__name__, *((layer.num_features, layer.affine) if isinstance(layer, nn.BatchNorm1d) else ()))
        for layer in head.layers
    ]


def test_heads_of_moco_v3_are_those_of_the_original_for_resnets(make_framework):
    framework = make_framework()
    assert describe(framework.projector) == [
        ("Linear", 12, 24, False),
        ("BatchNorm1d", 24, True),
        ("ReLU",),
        ("Linear", 24, 6, False),
        ("BatchNorm1d", 6, False),
    ]
    assert describe(framework.predictor) == [
        ("Linear", 6, 24, False),
        ("BatchNorm1d", 24, True),
        ("ReLU",),
        ("Linear", 24, 6, False),
    ]


def test_heads_of_byol_normalise_the_hidden_layer_only(make_framework):
    framework = make_framework(BYOL)
    for head, size in ((framework.projector, 12), (framework.predictor, 6)):
        hidden = [("Linear", size, 24, False), ("BatchNorm1d", 24, True), ("ReLU",)]
        assert describe(head) == [*hidden, ("Linear", 24, 6, True)]


def test_default_sizes_are_the_papers(kind):
    with torch.device("meta"):
        framework = kind(nn.Identity(), 2048)
    last = 256 if kind is BYOL else 0  # the bias of BYOL's last layers
    heads = framework.projector, framework.predictor
    count = [sum(parameter.numel() for parameter in head.parameters()) for head in heads]
    assert count == [size * 4096 + 2 * 4096 + 4096 * 256 + last for size in (2048, 256)]


def test_the_gradient_reaches_the_online_network_only(make_framework, views, kind):
    framework = make_framework(kind)
    framework(*views).backward()
    for name, parameter in framework.named_parameters():
        assert parameter.requires_grad is not name.startswith("target_"), name
        assert (parameter.grad is None) == name.startswith("target_"), name
    assert framework.encoder[0].weight.grad.abs().sum() > 0
    assert not framework.target(views[0].clone().requires_grad_()).requires_grad


def test_the_target_starts_as_the_online_network(kind):
    framework = kind(nn.Linear(5, 4), 4, hidden=8, out=3)
    assert torch.equal(framework.encoder.weight, framework.target_encoder.weight)
    assert framework.encoder.weight.data_ptr() != framework.target_encoder.weight.data_ptr()
    for online, target in zip(framework.projector.parameters(), framework.target_projector.parameters(), strict=True):
        assert torch.equal(online, target)


def test_the_target_follows_by_its_momentum_and_keeps_its_own_statistics(make_framework, views, kind):
    framework = make_framework(kind)
    framework(*views)
    before = {name: tensor.clone() for name, tensor in framework.state_dict().items()}
    framework.update_target(0.9)
    for name, tensor in framework.state_dict().items():
        if not name.startswith("target_") or "running_" in name or "num_batches" in name:
            assert torch.equal(tensor, before[name]), name
        else:
            expected = 0.9 * before[name] + 0.1 * before[name.removeprefix("target_")]
            torch.testing.assert_close(tensor, expected, msg=name)
    assert before["target_encoder.1.num_batches_tracked"] == 2  # the target computes in training mode


def test_the_same_seed_gives_the_same_loss_and_gradients(make_framework, views, kind):
    results = []
    for _ in range(2):
        framework = make_framework(kind)
        loss = framework(*views)
        loss.backward()
        results.append([loss, *[p.grad for p in framework.parameters() if p.requires_grad]])
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_autocast_computes_networks_in_16_bits_and_the_loss_in_32(make_framework, views, kind):
    framework = make_framework(kind)
    full = framework(*views)
    with torch.autocast("cpu", torch.bfloat16):
        assert framework.predict(views[0]).dtype == torch.bfloat16
        half = framework(*views)
        prediction, target = framework.predict(views[0]), framework.target(views[1])
        in_autocast = framework.match(prediction, target)
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(full.item(), abs=0.05)
    assert in_autocast == framework.match(prediction, target)  # no operation of the loss was cast
    half.backward()
    assert all(p.grad.isfinite().all() for p in framework.parameters() if p.requires_grad)


def test_a_state_dict_holds_both_networks_and_loads_without_pickle(make_framework, views, kind):
    framework, buffer = make_framework(kind), io.BytesIO()
    framework(*views)
    torch.save(framework.state_dict(), buffer)
    buffer.seek(0)
    other = kind(make_framework(kind).encoder, 12, hidden=24, out=6)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    assert torch.equal(other(*views), framework(*views))
    tops = {name.split(".")[0] for name in framework.state_dict()}
    assert tops == {"encoder", "projector", "predictor", "target_encoder", "target_projector"}


def test_every_batch_norm_becomes_synchronised(make_framework, views, kind):
    """As Lightning's sync_batchnorm does. Without other processes, the converted framework says the same."""
    framework = make_framework(kind)
    norms = sum(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in framework.modules())
    before = framework(*views)
    framework = nn.SyncBatchNorm.convert_sync_batchnorm(framework)
    converted = [module for module in framework.modules() if isinstance(module, nn.SyncBatchNorm)]
    assert len(converted) == norms
    assert [module.affine for module in converted].count(False) == (2 if kind is MoCoV3 else 0)
    assert torch.equal(framework(*views), before)


def test_a_temperature_of_zero_is_refused():
    with pytest.raises(InputError, match="temperature 0"):
        MoCoV3(nn.Identity(), 4, temperature=0)


def test_labels_that_name_the_own_row_change_nothing(make_framework, views, kind):
    framework = make_framework(kind)
    prediction, target = framework.predict(views[0]), framework.target(views[1])
    torch.testing.assert_close(framework.match(prediction, target, torch.eye(8)), framework.match(prediction, target))

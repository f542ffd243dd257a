"""What holds for every baseline in every framework it fits."""

import pytest
import torch
from jsonargparse import ArgumentParser
from torch import nn

from pcrq import InputError
from pcrq.ssl import BYOL, DACL, MSF, SSQL, Baseline, IMix, MoCoV3, SiameseFramework


def small_msf() -> MSF:
    return MSF(out=6, memory=32)


METHODS = [*((kind, baseline) for kind in (MoCoV3, BYOL) for baseline in (DACL, IMix, SSQL)), (BYOL, small_msf)]


class Method(nn.Module):
    """A framework and a baseline, as a trainer combines them."""

    def __init__(self, framework: SiameseFramework, baseline: nn.Module):
        super().__init__()
        self.framework, self.baseline = framework, baseline

    def forward(self, first, second, generator):
        return self.baseline(self.framework, first, second, generator)


@pytest.fixture(params=METHODS, ids=[f"{kind.__name__}-{baseline.__name__}" for kind, baseline in METHODS])
def method(request, make_framework) -> Method:
    kind, baseline = request.param
    return Method(make_framework(kind), baseline())


def test_the_loss_trains_the_online_network_and_nothing_else(method, views):
    loss = method(*views, torch.Generator().manual_seed(0))
    assert loss.shape == () and loss.dtype == torch.float32 and loss.isfinite()
    loss.backward()
    for name, parameter in method.framework.named_parameters():
        assert (parameter.grad is None) == name.startswith("target_"), name
    assert method.framework.encoder[0].weight.grad.abs().sum() > 0


def test_the_generator_decides(method, views):
    state = {name: tensor.clone() for name, tensor in method.state_dict().items()}
    losses = []
    for seed in (0, 0, 1, 2, 3):
        method.load_state_dict(state)
        torch.manual_seed(len(losses))  # the global generator must not matter
        losses.append(method(*views, torch.Generator().manual_seed(seed)).item())
    assert losses[0] == losses[1]
    if not isinstance(method.baseline, MSF):  # it draws nothing
        assert len(set(losses)) > 2


def test_it_runs_under_autocast(method, views):
    state = {name: tensor.clone() for name, tensor in method.state_dict().items()}
    full = method(*views, torch.Generator().manual_seed(0)).item()
    method.load_state_dict(state)
    with torch.autocast("cpu", torch.bfloat16):
        loss = method(*views, torch.Generator().manual_seed(0))
    loss.backward()
    assert loss.dtype == torch.float32 and loss.item() == pytest.approx(full, abs=0.1)
    assert all(p.grad.isfinite().all() for p in method.parameters() if p.requires_grad)


def test_it_learns_to_tell_eight_samples(method, views):
    """Twenty steps of plain gradient descent lower the loss of a fixed draw."""
    optimizer = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.05, momentum=0.9)
    losses = []
    for _ in range(20):
        method.framework.update_target(0.99)
        loss = method(*views, torch.Generator().manual_seed(0))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.1


def test_a_framework_and_a_baseline_can_be_configured():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(SiameseFramework, "framework", skip={"encoder", "features", "projector", "predictor"})
    parser.add_subclass_arguments(Baseline, "baseline")
    baseline = {"class_path": "pcrq.ssl.SSQL", "init_args": {"weight_bits": [3, 5]}}
    framework = {"class_path": "pcrq.ssl.MoCoV3", "init_args": {"hidden": 8, "out": 4, "temperature": 0.2}}
    values = parser.parse_object({"framework": framework, "baseline": baseline})
    assert values.framework.init_args.temperature == 0.2
    assert values.baseline.init_args.weight_bits == (3, 5)


@pytest.mark.parametrize(
    ("baseline", "message"),
    [
        (lambda: DACL(alpha=0.5), "alpha 0.5"),
        (lambda: DACL(alpha=1.1), "alpha 1.1"),
        (lambda: SSQL(weight_bits=(8, 2)), "weight_bits 8 to 2"),
        (lambda: SSQL(activation_bits=(1, 4)), "activation_bits 1 to 4"),
        (lambda: MSF(memory=3, neighbours=5), "neighbours 5"),
    ],
)
def test_options_that_cannot_work_are_refused(baseline, message):
    with pytest.raises(InputError, match=message):
        baseline()

"""What holds for every baseline in every framework it fits."""

from pathlib import Path

import pytest
import torch
from jsonargparse import ArgumentParser

from pcrq.errors import InputError
from pcrq.ssl.byol import BYOL
from pcrq.ssl.mixing import DACL, IMix
from pcrq.ssl.moco_v3 import MoCoV3
from pcrq.ssl.msf import MSF
from pcrq.ssl.siamese import SiameseFramework
from pcrq.ssl.ssql import SSQL


def small_msf() -> MSF:
    return MSF(out=6, memory=32)


METHODS = [*((kind, baseline) for kind in (MoCoV3, BYOL) for baseline in (DACL, IMix, SSQL)), (BYOL, small_msf)]


@pytest.fixture(params=METHODS, ids=[f"{kind.__name__}-{baseline.__name__}" for kind, baseline in METHODS])
def framework(request, make_framework) -> SiameseFramework:
    kind, baseline = request.param
    return make_framework(kind, baseline=baseline())


def test_the_loss_trains_the_online_network_and_nothing_else(framework, views):
    loss = framework(*views, torch.Generator().manual_seed(0))
    assert loss.shape == () and loss.dtype == torch.float32 and loss.isfinite()
    loss.backward()
    for name, parameter in framework.named_parameters():
        assert (parameter.grad is None) == name.startswith("target_"), name
    assert framework.encoder[0].weight.grad.abs().sum() > 0


def test_the_generator_decides(framework, views):
    state = {name: tensor.clone() for name, tensor in framework.state_dict().items()}
    losses = []
    for seed in (0, 0, 1, 2, 3):
        framework.load_state_dict(state)
        torch.manual_seed(len(losses))  # the global generator must not matter
        losses.append(framework(*views, torch.Generator().manual_seed(seed)).item())
    assert losses[0] == losses[1]
    if not isinstance(framework.baseline, MSF):  # it draws nothing
        assert len(set(losses)) > 2


def test_it_runs_under_autocast(framework, views):
    state = {name: tensor.clone() for name, tensor in framework.state_dict().items()}
    full = framework(*views, torch.Generator().manual_seed(0)).item()
    framework.load_state_dict(state)
    with torch.autocast("cpu", torch.bfloat16):
        loss = framework(*views, torch.Generator().manual_seed(0))
    loss.backward()
    assert loss.dtype == torch.float32 and loss.item() == pytest.approx(full, abs=0.1)
    assert all(p.grad.isfinite().all() for p in framework.parameters() if p.requires_grad)


def test_it_learns_to_tell_eight_samples(framework, views):
    """Twenty steps of plain gradient descent lower the loss of a fixed draw."""
    optimizer = torch.optim.SGD([p for p in framework.parameters() if p.requires_grad], lr=0.05, momentum=0.9)
    losses = []
    for _ in range(20):
        framework.update_target(0.99)
        loss = framework(*views, torch.Generator().manual_seed(0))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.1


def test_a_framework_and_its_baseline_are_one_configuration():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(SiameseFramework, "framework", skip={"encoder", "features", "projector", "predictor"})
    baseline = {"class_path": "pcrq.ssl.ssql.SSQL", "init_args": {"weight_bits": [3, 5]}}
    options = {"hidden": 8, "out": 4, "temperature": 0.2, "baseline": baseline}
    framework = {"class_path": "pcrq.ssl.moco_v3.MoCoV3", "init_args": options}
    values = parser.parse_object({"framework": framework})
    assert values.framework.init_args.baseline.init_args.weight_bits == (3, 5)


def test_the_example_of_the_readme_runs():
    text = (Path(__file__).parents[3] / "pcrq/ssl/README.md").read_text(encoding="utf-8")
    names: dict = {}
    exec(compile(text.split("```python\n")[1].split("```")[0], "README.md", "exec"), names)
    assert names["loss"].isfinite()


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

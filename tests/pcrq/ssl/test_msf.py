"""MSF: neighbours in a memory of target features, against sorting all distances."""

import io

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pcrq.errors import InputError
from pcrq.ssl.byol import BYOL
from pcrq.ssl.msf import MSF


def unit(*size: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(*size, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_the_loss_is_the_mean_squared_distance_to_the_nearest_memories(make_framework, views):
    baseline = MSF(out=6, memory=32, neighbours=4)
    framework = make_framework(BYOL, baseline=baseline)
    query = F.normalize(framework.predict(views[0]), dim=1).detach().double().numpy()
    target = F.normalize(framework.target(views[1]), dim=1).double().numpy()
    memory = np.concatenate([target, baseline.memory[8:].double().numpy()])  # the eight oldest have made room
    total = 0.0
    for row in range(8):
        distance_to_target = ((memory - target[row]) ** 2).sum(axis=1)
        for neighbour in np.argsort(distance_to_target)[:4]:
            total += ((query[row] - memory[neighbour]) ** 2).sum() / 4
    assert framework(*views).item() == pytest.approx(total / 8, rel=1e-5)


def test_the_nearest_neighbour_is_the_target_itself_so_that_one_neighbour_makes_byol(make_framework, views):
    baseline = MSF(out=6, memory=32, neighbours=1)
    framework = make_framework(BYOL, baseline=baseline)
    loss = framework(*views)
    target = framework.target(views[1])
    torch.testing.assert_close(baseline.nearest(F.normalize(target, dim=1))[:, 0], F.normalize(target, dim=1))
    torch.testing.assert_close(loss, framework.match(framework.predict(views[0]), target))


def test_neighbours_come_nearest_first():
    baseline = MSF(out=6, memory=50, neighbours=50)
    similarity = (baseline.nearest(unit(3, 6)) * unit(3, 6).unsqueeze(1)).sum(dim=2)
    assert (similarity.diff(dim=1) <= 1e-6).all()


def test_the_memory_forgets_the_oldest_and_wraps_around():
    baseline = MSF(out=4, memory=7, neighbours=1)
    start, batches = baseline.memory.clone(), [unit(3, 4, seed=seed) for seed in range(3)]
    for batch in batches:
        baseline.remember(batch)
    assert baseline.oldest == 2
    assert torch.equal(baseline.memory[6], batches[2][0])
    assert torch.equal(baseline.memory[:2], batches[2][1:])
    assert torch.equal(baseline.memory[2], batches[0][2])
    assert torch.equal(baseline.memory[3:6], batches[1])
    assert torch.equal(start, MSF(out=4, memory=7, neighbours=1).memory)  # equal on every device
    torch.testing.assert_close(start.norm(dim=1), torch.ones(7))


def test_a_feature_that_is_not_finite_is_not_remembered():
    baseline = MSF(out=4, memory=7, neighbours=1)
    start, batch = baseline.memory.clone(), unit(3, 4)
    batch[1, 2] = float("nan")
    baseline.remember(batch)
    assert torch.equal(baseline.memory[1], start[1]) and torch.equal(baseline.memory[2], batch[2])


def test_the_memory_is_part_of_a_checkpoint(make_framework, views):
    framework, buffer = make_framework(BYOL, baseline=MSF(out=6, memory=32)), io.BytesIO()
    framework(*views)
    torch.save(framework.state_dict(), buffer)
    buffer.seek(0)
    other = make_framework(BYOL, baseline=MSF(out=6, memory=32))
    other.load_state_dict(torch.load(buffer, weights_only=True))
    assert other.baseline.oldest == 8
    assert torch.equal(other(*views), framework(*views))


def test_the_memory_goes_where_the_network_goes_although_it_is_no_buffer(make_framework):
    framework = make_framework(BYOL, baseline=MSF(out=6, memory=32))
    assert not list(framework.baseline.buffers())
    framework.to(torch.float64)
    assert framework.baseline.memory.dtype == torch.float64 and framework.baseline.oldest.dtype == torch.int64
    framework.to("meta")
    assert framework.baseline.memory.is_meta and framework.baseline.oldest.is_meta


def test_a_memory_of_another_size_or_none_is_not_loaded(make_framework):
    framework = make_framework(BYOL, baseline=MSF(out=6, memory=32))
    before, state = framework.baseline.memory.clone(), framework.state_dict()
    with pytest.raises(RuntimeError, match=r"size mismatch for baseline\.memory"):
        framework.load_state_dict({**state, "baseline.memory": torch.zeros(16, 6)})
    del state["baseline.memory"]
    with pytest.raises(RuntimeError, match=r"(?s)Missing key.*baseline\.memory"):
        framework.load_state_dict(state)
    assert torch.equal(framework.baseline.memory, before) and not list(framework.baseline.buffers())


def test_what_does_not_fit_is_named(make_framework, views):
    with pytest.raises(InputError, match="extends BYOL, not MoCoV3"):
        make_framework(baseline=MSF(out=6, memory=32))(*views)
    with pytest.raises(InputError, match="remembers 5 numbers a feature, the framework has 6; set out"):
        make_framework(BYOL, baseline=MSF(out=5, memory=32))(*views)
    with pytest.raises(InputError, match="remembers 7 features, a batch has 8; raise memory"):
        make_framework(BYOL, baseline=MSF(out=6, memory=7))(*views)

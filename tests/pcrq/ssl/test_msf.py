"""MSF: neighbours in a memory of target features, against sorting all distances."""

import io

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pcrq import InputError
from pcrq.ssl import BYOL, MSF


def unit(*size: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(*size, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_the_loss_is_the_mean_squared_distance_to_the_nearest_memories(make_framework, views):
    baseline = MSF(out=6, memory=32, neighbours=4)
    framework = make_framework(BYOL)
    query = F.normalize(framework.predict(views[0]), dim=1).detach().double().numpy()
    target = F.normalize(framework.target(views[1]), dim=1).double().numpy()
    memory = np.concatenate([target, baseline.memory[8:].double().numpy()])  # the eight oldest have made room
    total = 0.0
    for row in range(8):
        distance_to_target = ((memory - target[row]) ** 2).sum(axis=1)
        for neighbour in np.argsort(distance_to_target)[:4]:
            total += ((query[row] - memory[neighbour]) ** 2).sum() / 4
    assert baseline(framework, *views).item() == pytest.approx(total / 8, rel=1e-5)


def test_the_nearest_neighbour_is_the_target_itself_so_that_one_neighbour_makes_byol(make_framework, views):
    baseline = MSF(out=6, memory=32, neighbours=1)
    framework = make_framework(BYOL)
    loss = baseline(framework, *views)
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
    framework, baseline, buffer = make_framework(BYOL), MSF(out=6, memory=32), io.BytesIO()
    baseline(framework, *views)
    torch.save(baseline.state_dict(), buffer)
    buffer.seek(0)
    other = MSF(out=6, memory=32)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    assert other.oldest == 8
    assert torch.equal(other(framework, *views), baseline(framework, *views))


def test_the_memory_goes_where_the_network_goes():
    baseline = MSF(out=6, memory=32)
    assert [name for name, _ in baseline.named_buffers()] == ["memory", "oldest"]
    baseline.to(torch.float64)
    assert baseline.memory.dtype == torch.float64 and baseline.oldest.dtype == torch.int64
    baseline.to("meta")
    assert baseline.memory.is_meta and baseline.oldest.is_meta


def test_a_memory_of_another_size_or_none_is_not_loaded():
    baseline = MSF(out=6, memory=32)
    before, state = baseline.memory.clone(), baseline.state_dict()
    with pytest.raises(RuntimeError, match=r"size mismatch for memory"):
        baseline.load_state_dict({**state, "memory": torch.zeros(16, 6)})
    del state["memory"]
    with pytest.raises(RuntimeError, match=r"(?s)Missing key.*memory"):
        baseline.load_state_dict(state)
    assert torch.equal(baseline.memory, before)


def test_what_does_not_fit_is_named(make_framework, views):
    with pytest.raises(InputError, match="extends BYOL, not MoCoV3"):
        MSF(out=6, memory=32)(make_framework(), *views)
    with pytest.raises(InputError, match="MSF out 5: the framework's projections have size 6; set out"):
        MSF(out=5, memory=32)(make_framework(BYOL), *views)
    with pytest.raises(InputError, match="MSF memory 7: smaller than the joint batch of 8; raise memory"):
        MSF(out=6, memory=7)(make_framework(BYOL), *views)

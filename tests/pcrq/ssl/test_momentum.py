"""The momentum's schedule and the moving average against closed forms."""

import math

import pytest
import torch
from lightly.models.utils import update_momentum  # what SiameseFramework.update_target calls
from torch import nn

from pcrq.ssl import cosine_momentum


def test_the_momentum_rises_from_its_start_to_one_along_a_cosine():
    assert cosine_momentum(0, 400, 0.99) == pytest.approx(0.99)
    assert cosine_momentum(100, 400, 0.99) == pytest.approx(1 - 0.01 * (1 + math.sqrt(0.5)) / 2)
    assert cosine_momentum(200, 400, 0.99) == pytest.approx(0.995)
    assert cosine_momentum(400, 400, 0.99) == 1
    assert cosine_momentum(500, 400, 0.996) == 1  # a training that goes on longer than it said
    assert {cosine_momentum(step, 400, 0.99, 0.99) for step in range(500)} == {0.99}
    assert cosine_momentum(100, 400, 0.9, 0.98) == pytest.approx(0.98 - 0.08 * (1 + math.sqrt(0.5)) / 2)


def test_the_distance_to_a_network_that_rests_shrinks_by_the_momentum_each_time():
    torch.manual_seed(0)
    online, target = nn.Linear(4, 3), nn.Linear(4, 3)
    distance = {name: tensor - online.get_parameter(name) for name, tensor in target.named_parameters()}
    for _ in range(10):
        update_momentum(online, target, 0.8)
    for name, tensor in target.named_parameters():
        torch.testing.assert_close(tensor, online.get_parameter(name) + 0.8**10 * distance[name])


def test_momentum_one_leaves_the_target_alone_and_zero_copies():
    online, target = nn.Linear(4, 3), nn.Linear(4, 3)
    before = target.weight.clone()
    update_momentum(online, target, 1.0)
    assert torch.equal(target.weight, before)
    update_momentum(online, target, 0.0)
    assert torch.equal(target.weight, online.weight)


def test_buffers_are_the_targets_own():
    online, target = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    online(torch.randn(8, 3) + 5)
    update_momentum(online, target, 0.0)
    assert torch.equal(target.running_mean, torch.zeros(3)) and target.num_batches_tracked == 0

"""LARS against its definition in numpy; the learning rate against closed forms."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from pcrq import InputError
from pcrq.ssl import LARS, scaled_learning_rate, warmup_cosine


def test_steps_are_those_of_the_definition():
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(4, 3)), rng.normal(size=4)
    parameters = [torch.tensor(weight, requires_grad=True), torch.tensor(bias, requires_grad=True)]
    optimizer = LARS(parameters, lr=0.3, weight_decay=0.01, momentum=0.9, trust_coefficient=0.02)
    velocity = [np.zeros_like(weight), np.zeros_like(bias)]
    for _ in range(3):
        gradients = [rng.normal(size=(4, 3)), rng.normal(size=4)]
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = torch.tensor(gradient)
        optimizer.step()
        decayed = gradients[0] + 0.01 * weight
        local = 0.02 * np.linalg.norm(weight) / np.linalg.norm(decayed)
        velocity = [0.9 * velocity[0] + local * decayed, 0.9 * velocity[1] + gradients[1]]
        weight, bias = weight - 0.3 * velocity[0], bias - 0.3 * velocity[1]
        np.testing.assert_allclose(parameters[0].detach().numpy(), weight)
        np.testing.assert_allclose(parameters[1].detach().numpy(), bias)


def test_one_dimensional_parameters_move_as_in_plain_sgd():
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(5)
    copy = nn.BatchNorm1d(5)
    ours = LARS(norm.parameters(), lr=0.2, weight_decay=10.0)
    plain = torch.optim.SGD(copy.parameters(), lr=0.2, momentum=0.9)
    for _ in range(3):
        rows = torch.randn(8, 5)
        for module, optimizer in ((norm, ours), (copy, plain)):
            optimizer.zero_grad()
            module(rows).pow(3).sum().backward()
            optimizer.step()
    torch.testing.assert_close(norm.weight, copy.weight)
    torch.testing.assert_close(norm.bias, copy.bias)


def test_the_first_step_of_a_weight_has_a_length_that_its_gradient_does_not_change():
    for size in (1e-3, 1e3):
        weight = torch.ones(4, 4, requires_grad=True)
        weight.grad = size * torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
        LARS([weight], lr=1.0, trust_coefficient=0.001).step()
        assert (weight - 1).norm().item() == pytest.approx(0.001 * 4, rel=1e-3)


def test_zero_weights_and_zero_gradients_are_not_scaled():
    weight, still = torch.zeros(2, 2, requires_grad=True), torch.ones(2, 2, requires_grad=True)
    weight.grad, still.grad = torch.ones(2, 2), torch.zeros(2, 2)
    LARS([weight, still], lr=0.5).step()
    assert torch.equal(weight, torch.full((2, 2), -0.5))
    assert torch.equal(still, torch.ones(2, 2))


def test_a_parameter_without_gradient_stays_and_a_closure_is_called_with_gradients_on():
    used, unused = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    optimizer = LARS([used, unused], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = (used**2).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 2
    assert torch.allclose(used, torch.full((2,), 0.8)) and torch.equal(unused, torch.ones(2))


def test_the_state_continues_exactly():
    def fresh():
        weight = torch.arange(6.0).view(2, 3).requires_grad_()
        return weight, LARS([weight], lr=0.1, weight_decay=1e-3)

    def steps(weight, optimizer, number):
        for _ in range(number):
            weight.grad = weight.detach().sin()
            optimizer.step()

    straight, optimizer = fresh()
    steps(straight, optimizer, 4)
    halfway, optimizer = fresh()
    steps(halfway, optimizer, 2)
    resumed, other = fresh()
    resumed.data.copy_(halfway)
    other.load_state_dict(optimizer.state_dict())
    steps(resumed, other, 2)
    assert torch.equal(resumed, straight)


def test_the_learning_rate_grows_with_the_batch():
    assert scaled_learning_rate(0.6, 4096) == pytest.approx(9.6)
    assert scaled_learning_rate(0.3, 256) == 0.3


def test_the_rate_warms_up_from_zero_and_decays_to_zero_as_in_the_original():
    assert [warmup_cosine(step, 100, 10) for step in (0, 5, 10)] == [0, 0.5, 1]
    assert warmup_cosine(55, 100, 10) == pytest.approx(0.5)
    assert warmup_cosine(100, 100, 10) == pytest.approx(0, abs=1e-12)
    assert warmup_cosine(0, 100, 0) == 1
    batches, epochs, warm_epochs = 7, 20, 3  # counted in epochs, as in the original
    for step in range(batches * epochs):
        epoch = step / batches
        cosine = 0.5 * (1 + math.cos(math.pi * (epoch - warm_epochs) / (epochs - warm_epochs)))
        expected = epoch / warm_epochs if epoch < warm_epochs else cosine
        assert warmup_cosine(step, batches * epochs, batches * warm_epochs) == pytest.approx(expected)


def test_a_warm_up_as_long_as_the_training_is_refused():
    with pytest.raises(InputError, match="10 warm-up steps in a training of 10"):
        warmup_cosine(0, 10, 10)

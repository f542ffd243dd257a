"""Rounding of weights and activations: levels, gradients, and what it keeps for backward."""

import numpy as np
import pytest
import torch

from pcrq.ssl.ssql import round_activation, round_weight


def normal(*size: int) -> torch.Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_weights_are_rounded_to_the_nearest_level_of_their_output_channel(bits):
    weight = normal(6, 5, 3, 3) * torch.logspace(-3, 2, 6).view(6, 1, 1, 1)
    rounded = round_weight(weight, bits)
    for channel, result in zip(weight, rounded, strict=True):
        step = 2 * channel.abs().max() / (2**bits - 1)
        levels = result / step
        torch.testing.assert_close(levels, levels.round(), atol=1e-3, rtol=0)
        assert levels.round().min() >= -(2 ** (bits - 1)) and levels.round().max() <= 2 ** (bits - 1) - 1
        assert (result - channel).abs().max() <= step * 0.5001


@pytest.mark.parametrize("bits", [4, 8])
def test_activations_are_rounded_to_levels_of_their_range_and_zero_stays_zero(bits):
    activation = torch.cat([normal(1000), torch.zeros(1)])
    low, high = torch.tensor(-1.0), torch.tensor(2.0)
    rounded = round_activation(activation, low, high, bits)
    step = 3 / (2**bits - 1)
    assert len(rounded.unique()) <= 2**bits
    assert rounded[-1] == 0
    inside = (activation > -1) & (activation < 2)
    assert (rounded - activation)[inside].abs().max() <= step
    assert rounded.min() >= -1 - step and rounded.max() <= 2 + step


def test_a_channel_of_zeros_and_a_layer_that_says_one_value_stay():
    assert torch.equal(round_weight(torch.zeros(2, 3), 4), torch.zeros(2, 3))
    constant = torch.full((5,), 0.3)
    assert torch.equal(round_activation(constant, torch.tensor(0.3), torch.tensor(0.3), 4), constant)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_the_gradient_of_weights_passes_rounding_and_the_distance_of_the_levels_but_not_clamping(bits):
    """Published: clamp(round(w / s)) · s with s = max|w| / ((2^bits - 1) / 2) of the channel, not detached."""
    weight, upstream, half = normal(6, 40), normal(6, 40).flip(1).numpy(), np.float32((2**bits - 1) / 2)
    expected = np.zeros((6, 40))
    for channel, values in enumerate(weight.numpy()):
        largest = np.abs(values).argmax()
        step = abs(values[largest]) / half  # the largest is half a level from two: float32 decides on its rounding
        rounded = np.round(values / step)
        level = np.clip(rounded, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        passed = level == rounded
        expected[channel] = upstream[channel] * passed
        of_step = (upstream[channel] * (level - passed * values / step)).sum()
        expected[channel, largest] += of_step * np.sign(values[largest]) / half
    weight.requires_grad_()
    (round_weight(weight, bits) * torch.from_numpy(upstream.copy())).sum().backward()
    np.testing.assert_allclose(weight.grad.numpy(), expected, atol=1e-4)


def test_the_gradient_of_activations_passes_rounding_but_not_clamping():
    activation = normal(50).requires_grad_()
    round_activation(activation, torch.tensor(-9.0), torch.tensor(9.0), 4).sum().backward()
    assert torch.allclose(activation.grad, torch.ones(50))
    activation.grad = None
    round_activation(activation, torch.tensor(-0.5), torch.tensor(0.5), 4).sum().backward()
    assert activation.grad[activation.abs() > 0.6].abs().sum() == 0  # clamped
    low, high, values = torch.tensor(-0.43), torch.tensor(0.9), torch.linspace(-1, 1.5, 500).requires_grad_()
    round_activation(values, low, high, 4).sum().backward()
    step = 1.33 / 15  # the lowest level is round(-0.43 / step) = -5, so values round to -5 … 10
    rounded = np.round(values.detach().double().numpy() / step)
    np.testing.assert_array_equal(values.grad.numpy(), (rounded >= -5) & (rounded <= 10))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rounding_keeps_a_byte_a_number_for_backward(dtype):
    activation = normal(64, 100).to(dtype).requires_grad_()
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        rounded = round_activation(activation, torch.tensor(-1.0), torch.tensor(2.0), 4)
    assert rounded.dtype == dtype
    assert sum(storage.nbytes() for storage in kept.values()) <= activation.numel()
    rounded.sum().backward()
    assert activation.grad.dtype == dtype


def test_sixteen_bits_are_rounded_to_the_levels_of_their_float32_values():
    """Eight binary digits hold the 256 levels, but not the quotients that choose among them."""
    low, high = torch.tensor(0.0), torch.tensor(3.0)
    activation = torch.linspace(0, 3, 2000).to(torch.bfloat16)
    expected = np.round(activation.double().numpy() * 255 / 3)
    rounded = round_activation(activation, low, high, 8)
    assert np.array_equal(np.round(rounded.double().numpy() * 255 / 3), expected)

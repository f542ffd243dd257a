"""i-Mix: mixed inputs and virtual labels, against loops over samples."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pcrq import InputError
from pcrq.ssl import BYOL, IMix
from pcrq.ssl.mixing import input_mix, mix, virtual_labels

SHARE = torch.tensor([0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 0.55, 0.65])
PARTNER = torch.tensor([3, 0, 1, 2, 4, 7, 5, 6])  # sample 4 is its own partner


class FixedIMix(IMix):
    """i-Mix with a draw that the test knows."""

    def __init__(self, share: torch.Tensor):
        super().__init__()
        self.share = share

    def sample(self, batch, device, generator=None):
        return self.share, PARTNER


def test_labels_of_a_mix_sum_to_one_and_name_the_two_samples():
    labels = virtual_labels(SHARE, PARTNER)
    torch.testing.assert_close(labels.sum(dim=1), torch.ones(8))
    assert labels[1].tolist() == pytest.approx([0.4, 0.6, 0, 0, 0, 0, 0, 0])
    assert labels[4].tolist() == [0, 0, 0, 0, 1, 0, 0, 0]


def test_the_larger_share_is_the_samples_own_and_partners_are_a_permutation():
    share, partner = IMix().sample(20_000, torch.device("cpu"), torch.Generator().manual_seed(0))
    assert 0.5 <= share.min() < 0.501 and share.max() <= 1
    assert share.mean().item() == pytest.approx(0.75, abs=0.005)
    assert torch.equal(partner.sort().values, torch.arange(20_000))


def test_with_nothing_mixed_it_is_the_plain_loss(make_framework, views, kind):
    framework = make_framework(kind)
    torch.testing.assert_close(FixedIMix(torch.ones(8))(framework, *views), framework(*views))


def test_the_loss_is_the_same_mix_of_the_losses_of_both_labels(make_framework, views, kind):
    framework = make_framework(kind)
    expected = 0.0
    for query_view, key_view in (views, views[::-1]):
        queries = F.normalize(framework.predict(mix(query_view, SHARE, PARTNER)), dim=1).detach().double().numpy()
        keys = F.normalize(framework.target(key_view), dim=1).double().numpy()

        def price(row, label, queries=queries, keys=keys):
            if kind is BYOL:
                return ((queries[row] - keys[label]) ** 2).sum()
            similarities = keys @ queries[row]
            return -2 * (similarities[label] - np.log(np.exp(similarities).sum()))

        shares = SHARE.double().numpy()
        expected += np.mean(
            [shares[row] * price(row, row) + (1 - shares[row]) * price(row, int(PARTNER[row])) for row in range(8)]
        )
    assert FixedIMix(SHARE)(framework, *views).item() == pytest.approx(expected, rel=1e-5)


def test_inputmix_adds_other_views_of_the_whole_batch_and_keeps_half_of_the_view():
    baseline, samples = IMix(inputmix=2), torch.randn(6, 2, 3, generator=torch.Generator().manual_seed(1))
    shares, partners = baseline.sample_inputs(6, torch.device("cpu"), torch.Generator().manual_seed(0))
    mixed = input_mix(samples, shares, partners)
    for row in range(6):
        parts = [samples[row], *(samples[partner[row]] for partner in partners)]
        expected = sum(float(share) * part.double().numpy() for share, part in zip(shares[:, row], parts, strict=True))
        np.testing.assert_allclose(mixed[row].numpy(), expected, atol=1e-6)
    assert all(torch.equal(partner.sort().values, torch.arange(6)) for partner in partners)


@pytest.mark.parametrize("others", [1, 2, 3])
def test_half_of_an_input_is_shared_by_a_flat_dirichlet_distribution(others):
    """Its marginals are Beta(1, K): mean 1 / (K + 1), and P(x > 1/2) = 2^-K."""
    shares, _ = IMix(others).sample_inputs(40_000, torch.device("cpu"), torch.Generator().manual_seed(0))
    torch.testing.assert_close(shares.sum(dim=0), torch.ones(40_000))
    half = 2 * torch.cat([shares[:1] - 0.5, shares[1:]])
    assert half.min() >= 0
    for share in half:
        assert share.mean().item() == pytest.approx(1 / (others + 1), abs=0.01)
        assert (share > 0.5).float().mean().item() == pytest.approx(0.5**others, abs=0.01)


def test_both_networks_see_the_mixed_inputs_and_only_the_online_network_their_mix(make_framework, views, kind):
    framework, seen = make_framework(kind), {"online": [], "target": []}
    framework.encoder.register_forward_pre_hook(lambda _, args: seen["online"].append(args[0]))
    framework.target_encoder.register_forward_pre_hook(lambda _, args: seen["target"].append(args[0]))
    baseline = IMix(inputmix=2)
    baseline(framework, *views, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(0)
    mixed = input_mix(torch.cat(views), *baseline.sample_inputs(16, torch.device("cpu"), generator)).chunk(2)
    for view, online, target in zip(mixed, seen["online"], seen["target"], strict=True):
        assert torch.equal(target, view)
        assert torch.equal(online, mix(view, *baseline.sample(8, torch.device("cpu"), generator)))


def test_inputmix_is_an_option_of_records_only_where_it_is_used():
    assert (IMix().options, IMix(inputmix=2).options) == ({}, {"inputmix": 2})
    with pytest.raises(InputError, match="inputmix -1: must be at least 0"):
        IMix(inputmix=-1)


def test_only_the_online_network_sees_mixes(make_framework, views, kind):
    framework, inputs = make_framework(kind), []
    framework.target_encoder.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    IMix()(framework, *views, torch.Generator().manual_seed(0))
    assert torch.equal(inputs[0], views[0]) and torch.equal(inputs[1], views[1])

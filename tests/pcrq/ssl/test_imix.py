"""i-Mix: mixed inputs and virtual labels, against loops over samples."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pcrq.ssl import BYOL, IMix
from pcrq.ssl.mixing import mix, virtual_labels

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


def test_only_the_online_network_sees_mixes(make_framework, views, kind):
    framework, inputs = make_framework(kind), []
    framework.target_encoder.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    IMix()(framework, *views, torch.Generator().manual_seed(0))
    assert torch.equal(inputs[0], views[0]) and torch.equal(inputs[1], views[1])

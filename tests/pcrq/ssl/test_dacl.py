"""DACL: mixup noise in which the sample dominates."""

import pytest
import torch

from pcrq import InputError
from pcrq.ssl import DACL
from pcrq.ssl.mixing import mix


def test_shares_are_uniform_from_alpha_to_one():
    share, _ = DACL(alpha=0.7).sample(20_000, torch.device("cpu"), torch.Generator().manual_seed(0))
    assert 0.7 <= share.min() < 0.701 and 0.999 < share.max() <= 1
    assert share.mean().item() == pytest.approx(0.85, abs=0.002)
    assert share.std().item() == pytest.approx(0.3 / 12**0.5, abs=0.002)


def test_a_partner_is_any_other_sample():
    generator = torch.Generator().manual_seed(0)
    partners = torch.stack([DACL().sample(4, torch.device("cpu"), generator)[1] for _ in range(100)])
    for row in range(4):
        assert set(partners[:, row].tolist()) == {0, 1, 2, 3} - {row}


def test_a_mix_is_the_weighted_sum():
    samples = torch.tensor([[[1.0, 2.0]], [[10.0, 20.0]], [[100.0, 200.0]]])
    mixed = mix(samples, torch.tensor([0.9, 1.0, 0.75]), torch.tensor([1, 2, 0]))
    torch.testing.assert_close(mixed, torch.tensor([[[1.9, 3.8]], [[10.0, 20.0]], [[75.25, 150.5]]]))


def test_both_networks_see_the_mixes_and_the_views_have_draws_of_their_own(make_framework, views, kind):
    framework = make_framework(kind)
    seen: dict = {"encoder": [], "target_encoder": []}
    for name, inputs in seen.items():
        framework.get_submodule(name).register_forward_pre_hook(lambda _, args, inputs=inputs: inputs.append(args[0]))
    DACL()(framework, *views, torch.Generator().manual_seed(0))
    for number in range(2):
        assert torch.equal(seen["encoder"][number], seen["target_encoder"][number])
        assert not torch.equal(seen["encoder"][number], views[number])
    added = [mixed - view for mixed, view in zip(seen["encoder"], views, strict=True)]
    assert not torch.allclose(*added, atol=0.1)


def test_with_alpha_one_it_is_the_plain_loss(make_framework, views, kind):
    framework = make_framework(kind)
    torch.testing.assert_close(DACL(alpha=1.0)(framework, *views), framework(*views))


def test_a_batch_of_one_is_refused(make_framework, views):
    with pytest.raises(InputError, match="the batch has one sample"):
        DACL()(make_framework(), views[0][:1], views[1][:1])

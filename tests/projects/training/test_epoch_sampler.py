"""The order of shapes over epochs, processes and interruptions."""

import pytest

from projects.training.sampling import EpochSampler


def epoch(epoch, shapes=20, batch_size=3, rank=0, world_size=1, done=0, seed=0):
    sampler = EpochSampler(shapes, batch_size, seed, rank, world_size, done)
    sampler.set_epoch(epoch)
    return list(sampler)


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_every_shape_comes_once_and_only_the_last_batch_is_filled_up(world_size):
    ranks = [epoch(0, rank=rank, world_size=world_size) for rank in range(world_size)]
    assert {len(rank) for rank in ranks} == {len(ranks[0])}
    assert len(ranks[0]) % 3 == 0
    seen = [shape for i in range(0, len(ranks[0]), 3) for rank in ranks for shape in rank[i : i + 3]]
    assert len(seen) - 20 < 3 * world_size
    assert sorted(seen[:20]) == list(range(20))


def test_epochs_and_seeds_shuffle_differently():
    orders = [epoch(0), epoch(1), epoch(0, seed=1)]
    assert orders[0] == epoch(0)
    assert len({tuple(order) for order in orders}) == 3


@pytest.mark.parametrize("world_size", [1, 2])
def test_a_resumed_sampler_goes_on_where_it_stopped(world_size):
    for rank in range(world_size):
        whole = epoch(2, rank=rank, world_size=world_size)
        per_epoch = len(whole) // 3
        resumed = EpochSampler(20, 3, 0, rank, world_size, batches_done=2 * per_epoch + 2)
        assert list(resumed) == whole[2 * 3 :]
        resumed.set_epoch(3)
        assert list(resumed) == epoch(3, rank=rank, world_size=world_size)


def test_few_shapes_fill_a_large_batch():
    assert sorted(set(epoch(0, shapes=4, batch_size=10))) == [0, 1, 2, 3]
    assert len(epoch(0, shapes=4, batch_size=10)) == 10

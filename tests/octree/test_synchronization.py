"""A training step reads values back from the device only where sizes depend on them, so that a GPU is kept busy."""

import warnings

import pytest
import torch
from torch.overrides import TorchFunctionMode

from octree import MIDLoss, MIDNet, RandomAffine, build_octree, quantize
from octree.batch_octree import build_neighbours
from octree.midnet import leaf_features
from pcrq import cpu_kernels

READING = {"tolist", "item", "nonzero", "unique", "bincount", "masked_select", "__bool__", "__int__", "__float__"}


class Readings(TorchFunctionMode):
    """Collects the calls after which the host would wait for a GPU. ocnn's counts of nodes are always on the host."""

    def __init__(self, depth):
        super().__init__()
        self.calls, self.host_bytes = [], 8 * (depth + 1)

    def __torch_function__(self, function, types, args=(), kwargs=None):
        name, first = function.__name__, args[0] if args else None
        on_host = isinstance(first, torch.Tensor) and first.untyped_storage().nbytes() == self.host_bytes
        if name in READING and not on_host:
            self.calls.append(name)
        if name == "__getitem__":
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            self.calls += ["mask" for each in index if isinstance(each, torch.Tensor) and each.dtype == torch.bool]
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("nempty", [True, False])
def test_an_octree_with_its_tables_reads_values_once(batch, nempty, monkeypatch):
    monkeypatch.setattr(cpu_kernels, "library", None)  # a GPU has no use for the compiled kernels
    with Readings(depth=5) as readings:
        octree = build_octree(batch, 5)
        build_neighbours(octree, nempty)
        leaf_features(octree, nempty)
    assert readings.calls == ["tolist"]


def test_augmentation_reads_the_number_of_points_once(batch):
    with Readings(depth=5) as readings:
        RandomAffine()(batch)
    assert readings.calls == ["nonzero"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("nempty", [True, False])
def test_a_step_waits_for_the_gpu_twice(batch, nempty):
    batch = batch.to("cuda")
    network, loss = MIDNet(depth=5, width=16, blocks=1, nempty=nempty).cuda(), MIDLoss(batch.batch_size).cuda()
    optimizer = torch.optim.SGD(network.parameters(), 0.03, momentum=0.9)

    def step():
        augmented = quantize(RandomAffine()(batch), 30)
        features = network(augmented)
        optimizer.zero_grad()
        loss(features, augmented).total.backward()
        optimizer.step()
        loss.update(features, augmented)

    for _ in range(3):  # the first steps compile and tune kernels
        step()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    waits = [str(each.filename) for each in caught if "synchronizing" in str(each.message)]
    assert len(waits) <= 2, waits  # the points that augmentation keeps, and the nodes of the octree

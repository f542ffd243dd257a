"""A training step reads values back from the device only where sizes depend on them, so that a GPU is kept busy."""

import pytest
import torch
from torch.overrides import TorchFunctionMode

from benchmarks.profile_step import waits_for_gpu
from octree import MIDLoss, MIDNet, RandomAffine, build_octree, quantize
from octree.batch_octree import build_neighbors
from octree.midnet import leaf_features
from pcrq import cpu_kernels

READING = {"tolist", "item", "nonzero", "unique", "bincount", "masked_select", "__bool__", "__int__", "__float__"}


class Readings(TorchFunctionMode):
    """Collects the calls after which the host would wait for a GPU, with the memory of the tensor that they read."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        name = function.__name__
        index = args[1] if name == "__getitem__" else ()
        by_mask = any(
            isinstance(each, torch.Tensor) and each.dtype == torch.bool
            for each in (index if isinstance(index, tuple) else (index,))
        )
        if name in READING or by_mask:
            self.calls.append((name, args[0].untyped_storage().data_ptr()))
        return function(*args, **(kwargs or {}))

    def names(self, *host_tensors):
        """The calls that read none of the tensors that are always on the host."""
        on_host = {tensor.untyped_storage().data_ptr() for tensor in host_tensors}
        return [name for name, memory in self.calls if memory not in on_host]


@pytest.mark.parametrize("nempty", [True, False])
def test_an_octree_with_its_tables_reads_values_once(batch, nempty, monkeypatch):
    monkeypatch.setattr(cpu_kernels, "library", None)  # a GPU has no use for the compiled kernels
    with Readings() as readings:
        octree = build_octree(batch, 5)
        build_neighbors(octree, nempty)
        leaf_features(octree, nempty)
    assert readings.names(octree.nnum, octree.nnum_nempty) == ["tolist"]


def test_augmentation_reads_the_number_of_points_once(batch):
    with Readings() as readings:
        RandomAffine()(batch)
    assert readings.names() == ["nonzero"]


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
    waits = waits_for_gpu(step)
    assert waits.total() <= 2, waits  # for the points that augmentation keeps, and for the nodes of the octree

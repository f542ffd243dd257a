"""The convolution over existing pairs, against ocnn's own."""

import ocnn
import pytest
import torch

from octree.batch_octree import build_neighbours, build_octree
from octree.pair_convolution import PairConv, use_pair_convolution


@pytest.fixture(params=[True, False], ids=["non-empty nodes", "all nodes"])
def nempty(request):
    return request.param


def run(conv, data, octree, depth):
    data = data.clone().requires_grad_()
    out = conv(data, octree, depth)
    out.square().sum().backward()
    return out, data.grad, conv.weights.grad


def test_values_and_gradients_equal_ocnn(batch, nempty):
    octree = build_octree(batch, 4)
    build_neighbours(octree, nempty)
    theirs = ocnn.nn.OctreeConv(5, 7, nempty=nempty, use_bias=True).double()
    torch.nn.init.normal_(theirs.bias)
    ours = use_pair_convolution(torch.nn.Sequential(theirs))[0]
    assert type(ours) is PairConv and type(theirs) is ocnn.nn.OctreeConv
    for depth in (3, 4):
        nodes = int((octree.nnum_nempty if nempty else octree.nnum)[depth])
        data = torch.randn(nodes, 5, generator=torch.Generator().manual_seed(depth)).double()
        results = []
        for conv in (ours, theirs):
            conv.zero_grad()
            results.append([tensor.clone() for tensor in run(conv, data, octree, depth)])
        for mine, expected in zip(*results, strict=True):
            torch.testing.assert_close(mine, expected, rtol=1e-10, atol=1e-10)


def test_gradients_are_exact(batch, nempty):
    octree = build_octree(batch.select(torch.arange(len(batch.points)) % 20 == 0), 3)
    build_neighbours(octree, nempty)
    conv = PairConv(2, 2, nempty=nempty).double()
    nodes = int((octree.nnum_nempty if nempty else octree.nnum)[3])
    data = torch.randn(nodes, 2, dtype=torch.double, requires_grad=True)
    conv_of = lambda data, weights: torch.func.functional_call(conv, {"weights": weights}, (data, octree, 3))  # noqa: E731
    assert torch.autograd.gradcheck(conv_of, (data, conv.weights), fast_mode=True)


def test_replacing_keeps_the_names_of_the_weights():
    module = ocnn.modules.OctreeResBlocks(16, 16, 2, nempty=True)
    names = list(module.state_dict())
    use_pair_convolution(module)
    assert list(module.state_dict()) == names
    assert sum(isinstance(m, PairConv) for m in module.modules()) == 2


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_gpu_gives_the_same_numbers(batch, nempty):
    conv = PairConv(16, 16, nempty=nempty)
    octree = build_octree(batch, 4)
    build_neighbours(octree, nempty)
    nodes = int((octree.nnum_nempty if nempty else octree.nnum)[4])
    data = torch.randn(nodes, 16)
    expected = conv(data, octree, 4)
    torch.testing.assert_close(conv.cuda()(data.cuda(), octree.cuda(), 4).cpu(), expected, rtol=1e-2, atol=1e-2)

"""The layers of octree networks, with and without compiled kernels, against ocnn's own."""

import platform
import shutil

import ocnn
import pytest
import torch
from ocnn.nn import octree_max_pool
from ocnn.nn.octree_interp import octree_nearest_upsample

from octree import PointBatch
from octree.batch_octree import build_neighbors, build_octree, interpolate_to_children
from octree.layers import (
    PairConv,
    PairDeconv,
    max_pool,
    unit_vectors,
    upsample,
    use_pair_convolution,
    weighted_sum,
)
from pcrq import InputError, cpu_kernels

KERNELS = [[3], [2], [3, 1, 1], [1, 3, 1], [1, 1, 3], [3, 3, 1], [1, 3, 3], [3, 1, 3]]


@pytest.fixture(params=[True, False], ids=["non-empty nodes", "all nodes"])
def nempty(request):
    return request.param


@pytest.fixture(params=["compiled", "plain"])
def implementation(request, monkeypatch):
    """The compiled kernels, or PyTorch's operations in their place."""
    if request.param == "plain":
        monkeypatch.setattr(cpu_kernels, "library", None)
    elif cpu_kernels.library is None:
        pytest.skip("the kernels are not compiled here")


@pytest.fixture
def octree(batch):
    """An octree with all tables that ocnn has."""
    octree = build_octree(batch, 4)
    octree.construct_all_neigh()
    return octree


def features(octree, depth, nempty, channels=5, dtype=torch.double):
    nodes = int((octree.nnum_nempty if nempty else octree.nnum)[depth])
    return torch.randn(nodes, channels, generator=torch.Generator().manual_seed(depth)).to(dtype)


def run(function, data, *parameters):
    """The result of a function, and the gradients of its squared sum for the data and the parameters."""
    data = data.detach().requires_grad_()
    out = function(data)
    return [out, *torch.autograd.grad(out.double().square().sum(), [data, *parameters])]


def assert_equal(found, expected, tolerance=1e-10):
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.dtype == theirs.dtype
        torch.testing.assert_close(mine, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kind", [ocnn.nn.OctreeConv, ocnn.nn.OctreeDeconv])
def test_convolutions_equal_those_of_ocnn(octree, nempty, implementation, kind, stride, kernel):
    theirs = kind(5, 7, kernel, stride, nempty=nempty, use_bias=True).double()
    torch.nn.init.normal_(theirs.bias)
    ours = use_pair_convolution(torch.nn.Sequential(theirs))[0]
    assert type(ours) in (PairConv, PairDeconv)
    data = features(octree, 3, nempty)
    parameters = [theirs.weights, theirs.bias]
    assert_equal(*(run(lambda x, conv=conv: conv(x, octree, 3), data, *parameters) for conv in (ours, theirs)))


@pytest.mark.parametrize("channels", [(1, 1), (4, 16), (8, 8), (16, 24), (32, 40), (64, 128)], ids=str)
def test_all_widths_equal_ocnn(octree, implementation, channels):
    theirs = ocnn.nn.OctreeConv(*channels, nempty=True)
    ours = use_pair_convolution(torch.nn.Sequential(theirs))[0]
    data = features(octree, 4, True, channels[0], torch.float32)
    found, expected = (run(lambda x, conv=conv: conv(x, octree, 4), data, theirs.weights) for conv in (ours, theirs))
    for mine, reference in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-4, atol=1e-5 * float(reference.detach().abs().max()))


def test_gradients_of_the_convolution_are_exact(batch, nempty, implementation):
    octree = build_octree(batch.select(torch.arange(len(batch.points)) % 20 == 0), 3)
    build_neighbors(octree, nempty)
    conv = PairConv(2, 2, nempty=nempty).double()
    data = features(octree, 3, nempty, 2).requires_grad_()
    conv_of = lambda data, weights: torch.func.functional_call(conv, {"weights": weights}, (data, octree, 3))  # noqa: E731
    assert torch.autograd.gradcheck(conv_of, (data, conv.weights), fast_mode=True)


def test_pooling_equals_that_of_ocnn(octree, nempty, implementation):
    data = features(octree, 4, nempty).relu()  # with equal maxima, of which the first gets the gradient
    ours = run(lambda x: max_pool(x, octree, 4, nempty), data)
    assert_equal(ours, run(lambda x: octree_max_pool(x, octree, 4, nempty), data), 0)


def test_pooling_passes_nan_on_as_ocnn_does(octree, implementation):
    data = features(octree, 4, True)
    data[::7, 1] = torch.nan
    expected = octree_max_pool(data, octree, 4, True)
    torch.testing.assert_close(max_pool(data, octree, 4, True), expected, rtol=0, atol=0, equal_nan=True)


def test_upsampling_equals_that_of_ocnn(octree, nempty, implementation):
    data = features(octree, 3, nempty)
    ours = run(lambda x: upsample(x, octree, 3, nempty), data)
    assert_equal(ours, run(lambda x: octree_nearest_upsample(x, octree, 3, nempty), data), 1e-13)


def test_weighted_sums_equal_a_dense_product(implementation):
    generator = torch.Generator().manual_seed(0)
    index = torch.randint(9, (50, 8), generator=generator, dtype=torch.int32)
    weight = torch.rand(50, 8, generator=generator) * (torch.rand(50, 8, generator=generator) > 0.3)
    matrix = torch.zeros(50, 9).index_put((torch.arange(50)[:, None], index.long()), weight, accumulate=True)
    data = torch.randn(9, 35, generator=generator)
    assert_equal(run(lambda x: weighted_sum(x, index, weight), data), run(lambda x: matrix @ x, data), tolerance=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_close_to_float(octree, implementation, dtype):
    conv = PairConv(5, 7, nempty=True, use_bias=True)
    data = features(octree, 4, True, dtype=dtype)
    out = [
        conv(data, octree, 4),
        max_pool(data, octree, 4, True),
        upsample(data[: int(octree.nnum_nempty[3])], octree, 3, True),
    ]
    assert {tensor.dtype for tensor in out} == {dtype}
    torch.testing.assert_close(out[0].float(), conv(data.float(), octree, 4), rtol=0.03, atol=0.03)
    torch.testing.assert_close(out[1].float(), max_pool(data.float(), octree, 4, True), rtol=0, atol=0)


def test_memory_layout_does_not_matter(octree, implementation):
    conv = PairConv(5, 7, nempty=True).double()
    data = features(octree, 4, True)
    strided = torch.cat([data, data], 1)[:, ::2].contiguous()[:, :5]
    turned = strided.t().contiguous().t()
    assert not turned.is_contiguous()
    for function in (lambda x: conv(x, octree, 4), lambda x: max_pool(x, octree, 4, True)):
        assert_equal(run(function, turned), run(function, strided))


def test_one_point_is_enough(implementation):
    octree = build_octree(PointBatch.from_points(torch.zeros(1, 3), normals=torch.eye(3)[:1]), 5)
    build_neighbors(octree, nempty=True)
    conv = PairConv(3, 4, nempty=True)
    data = torch.ones(1, 3)
    torch.testing.assert_close(conv(data, octree, 5), data @ conv.weights[13])  # it has no neighbor but itself
    assert torch.equal(max_pool(data, octree, 5, True), data)
    assert torch.equal(upsample(data, octree, 4, True), data)


@pytest.fixture(scope="module")
def many_nodes():
    """An octree with so many nodes that the kernels share them between threads."""
    points = torch.rand(6000, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    octree = build_octree(PointBatch.from_points(points, normals=points), 5)
    build_neighbors(octree, nempty=True)
    return octree


@pytest.mark.parametrize("number", [2, 3])
def test_results_do_not_depend_on_the_number_of_threads(many_nodes, number):
    conv = PairConv(24, 40, nempty=True)
    coarse, fine = features(many_nodes, 4, True, 24, torch.float32), features(many_nodes, 5, True, 24, torch.float32)
    calls = [
        (lambda x: conv(x, many_nodes, 5), fine),
        (lambda x: max_pool(x, many_nodes, 5, True), fine),
        (lambda x: upsample(x, many_nodes, 4, True), coarse),
        (lambda x: interpolate_to_children(x, many_nodes, 4, True), coarse),
        (unit_vectors, fine),
    ]
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, number):
            torch.set_num_threads(count)
            many_nodes.__dict__.pop("_of_layers", None)
            results.append([tensor for call, data in calls for tensor in run(call, data)])
            results[-1] += run(lambda x: conv(x, many_nodes, 5), fine, conv.weights)[2:]
    finally:
        torch.set_num_threads(threads)
    for alone, shared in zip(*([each[:-1] for each in results]), strict=True):
        assert torch.equal(alone, shared)
    torch.testing.assert_close(results[0][-1], results[1][-1], rtol=1e-4, atol=1e-4 * float(results[0][-1].abs().max()))


def test_a_node_without_children_pools_to_minus_infinity(implementation):
    octree = build_octree(PointBatch.from_points(torch.zeros(1, 3), normals=torch.eye(3)[:1]), 5, full_depth=3)
    data = torch.ones(1, 2)
    for depth in (5, 4, 3):
        data = max_pool(data, octree, depth, True)
    assert torch.equal(data, octree_max_pool(torch.ones(1, 2), octree, 3, True)) and data.max() == 1


def test_features_of_another_size_are_refused(octree, implementation):
    calls = [
        lambda data: PairConv(5, 7, nempty=True)(data, octree, 3),
        lambda data: max_pool(data, octree, 3, True),
        lambda data: upsample(data, octree, 3, True),
        lambda data: interpolate_to_children(data, octree, 3, True),
    ]
    for call in calls:
        with pytest.raises(InputError, match=r"depth 3 are \(3, 5\)"):
            call(torch.zeros(3, 5))


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
    build_neighbors(octree, nempty)
    data = features(octree, 4, nempty, 16, torch.float32)
    expected = conv(data, octree, 4)
    torch.testing.assert_close(conv.cuda()(data.cuda(), octree.cuda(), 4).cpu(), expected, rtol=1e-2, atol=1e-2)


def test_the_library_is_compiled_where_a_compiler_is():
    if shutil.which("c++") is None:
        pytest.skip("no C++ compiler")
    assert cpu_kernels.library is not None, cpu_kernels._reason


def test_a_missing_library_is_named_once(octree, monkeypatch, caplog):
    monkeypatch.setattr(cpu_kernels, "library", None)
    cpu_kernels.warn_once.cache_clear()
    conv = PairConv(5, 7, nempty=True).double()
    for _ in range(2):
        conv(features(octree, 3, True), octree, 3)
    assert len(caplog.messages) == 1 and "two to three times as long" in caplog.text


def test_a_processor_without_avx2_does_without(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "NO AVX")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    if cpu_kernels.library is not None:
        assert cpu_kernels._load() == (None, "it needs AVX2, and torch reports NO AVX")


def test_tensors_of_two_devices_are_refused(octree):
    if cpu_kernels.library is None:
        pytest.skip("the kernels are not compiled here")
    with pytest.raises(InputError, match="together"):
        unit = torch.zeros(3, 5, device="meta")
        cpu_kernels.call("normalize", unit, torch.zeros(3), torch.zeros(3, 5), 3, 5, dtype=torch.float32)


def test_an_octree_that_was_split_again_gets_new_pairs(octree):
    conv = PairConv(5, 7, nempty=True).double()
    data = features(octree, 4, True)
    before = conv(data, octree, 4)
    octree.children[4], octree.nempty_neighs[4] = octree.children[4].clone(), octree.nempty_neighs[4].flip(1)
    assert not torch.equal(conv(data, octree, 4), before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_unit_vectors_equal_those_of_torch(implementation, dtype):
    data = torch.randn(40, 13, generator=torch.Generator().manual_seed(0)).to(dtype)
    data[3] = 0
    weight = torch.arange(13, dtype=dtype)  # the squares alone would have no gradient
    found, expected = (
        run(lambda x, f=function: f(x) * weight, data)
        for function in (unit_vectors, lambda x: torch.nn.functional.normalize(x, dim=1))
    )
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs)

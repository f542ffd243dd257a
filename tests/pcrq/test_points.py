"""The quantizer for ragged points, against the dense one cloud by cloud and the paper's equations."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch._subclasses.fake_tensor import FakeTensorMode

from pcrq import InputError, PointQuantizer, Quantizer, cpu_kernels, randomized_quantize_points

FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


@pytest.fixture(params=["compiled", "plain"], autouse=True, scope="module")
def implementation(request):
    """The compiled kernels, or PyTorch's operations in their place: all tests hold for both."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "plain":
            patch.setattr(cpu_kernels, "library", None)
        elif cpu_kernels.library is None:
            pytest.skip("the kernels are not compiled here")
        yield


def seeded(seed: int = 0, device: str = "cpu") -> torch.Generator:
    return torch.Generator(device).manual_seed(seed)


def clouds(
    *lengths: int, width: int = 3, dtype=torch.float32, shuffle: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Random points and the cloud of each."""
    batch_id = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
    if shuffle:
        batch_id = batch_id[torch.randperm(len(batch_id), generator=seeded(9))]
    return torch.randn(len(batch_id), width, generator=seeded()).to(dtype), batch_id


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("bins", [1, 2, 30, 255])
def test_compiled_kernels_change_nothing(dtype, bins, monkeypatch):
    xyz, batch_id = clouds(50, 0, 1, 3000, 40000, dtype=dtype, shuffle=True)
    xyz[::7, 1], xyz[5], xyz[9, 0], xyz[11, 2] = 0.5, torch.nan, torch.inf, -torch.inf
    xyz[batch_id == 0] = 2.0  # constant
    results = []
    for library in (cpu_kernels.library, None):
        monkeypatch.setattr(cpu_kernels, "library", library)
        for layout in (xyz, xyz.t().contiguous().t()):
            quantizer = PointQuantizer.sample(layout, batch_id, 5, bins, generator=seeded())
            results.append((quantizer.edges, quantizer.values, quantizer(layout, batch_id)))
    for edges, values, y in results[1:]:
        assert torch.equal(edges, results[0][0]) and torch.equal(values, results[0][1])
        torch.testing.assert_close(y, results[0][2], rtol=0, atol=0, equal_nan=True)


def test_every_coordinate_becomes_the_value_of_its_bin():
    xyz, batch_id = clouds(5, 0, 9, 1, 30)
    quantizer = PointQuantizer.sample(xyz, batch_id, 5, bins=6, generator=seeded())
    assert quantizer.edges.shape == (5, 3, 5) and quantizer.values.shape == (5, 3, 6)
    y = quantizer(xyz, batch_id)
    for point, result, cloud in zip(xyz, y, batch_id, strict=True):
        for axis in range(3):
            bin_ = sum(bool(point[axis] >= edge) for edge in quantizer.edges[cloud, axis])
            assert result[axis] == quantizer.values[cloud, axis, bin_]


@pytest.mark.parametrize("bins", [1, 2, 3, 4, 5, 7, 8, 9, 16, 30, 33])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shuffle", [False, True])
def test_the_batch_equals_a_loop_over_clouds(bins, dtype, shuffle):
    xyz, batch_id = clouds(50, 0, 200, 1, 3, dtype=dtype, shuffle=shuffle)
    quantizer = PointQuantizer.sample(xyz, batch_id, 5, bins, generator=seeded())
    y, index = quantizer(xyz, batch_id), quantizer.indices(xyz, batch_id)
    assert y.dtype == dtype
    for cloud in range(5):
        mine = batch_id == cloud
        dense = Quantizer(quantizer.edges[cloud], quantizer.values[cloud], (1,))
        assert torch.equal(y[mine], dense(xyz[mine]))
        assert torch.equal(index[mine], dense.indices(xyz[mine]))


@pytest.mark.parametrize(
    ("random_edges", "random_values"), [(True, True), (True, False), (False, True), (False, False)]
)
def test_a_batch_of_one_cloud_draws_what_the_dense_quantizer_draws(random_edges, random_values):
    xyz, batch_id = clouds(500)
    ragged = PointQuantizer.sample(xyz, batch_id, 1, 30, random_edges, random_values, generator=seeded(4))
    dense = Quantizer.sample(xyz, 30, (1,), random_edges, random_values, generator=seeded(4))
    assert torch.equal(ragged.edges[0], dense.edges) and torch.equal(ragged.values[0], dense.values)


def test_clouds_stay_inside_their_own_box():
    xyz, batch_id = clouds(300, 400, shuffle=True)
    xyz += batch_id[:, None] * 100
    y = randomized_quantize_points(xyz, batch_id, 2, bins=30, generator=seeded())
    for cloud in range(2):
        before, after = xyz[batch_id == cloud], y[batch_id == cloud]
        assert (after >= before.amin(0)).all() and (after <= before.amax(0)).all()
        assert all(axis.unique().numel() <= 30 for axis in after.T)


def test_boundaries_and_values_are_uniform():
    xyz = torch.tensor([[0.0], [1.0]]).repeat(3000, 1)
    batch_id = torch.arange(3000).repeat_interleave(2)
    quantizer = PointQuantizer.sample(xyz, batch_id, 3000, bins=30, generator=seeded())
    assert stats.kstest(quantizer.edges.flatten().numpy(), "uniform").pvalue > 0.01
    quantizer = PointQuantizer.sample(xyz, batch_id, 3000, bins=2, random_edges=False, generator=seeded())
    assert stats.kstest(quantizer.values[:, 0, 0].numpy() * 2, "uniform").pvalue > 0.01


@settings(max_examples=100, deadline=None)
@given(
    batch_id=st.lists(st.integers(0, 3), max_size=12),
    bins=st.integers(1, 9),
    width=st.integers(1, 4),
    seed=st.integers(0, 2**31),
)
def test_the_laws_of_a_point_quantizer(batch_id, bins, width, seed):
    batch_id = torch.tensor(batch_id, dtype=torch.int64)
    xyz = torch.randn(len(batch_id), width, generator=seeded(seed)).round(decimals=1)
    quantizer = PointQuantizer.sample(xyz, batch_id, 4, bins, generator=seeded(seed))
    y = quantizer(xyz, batch_id)
    assert torch.equal(quantizer(xyz, batch_id), y)
    assert torch.equal(randomized_quantize_points(xyz, batch_id, 4, bins, generator=seeded(seed)), y)
    order = torch.randperm(len(batch_id), generator=seeded(seed))
    shuffled = PointQuantizer.sample(xyz[order], batch_id[order], 4, bins, generator=seeded(seed))
    assert torch.equal(shuffled(xyz[order], batch_id[order]), y[order]), "the order of the points matters"
    for cloud in batch_id.unique():
        before, after = xyz[batch_id == cloud], y[batch_id == cloud]
        assert (before.amin(0) <= after).all() and (after <= before.amax(0)).all()
        assert all(axis.unique().numel() <= bins for axis in after.T)


def test_a_flat_axis_and_a_single_point_map_to_themselves():
    xyz, batch_id = clouds(100, 1)
    xyz[:, 1] = 0.1
    y = randomized_quantize_points(xyz, batch_id, 2)
    assert torch.equal(y[:, 1], xyz[:, 1]) and torch.equal(y[100], xyz[100])


def test_nan_stays_nan_and_infinities_fall_into_the_outermost_bins():
    xyz = torch.tensor([[torch.nan], [1.0], [2.0], [torch.inf], [-torch.inf], [torch.nan], [torch.inf]])
    batch_id = torch.tensor([0, 0, 0, 0, 0, 1, 1])
    quantizer = PointQuantizer.sample(xyz, batch_id, 2, bins=3, generator=seeded())
    y = quantizer(xyz, batch_id)
    assert y.isnan().flatten().tolist() == [True, False, False, False, False, True, False]
    assert (y[3, 0], y[4, 0]) == (quantizer.values[0, 0, 2], quantizer.values[0, 0, 0])
    assert 1 <= y[4, 0] <= y[3, 0] <= 2 and y[6, 0] == 0


def test_no_points_at_all():
    empty, batch_id = torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64)
    assert randomized_quantize_points(empty, batch_id, 2).shape == (0, 3)
    assert randomized_quantize_points(empty, batch_id, 0).shape == (0, 3)


def test_the_result_has_no_gradient():
    xyz, batch_id = clouds(10)
    assert not randomized_quantize_points(xyz.requires_grad_(), batch_id, 1).requires_grad


def test_autocast_changes_nothing():
    xyz, batch_id = clouds(10, 20)
    plain = randomized_quantize_points(xyz, batch_id, 2, generator=seeded())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(randomized_quantize_points(xyz, batch_id, 2, generator=seeded()), plain)


def test_it_compiles_into_one_graph():
    torch._dynamo.reset()
    xyz, batch_id = clouds(30, 20)

    def compiled(function):
        return torch.compile(function, fullgraph=True, backend="aot_eager")

    sample = compiled(lambda xyz, batch_id: PointQuantizer.sample(xyz, batch_id, 2, bins=4))
    apply = compiled(lambda quantizer, xyz, batch_id: quantizer(xyz, batch_id))
    quantizer = sample(xyz, batch_id)
    assert torch.equal(apply(quantizer, xyz, batch_id), quantizer(xyz, batch_id))


@pytest.mark.parametrize(
    ("xyz", "batch_id", "message"),
    [
        (torch.zeros(4), torch.zeros(4, dtype=torch.int64), "xyz must be"),
        (torch.zeros(4, 3, dtype=torch.int64), torch.zeros(4, dtype=torch.int64), "xyz must be"),
        (torch.zeros(4, 3), torch.zeros(5, dtype=torch.int64), "batch_id must be"),
        (torch.zeros(4, 3), torch.zeros(4, 1, dtype=torch.int64), "batch_id must be"),
        (torch.zeros(4, 3), torch.zeros(4), "batch_id must be"),
        (torch.zeros(4, 3), torch.tensor([0, 0, 0, 2]), r"from 0 to 2, outside \[0, batch_size\)"),
        (torch.zeros(4, 3), torch.tensor([0, 0, 0, -1]), "from -1 to 0"),
    ],
)
def test_points_that_do_not_fit_their_batch_are_refused(xyz, batch_id, message):
    with pytest.raises(InputError, match=message):
        randomized_quantize_points(xyz, batch_id, 2)


@pytest.mark.parametrize("bins", [0, -3, 1.5])
def test_bins_must_be_a_positive_whole_number(bins):
    with pytest.raises(InputError, match="bins="):
        randomized_quantize_points(*clouds(4), 1, bins=bins)


def test_a_quantizer_refuses_points_it_was_not_sampled_for():
    xyz, batch_id = clouds(10)
    quantizer = PointQuantizer.sample(xyz, batch_id, 1)
    for other in (xyz[:, :2], xyz.double()):
        with pytest.raises(InputError, match="sampled for"):
            quantizer(other, batch_id)
    with pytest.raises(InputError, match="outside"):
        quantizer(xyz, batch_id + 1)


def test_nothing_waits_for_a_gpu():
    with FakeTensorMode():  # refuses operations that transfer a result to the host
        xyz, batch_id = torch.rand(40, 3, device="cuda"), torch.arange(40, device="cuda") % 4
        assert randomized_quantize_points(xyz, batch_id, 4).device == xyz.device


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("dtype", FLOATS)
def test_gpu_and_cpu_agree_for_one_cpu_generator(dtype):
    xyz, batch_id = clouds(500, 0, 300, dtype=dtype, shuffle=True)
    on_cpu = PointQuantizer.sample(xyz, batch_id, 3, generator=seeded())
    on_gpu = PointQuantizer.sample(xyz.cuda(), batch_id.cuda(), 3, generator=seeded())
    torch.testing.assert_close(on_gpu.edges.cpu(), on_cpu.edges)
    moved = PointQuantizer(on_cpu.edges.cuda(), on_cpu.values.cuda())
    assert torch.equal(moved(xyz.cuda(), batch_id.cuda()).cpu(), on_cpu(xyz, batch_id))

"""The quantizer for dense tensors, against the paper's equations written out one element at a time."""

import math
import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch._subclasses.fake_tensor import FakeTensorMode

import pcrq
from pcrq import InputError, Quantizer, randomized_quantize
from pcrq import quantizer as step_function
from pcrq.quantizer import select, sweep

FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def seeded(seed: int = 0, device: str = "cpu") -> torch.Generator:
    return torch.Generator(device).manual_seed(seed)


def equation_1(x: float, edges: list[float], values: list[float]) -> float:
    """The sum over the bins of value times indicator of [a_i, a_(i+1))."""
    bounds = [-math.inf, *edges, math.inf]
    hits = [y for y, a, b in zip(values, bounds, bounds[1:], strict=False) if a <= x < b or x == b == math.inf]
    assert len(hits) == 1
    return hits[0]


def naive(x: torch.Tensor, quantizer: Quantizer) -> torch.Tensor:
    """Equation 1 for every element by itself."""
    y = x.clone()
    for position in torch.cartesian_prod(*(torch.arange(size) for size in x.shape)).view(-1, x.ndim).tolist():
        channel = tuple(position[dim] for dim in quantizer.channel_dims)
        edges, values = quantizer.edges[channel].tolist(), quantizer.values[channel].tolist()
        y[tuple(position)] = equation_1(x[tuple(position)].item(), edges, values)
    return y


# ---------------------------------------------------------------------------------------- equation 1


@pytest.mark.parametrize("dtype", [*FLOATS, torch.uint8])
@pytest.mark.parametrize(
    ("shape", "channel_dims", "channels"),
    [
        ((3, 4, 5), None, (3,)),
        ((2, 3, 4, 5), None, (2, 3)),
        ((2, 6, 4), (0, 2), (2, 4)),
        ((2, 6, 4), (2, 0), (2, 4)),
        ((9, 3), (-1,), (3,)),
        ((7,), (), ()),
        ((2, 3, 2, 2, 2), (1, 3), (3, 2)),
    ],
)
def test_every_element_becomes_the_value_of_its_bin(shape, channel_dims, channels, dtype):
    x = (torch.rand(shape, generator=seeded()) * 200).to(dtype)
    quantizer = Quantizer.sample(x, bins=4, channel_dims=channel_dims, generator=seeded(1))
    assert quantizer.edges.shape == (*channels, 3)
    assert quantizer.values.shape == (*channels, 4)
    y = quantizer(x)
    assert y.dtype == dtype
    assert torch.equal(y, naive(x, quantizer))


def test_a_boundary_belongs_to_the_bin_on_its_right():
    quantizer = Quantizer(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.5, 1.5, 2.5]]), (0,))
    below = torch.tensor(1.0).nextafter(torch.tensor(0.0))
    x = torch.tensor([[below, 1.0, 1.99, 2.0, -torch.inf, torch.inf, 9.0]])
    assert quantizer(x).tolist() == [[0.5, 1.5, 1.5, 2.5, 0.5, 2.5, 2.5]]
    assert quantizer.indices(x).tolist() == [[0, 1, 1, 2, 0, 2, 2]]


def test_a_boundary_met_several_times_makes_empty_bins():
    quantizer = Quantizer(torch.tensor([[1.0, 1.0]]), torch.tensor([[0.0, 1.0, 3.0]]), (0,))
    assert quantizer(torch.tensor([[0.9, 1.0]])).tolist() == [[0.0, 3.0]]


def test_the_value_is_the_value_of_the_index():
    x = torch.randn(2, 3, 8, 8, generator=seeded())
    quantizer = Quantizer.sample(x, bins=5, generator=seeded())
    expected = quantizer.values.gather(2, quantizer.indices(x).flatten(2)).view(x.shape)
    assert torch.equal(quantizer(x), expected)


@pytest.mark.parametrize("shape", [(1, 3000), (3, 701), (50, 30), (3000, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.uint8])
def test_blocks_cover_data_of_any_proportions(shape, dtype, monkeypatch):
    monkeypatch.setattr(step_function, "BLOCK", 100)
    x = (torch.rand(shape, generator=seeded()) * 255).to(dtype)
    quantizer = Quantizer.sample(x, bins=3, channel_dims=(0,), generator=seeded())
    index = torch.searchsorted(quantizer.edges, x.to(quantizer.edges.dtype), right=True)
    assert torch.equal(quantizer(x), quantizer.values.gather(1, index))


@pytest.mark.parametrize("dtype", [*FLOATS, torch.uint8])
@pytest.mark.parametrize("bins", [1, 2, 8, 30])
def test_sweep_equals_select(dtype, bins):
    x = (torch.randn(6, 999, generator=seeded()) * 50 + 120).to(dtype)
    if dtype.is_floating_point:
        x[0, 0], x[1, 1], x[2, 2] = torch.nan, torch.inf, -torch.inf
    quantizer = Quantizer.sample(x, bins, (0,), generator=seeded())
    swept, selected = (f(x, quantizer.edges, quantizer.values) for f in (sweep, select))
    torch.testing.assert_close(swept, selected, rtol=0, atol=0, equal_nan=True)


# ------------------------------------------------------------------------------------ equations 2 to 4


def draws(bins: int, **options) -> tuple[torch.Tensor, torch.Tensor]:
    """Edges and values of 4000 channels that all span [0, 1]."""
    x = torch.tensor([0.0, 1.0]).expand(4000, 2)
    quantizer = Quantizer.sample(x, bins, (0,), generator=seeded(7), **options)
    return quantizer.edges, quantizer.values


def test_unsorted_boundaries_are_uniform_between_minimum_and_maximum():
    edges, _ = draws(bins=8)
    assert edges.shape == (4000, 7)
    assert stats.kstest(edges.flatten().numpy(), "uniform").pvalue > 0.01
    for i in range(7):  # the i-th smallest of seven uniform draws follows a beta distribution
        assert stats.kstest(edges[:, i].numpy(), stats.beta(i + 1, 7 - i).cdf).pvalue > 0.001


def test_values_are_uniform_in_their_bin():
    edges, values = draws(bins=8)
    left = torch.cat([torch.zeros(4000, 1), edges], 1)
    right = torch.cat([edges, torch.ones(4000, 1)], 1)
    place = (values - left) / (right - left)
    for i in range(8):
        wide = right[:, i] - left[:, i] > 1e-4  # narrower, the division shows rounding
        assert stats.kstest(place[wide, i].numpy(), "uniform").pvalue > 0.001


def test_channels_draw_independently():
    edges, values = draws(bins=2)
    assert abs(stats.spearmanr(edges[:-1, 0], edges[1:, 0]).statistic) < 0.05
    left, right = edges[:, 0], 1 - edges[:, 0]
    assert abs(stats.spearmanr(values[:, 0] / left, (values[:, 1] - left) / right).statistic) < 0.05


def test_uniform_boundaries_and_midpoints_are_the_ablation():
    x = torch.tensor([[0.0, 8.0], [-4.0, 4.0]])
    quantizer = Quantizer.sample(x, 4, (0,), random_edges=False, random_values=False)
    assert quantizer.edges.tolist() == [[2, 4, 6], [-2, 0, 2]]
    assert quantizer.values.tolist() == [[1, 3, 5, 7], [-3, -1, 1, 3]]


def test_each_factor_is_random_alone():
    edges, values = draws(bins=4, random_edges=False)
    assert torch.equal(edges, torch.tensor([0.25, 0.5, 0.75]).expand(4000, 3))
    assert values[:, 0].std() > 0.05
    edges, values = draws(bins=4, random_values=False)
    assert edges[:, 0].std() > 0.05
    torch.testing.assert_close(values[:, 1:3], (edges[:, :2] + edges[:, 1:]) / 2)


# --------------------------------------------------------------------------------------- properties


def arrays() -> st.SearchStrategy[torch.Tensor]:
    """(1 to 3, 1 to 6) tensors of any finite numbers, in every floating-point type."""

    def build(dtype: torch.dtype) -> st.SearchStrategy[torch.Tensor]:
        top = torch.finfo(dtype).max
        number = st.floats(-top, top, width=64) | st.sampled_from([0.0, -0.0, 1.0, 5e-324, 1e-45, top, -top])
        size = st.tuples(st.integers(1, 3), st.integers(1, 6))
        rows = size.flatmap(
            lambda size: st.lists(st.lists(number, min_size=size[1], max_size=size[1]), min_size=1, max_size=size[0])
        )
        return rows.map(lambda rows: torch.tensor(rows, dtype=torch.float64).to(dtype))

    return st.sampled_from(FLOATS).flatmap(build)


@settings(max_examples=200, deadline=None)
@given(x=arrays(), bins=st.integers(1, 9), seed=st.integers(0, 2**31), edges=st.booleans(), values=st.booleans())
def test_the_laws_of_a_quantizer(x, bins, seed, edges, values):
    quantizer = Quantizer.sample(x, bins, (0,), edges, values, seeded(seed))
    y = quantizer(x)
    low, high = x.amin(1, keepdim=True), x.amax(1, keepdim=True)
    assert (low <= y).all() and (y <= high).all(), "leaves the range of its channel"
    assert (quantizer.edges.diff(dim=1) >= 0).all() and (quantizer.values.diff(dim=1) >= 0).all(), "not ascending"
    assert (low <= quantizer.edges).all() and (quantizer.edges <= high).all(), "a boundary outside the range"
    assert all(row.unique().numel() <= bins for row in y), "more values than bins"
    order = x.argsort(dim=1)
    assert (y.gather(1, order).double().diff(dim=1) >= 0).all(), "not monotone"
    assert torch.equal(quantizer(x), y), "replay differs"
    assert torch.equal(naive(x, quantizer), y), "not equation 1"
    bounds = torch.cat([low.to(quantizer.edges.dtype), quantizer.edges, high.to(quantizer.edges.dtype)], 1)
    left, right = bounds[:, :-1].to(x.dtype), bounds[:, 1:].to(x.dtype)
    assert (left <= quantizer.values).all() and (quantizer.values <= right).all(), "a value outside its bin"


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**31), bins=st.integers(1, 9))
def test_a_channel_does_not_depend_on_the_others(seed, bins):
    x = torch.randn(4, 3, 6, generator=seeded(seed))
    quantizer = Quantizer.sample(x, bins, (0, 1), generator=seeded(seed))
    order = torch.randperm(4, generator=seeded(seed))
    permuted = Quantizer(quantizer.edges[order], quantizer.values[order], (0, 1))
    assert torch.equal(permuted(x[order]), quantizer(x)[order])
    changed = x.clone()
    changed[0, 0] = 100.0
    assert torch.equal(quantizer(changed)[1:], quantizer(x)[1:])


# ------------------------------------------------------------------------------------ layouts and types


def test_the_layout_does_not_matter():
    images = torch.rand(2, 3, 10, 12, generator=seeded())
    expected = randomized_quantize(images, generator=seeded(3))
    pixels = images.permute(0, 2, 3, 1).contiguous()
    rows = images.flatten(2)
    last = images.contiguous(memory_format=torch.channels_last)
    padded = torch.zeros(2, 3, 10, 24)
    padded[..., ::2] = images
    assert torch.equal(
        randomized_quantize(pixels, channel_dims=(0, 3), generator=seeded(3)), expected.permute(0, 2, 3, 1)
    )
    assert torch.equal(randomized_quantize(rows, channel_dims=(0, 1), generator=seeded(3)), expected.flatten(2))
    assert torch.equal(randomized_quantize(last, generator=seeded(3)), expected)
    assert torch.equal(randomized_quantize(padded[..., ::2], generator=seeded(3)), expected)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_memory_layout_is_kept(layout):
    images = torch.rand(2, 3, 10, 12).contiguous(memory_format=layout)
    assert randomized_quantize(images).stride() == images.stride()


def test_the_input_is_left_alone():
    x = torch.rand(3, 8, 8)
    before = x.clone()
    y = randomized_quantize(x, bins=1)
    assert torch.equal(x, before) and y.data_ptr() != x.data_ptr()


def test_a_quantizer_serves_other_sizes_of_its_channels():
    quantizer = Quantizer.sample(torch.rand(2, 3, 8, 8), bins=4)
    assert quantizer(torch.rand(2, 3, 5, 20)).shape == (2, 3, 5, 20)


@pytest.mark.parametrize("dtype", [*FLOATS, torch.uint8])
def test_a_constant_channel_maps_to_itself(dtype):
    tiny = torch.finfo(dtype).smallest_normal / 3 if dtype.is_floating_point else 0
    x = torch.tensor([tiny, 0.1, 3.0, 77.7, 250.0], dtype=torch.float64).to(dtype)[:, None].expand(5, 500)
    assert torch.equal(randomized_quantize(x, channel_dims=(0,)), x)


def test_one_bin_makes_a_channel_one_value_in_its_range():
    x = torch.rand(2, 3, 8, 8, generator=seeded())
    y = randomized_quantize(x, bins=1, generator=seeded()).flatten(2)
    assert (y == y[..., :1]).all()
    assert (x.amin((2, 3)) <= y[..., 0]).all() and (y[..., 0] <= x.amax((2, 3))).all()


@pytest.mark.parametrize("dtype", FLOATS)
def test_nan_stays_nan_and_spoils_nothing_else(dtype):
    x = torch.rand(2, 3, 6, 6, generator=seeded()).to(dtype)
    holes = torch.rand(x.shape, generator=seeded(1)) < 0.2
    holes[0, 0] = True
    y = randomized_quantize(x.masked_fill(holes, torch.nan), generator=seeded(2))
    assert torch.equal(y.isnan(), holes)
    for channel, result, hole in zip(x.flatten(0, 1), y.flatten(0, 1), holes.flatten(0, 1), strict=True):
        rest = channel[~hole]
        assert ((rest.min() <= result[~hole]) & (result[~hole] <= rest.max())).all() if len(rest) else True


def test_infinities_fall_into_the_outermost_bins():
    x = torch.tensor([[-torch.inf, 1.0, 2.0, 3.0, torch.inf], [torch.inf, -torch.inf, torch.inf, torch.inf, torch.nan]])
    quantizer = Quantizer.sample(x, bins=3, channel_dims=(0,), generator=seeded())
    y = quantizer(x)
    assert (y[0, 0], y[0, 4]) == (quantizer.values[0, 0], quantizer.values[0, 2])
    assert 1 <= y[0, 0] <= y[0, 4] <= 3
    assert y[1, :4].tolist() == [0, 0, 0, 0] and y[1, 4].isnan()


def test_a_range_that_overflows_is_still_exact():
    top = torch.finfo(torch.float32).max
    x = torch.tensor([[-top, -1.0, 0.0, 1.0, top]])
    quantizer = Quantizer.sample(x, 4, (0,), random_edges=False, random_values=False)
    torch.testing.assert_close(quantizer.edges, torch.tensor([[-top / 2, 0.0, top / 2]]))
    assert torch.equal(quantizer(x), naive(x, quantizer))


@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (2, 0, 4, 4), (2, 3, 0, 4)])
def test_nothing_in_nothing_out(shape):
    assert randomized_quantize(torch.zeros(shape)).shape == shape


def test_uint8_stays_inside_the_range_of_its_channel():
    x = torch.randint(40, 60, (4, 3, 16, 16), dtype=torch.uint8, generator=seeded())
    y = randomized_quantize(x, generator=seeded())
    assert y.dtype == torch.uint8 and y.min() >= 40 and y.max() < 60


def test_uint8_values_are_rounded_to_the_nearest():
    x = torch.tensor([[0, 7]], dtype=torch.uint8)
    assert Quantizer.sample(x, 1, (0,), random_values=False).values.tolist() == [[4]]


# ------------------------------------------------------------------------------- torch's other machinery


def test_the_same_generator_gives_the_same_result():
    x = torch.rand(2, 3, 8, 8)
    first, again, other = (randomized_quantize(x, generator=seeded(seed)) for seed in (5, 5, 6))
    assert torch.equal(first, again) and not torch.equal(first, other)
    torch.manual_seed(0)
    first = randomized_quantize(x)
    torch.manual_seed(0)
    assert torch.equal(first, randomized_quantize(x))


def test_the_result_has_no_gradient():
    x = torch.rand(3, 8, 8, requires_grad=True)
    quantizer = Quantizer.sample(x)
    assert not any(t.requires_grad for t in (quantizer.edges, quantizer.values, quantizer(x), randomized_quantize(x)))


def test_autocast_changes_nothing():
    x = torch.rand(2, 3, 8, 8)
    plain = randomized_quantize(x, generator=seeded())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(randomized_quantize(x, generator=seeded()), plain)


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_it_compiles_into_one_graph_for_varying_shapes(backend):
    if backend == "inductor" and not any(map(shutil.which, ("g++", "clang++"))):
        pytest.skip("inductor needs a C++ compiler")
    torch._dynamo.reset()
    sample = torch.compile(lambda x: Quantizer.sample(x, bins=4), fullgraph=True, backend=backend)
    apply = torch.compile(lambda quantizer, x: quantizer(x), fullgraph=True, backend=backend)
    for batch in (2, 3):
        x = torch.rand(batch, 3, 8, 8)
        x[0, 0, 0, 0] = torch.nan
        quantizer = sample(x)
        torch.testing.assert_close(apply(quantizer, x), quantizer(x), rtol=0, atol=0, equal_nan=True)


def test_memory_does_not_grow_with_the_bins():
    x = torch.rand(8, 50_000)

    def peak(bins: int) -> int:
        quantizer = Quantizer.sample(x, bins, (0,))
        with torch.profiler.profile(profile_memory=True) as profile:
            quantizer(x)
        held = highest = 0
        for event in profile.profiler.kineto_results.events():
            if event.name() == "[memory]":
                held += event.nbytes()
                highest = max(highest, held)
        return highest

    assert peak(64) <= peak(2) + 64 * 8 * 8  # nothing but the table itself


# ------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("bins", [0, -1, 2.5, True, "8"])
def test_bins_must_be_a_positive_whole_number(bins):
    with pytest.raises(InputError, match="bins="):
        randomized_quantize(torch.rand(3, 4, 4), bins=bins)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int8, torch.bool, torch.complex64])
def test_other_types_are_refused(dtype):
    with pytest.raises(InputError, match=str(dtype)):
        randomized_quantize(torch.zeros(3, 4, 4, dtype=dtype))


@pytest.mark.parametrize("shape", [(), (5,), (4, 5), (2, 3, 4, 5, 6)])
def test_only_images_have_default_channels(shape):
    with pytest.raises(InputError, match="channel_dims is missing"):
        randomized_quantize(torch.zeros(shape))


@pytest.mark.parametrize("channel_dims", [(3,), (-4,), (0, 0), (0, -3), (0, 1, 2)])
def test_channel_dims_must_be_distinct_dims_and_not_all(channel_dims):
    with pytest.raises(InputError, match="channel_dims="):
        randomized_quantize(torch.zeros(2, 3, 4), channel_dims=channel_dims)


@pytest.mark.parametrize("x", [torch.zeros(3, 3, 4, 4), torch.zeros(2), torch.zeros(2, 3, 4, 4, dtype=torch.float64)])
def test_a_quantizer_refuses_data_it_was_not_sampled_for(x):
    quantizer = Quantizer.sample(torch.rand(2, 3, 4, 4))
    for use in (quantizer, quantizer.indices):
        with pytest.raises(InputError, match="sample"):
            use(x)


def test_errors_are_one_line():
    with pytest.raises(InputError) as caught:
        randomized_quantize(torch.zeros(5))
    assert "\n" not in str(caught.value) and issubclass(pcrq.InputError, ValueError)


# --------------------------------------------------------------------------------------------- GPU


def test_nothing_waits_for_a_gpu():
    with FakeTensorMode():  # refuses operations that transfer a result to the host
        x = torch.rand(2, 3, 8, 8, device="cuda")
        assert randomized_quantize(x).device == x.device


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("dtype", [*FLOATS, torch.uint8])
def test_gpu_and_cpu_agree_for_one_cpu_generator(dtype):
    x = (torch.rand(4, 3, 32, 32, generator=seeded()) * 255).to(dtype)
    on_cpu = Quantizer.sample(x, generator=seeded(1))
    on_gpu = Quantizer.sample(x.cuda(), generator=seeded(1))
    torch.testing.assert_close(on_gpu.edges.cpu(), on_cpu.edges)
    moved = Quantizer(on_cpu.edges.cuda(), on_cpu.values.cuda(), on_cpu.channel_dims)
    assert torch.equal(moved(x.cuda()).cpu(), on_cpu(x))
    assert torch.equal(moved.indices(x.cuda()).cpu(), on_cpu.indices(x))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_gpu_generator_is_reproducible():
    x = torch.rand(4, 3, 32, 32, device="cuda")
    first, again = (randomized_quantize(x, generator=seeded(1, "cuda")) for _ in range(2))
    assert torch.equal(first, again)

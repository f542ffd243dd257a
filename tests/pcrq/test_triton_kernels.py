"""The Triton kernels against the tensor operations: equal results, element by element.

On a GPU the tests run there. Without one, the first test runs them in a process in which Triton interprets its kernels
on CPU tensors, and the second compiles them for GPUs.
"""

import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from pcrq import PointQuantizer, Quantizer, points, quantizer, randomized_quantize, randomized_quantize_points

triton = pytest.importorskip("triton")
from pcrq import triton_kernels as kernels  # noqa: E402

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
BINS = [1, 2, 8, 30, 255]


def kernel_test(function):
    """Run a test on a GPU, or under Triton's interpreter."""
    skipped = not INTERPRETED and not torch.cuda.is_available()
    reason = "no CUDA device; test_all_of_this_file_under_the_interpreter runs it"
    return pytest.mark.gpu(pytest.mark.skipif(skipped, reason=reason)(function))


@pytest.mark.slow
@pytest.mark.skipif(INTERPRETED, reason="runs already")
def test_all_of_this_file_under_the_interpreter():
    command = [sys.executable, "-m", "pytest", "-q", "--noconftest", "-p", "no:cacheprovider", __file__]
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTEST_ADDOPTS": ""}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0 and " passed" in run.stdout, run.stdout + run.stderr


def sample(*size: int, dtype: torch.dtype = torch.float32, special: float = 0.1, seed: int = 0) -> torch.Tensor:
    """Random numbers around 100, and in floating point a share of NaN, infinities and zeros of either sign."""
    generator = torch.Generator().manual_seed(seed)
    x = (torch.randn(size, generator=generator) * 40 + 100).clamp(0, 255)
    if dtype.is_floating_point:
        others = torch.tensor([torch.nan, torch.inf, -torch.inf, 0.0, -0.0])
        chosen = others[torch.randint(5, size, generator=generator)]
        x = torch.where(torch.rand(size, generator=generator) < special, chosen, x)
    return x.to(dtype)


def assert_same(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=0, equal_nan=True, check_stride=True)


def assert_dense(x: torch.Tensor, channel_dims: tuple[int, ...], bins: int) -> None:
    """Compare range and result of the kernels for a tensor on DEVICE with those of tensor operations on the CPU."""
    copy = torch.empty_strided(x.size(), x.stride(), dtype=x.dtype)
    if copy.stride() == torch.empty_like(copy).stride():
        copy.copy_(x)
    else:
        copy = torch.empty_like(x, device="cpu").copy_(x)
    plain = Quantizer.sample(copy, bins, channel_dims, generator=torch.Generator().manual_seed(1))
    low, high = (bound.to(plain.edges.dtype) for bound in quantizer._finite_range(copy, channel_dims))
    for found, expected in zip(kernels.finite_range(x, channel_dims), (low, high), strict=True):
        assert found.dtype == expected.dtype and torch.equal(found.cpu(), expected)
    edges, values = plain.edges.to(x.device), plain.values.to(x.device)
    assert_same(kernels.step_function(x, edges, values, channel_dims), plain(copy))


def gaps(x: torch.Tensor) -> torch.Tensor:
    """The same numbers with gaps in memory."""
    return torch.stack([x, x], dim=-1)[..., 0]


@kernel_test
@pytest.mark.parametrize(
    ("shape", "channel_dims", "order"),
    [
        ((2, 3, 5, 7), (0, 1), (0, 1, 2, 3)),  # images
        ((2, 3, 5, 7), (0, 1), (0, 2, 3, 1)),  # images in channels_last
        ((2, 9, 4), (0, 2), (0, 1, 2)),  # tokens
        ((3, 2, 9), (1,), (0, 1, 2)),  # channels over the batch
        ((40, 3), (1,), (0, 1)),  # points
        ((40, 3), (1,), (1, 0)),
        ((2, 3, 4, 5), (0, 2), (2, 1, 0, 3)),  # channels in another order than in the tables
        ((2, 2, 3, 2, 2, 3), (1, 3, 5), (0, 1, 2, 3, 4, 5)),  # more groups than the kernel has
        ((70,), (), (0,)),
        ((5, 1), (0,), (0, 1)),
    ],
)
def test_layouts(shape, channel_dims, order):
    back = sorted(range(len(order)), key=order.__getitem__)
    for dtype in (torch.float16, torch.float32, torch.uint8):
        x = sample(*shape, dtype=dtype).to(DEVICE).permute(order).contiguous().permute(back)
        assert_dense(x, channel_dims, bins=5)
    assert_dense(gaps(x), channel_dims, bins=5)


@kernel_test
@pytest.mark.parametrize("dtype", [*FLOATS, torch.uint8])
def test_numbers_of_bins(dtype):
    for bins in BINS:
        assert_dense(sample(2, 2500, dtype=dtype).to(DEVICE), (0,), bins)


@kernel_test
def test_a_boundary_belongs_to_the_bin_on_its_right():
    x = torch.tensor([0.9, 1.0, 1.9, 2.0, -torch.inf, torch.inf], device=DEVICE)
    edges, values = torch.tensor([1.0, 2.0], device=DEVICE), torch.tensor([0.5, 1.5, 2.5], device=DEVICE)
    expected = [0.5, 1.5, 1.5, 2.5, 0.5, 2.5]
    assert kernels.step_function(x, edges, values, ()).tolist() == expected
    batch_id = torch.zeros(6, dtype=torch.int64, device=DEVICE)
    found = kernels.point_step_function(x[:, None], batch_id, edges.view(1, 1, 2), values.view(1, 1, 3))
    assert found.flatten().tolist() == expected


@kernel_test
def test_constant_and_empty_channels_and_expanded_ones():
    x = torch.tensor([[3.3], [-0.0], [torch.nan], [torch.inf], [-torch.inf], [1e-45], [3e38]], device=DEVICE)
    assert_dense(x.expand(7, 90), (0,), bins=4)
    assert_dense(x.expand(7, 90).contiguous(), (0,), bins=4)
    with_infinities = torch.tensor([[torch.inf, 1.0, -torch.inf, 2.0, torch.nan]], device=DEVICE)
    assert_dense(with_infinities, (0,), bins=3)
    for shape in ((0, 3, 4, 4), (2, 0, 4, 4), (2, 3, 0, 4)):
        empty = torch.zeros(shape, device=DEVICE)
        tables = torch.zeros(*shape[:2], 1, device=DEVICE), torch.zeros(*shape[:2], 2, device=DEVICE)
        assert kernels.step_function(empty, *tables, (0, 1)).shape == shape


@kernel_test
@pytest.mark.parametrize("shape", [(2, 999), (1, 999, 3), (3, 5, 70)])
def test_rows_of_several_programs_and_several_launches(shape, monkeypatch):
    monkeypatch.setattr(kernels, "RANGE_TILE", 16)
    monkeypatch.setattr(kernels, "RANGE_COLUMNS", (1, 4))
    monkeypatch.setattr(kernels, "APPLY_BLOCK", 64)
    monkeypatch.setattr(kernels, "SMALL", 16)
    channel_dims = tuple(dim for dim in (0, 2) if dim < len(shape))
    assert_dense(sample(*shape).to(DEVICE), channel_dims, bins=4)


@st.composite
def dense_data(draw):
    """A tensor of any layout, the dims of its channels, and a number of bins."""
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    dtype = draw(st.sampled_from([*FLOATS, torch.uint8]))
    x = sample(*shape, dtype=dtype, special=0.3, seed=draw(st.integers(0, 99))).to(DEVICE)
    x = x.permute(draw(st.permutations(range(x.ndim))))
    x = draw(st.sampled_from([lambda x: x, torch.Tensor.contiguous, gaps]))(x)
    dims = draw(st.sets(st.integers(0, x.ndim - 1), max_size=x.ndim - 1))
    return x, tuple(sorted(dims)), draw(st.integers(1, 9))


@kernel_test
@settings(max_examples=60, deadline=None)
@given(dense_data())
def test_any_dense_data(data):
    assert_dense(*data)


def assert_ragged(xyz: torch.Tensor, batch_id: torch.Tensor, batch_size: int, bins: int) -> None:
    plain = PointQuantizer.sample(xyz, batch_id, batch_size, bins, generator=torch.Generator().manual_seed(1))
    found = kernels.point_range(xyz.to(DEVICE), batch_id.to(DEVICE), batch_size)
    for bound, expected in zip(found, points._finite_range(xyz, batch_id, batch_size), strict=True):
        assert bound.dtype == expected.dtype and torch.equal(bound.cpu(), expected)
    tables = plain.edges.to(DEVICE), plain.values.to(DEVICE)
    assert_same(kernels.point_step_function(xyz.to(DEVICE), batch_id.to(DEVICE), *tables), plain(xyz, batch_id))


@kernel_test
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shuffle", [False, True])
def test_clouds(dtype, shuffle):
    lengths = torch.tensor([800, 0, 1, 1300, 3])
    batch_id = torch.arange(5).repeat_interleave(lengths)
    if shuffle:
        batch_id = batch_id[torch.randperm(len(batch_id), generator=torch.Generator().manual_seed(0))]
    xyz = sample(len(batch_id), 3, dtype=dtype) - 100
    xyz[:, 1] = torch.where(batch_id == 0, 0.1, xyz[:, 1])
    assert_ragged(xyz, batch_id, 5, bins=30)


@kernel_test
def test_numbers_of_bins_of_clouds():
    for bins in BINS:
        assert_ragged(sample(300, 3), torch.arange(300) % 4, 4, bins)


@kernel_test
@settings(max_examples=40, deadline=None)
@given(
    batch_id=st.lists(st.integers(0, 3), max_size=9),
    axes=st.integers(1, 5),
    bins=st.integers(1, 9),
    dtype=st.sampled_from(FLOATS),
    seed=st.integers(0, 99),
)
def test_any_ragged_data(batch_id, axes, bins, dtype, seed):
    xyz = sample(len(batch_id), axes, dtype=dtype, special=0.3, seed=seed)
    assert_ragged(xyz, torch.tensor(batch_id, dtype=torch.int64), 4, bins)


@kernel_test
def test_points_of_unknown_clouds_become_nan_and_count_nowhere():
    xyz, batch_id = torch.rand(6, 3, device=DEVICE), torch.tensor([0, 2, 0, -1, 1, 99], device=DEVICE)
    low, high = kernels.point_range(xyz, batch_id, 2)
    known = [[0, 2], [4]]
    assert all(torch.equal(low[i], xyz[rows].amin(0)) for i, rows in enumerate(known))
    assert all(torch.equal(high[i], xyz[rows].amax(0)) for i, rows in enumerate(known))
    y = kernels.point_step_function(
        xyz, batch_id, torch.rand(2, 3, 4, device=DEVICE), torch.rand(2, 3, 5, device=DEVICE)
    )
    assert y.isnan().all(dim=1).tolist() == [False, True, False, True, False, True]


class NoSynchronization(TorchDispatchMode):
    """Fail at operations whose result the host must wait for on a GPU."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        assert name not in ("_local_scalar_dense", "nonzero", "masked_select", "bincount") and "unique" not in name
        if name in ("index", "index_put", "index_put_"):
            assert not any(index is not None and index.dtype == torch.bool for index in args[1]), "indexed by a mask"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("wait", [lambda x: x.sum().item(), lambda x: x[x > 0], torch.nonzero, torch.unique])
def test_synchronization_is_found(wait):
    with NoSynchronization(), pytest.raises(AssertionError):
        wait(torch.ones(3))


@kernel_test
def test_quantization_does_not_synchronize(monkeypatch):
    images, xyz = torch.rand(2, 3, 8, 8, device=DEVICE), torch.rand(40, 3, device=DEVICE)
    batch_id = torch.arange(40, device=DEVICE) % 4
    if INTERPRETED:
        monkeypatch.setattr(quantizer, "use_kernels", lambda x: True)
        monkeypatch.setattr(points, "use_kernels", lambda x: True)
        monkeypatch.setattr(points, "_check_points", lambda *args: None)  # on the CPU it reads the ids
    assert quantizer.use_kernels(images) and quantizer.use_kernels(xyz)

    def run():
        randomized_quantize(images)
        randomized_quantize_points(xyz, batch_id, batch_size=4)

    run()  # compiles
    if INTERPRETED:
        with NoSynchronization():
            run()
        return
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        run()
    finally:
        torch.cuda.set_sync_debug_mode("default")


class Compiler:
    """Compiles a kernel for a GPU that need not be there, instead of launching it."""

    def __init__(self, kernel, capability: int):
        self.kernel, self.capability, self.compiled = kernel, capability, 0

    def __getitem__(self, grid):
        return self.compile

    def compile(self, *args, num_warps: int, **constants):
        from triton.backends.compiler import GPUTarget
        from triton.compiler import ASTSource

        arguments = {**dict(zip(self.kernel.arg_names, args, strict=False)), **constants}
        pointers = {torch.bfloat16: "*bf16", torch.uint8: "*u8", torch.int64: "*i64"}
        pointers |= {dtype: f"*fp{dtype.itemsize * 8}" for dtype in (torch.float16, torch.float32, torch.float64)}
        signature = {}
        for name, value in arguments.items():
            if isinstance(value, torch.Tensor):
                signature[name] = pointers[value.dtype]
            else:  # a size of 1 becomes a constant in a launch, too
                signature[name] = "constexpr" if name in constants or value == 1 else "i32"
        constants = {name: arguments[name] for name, kind in signature.items() if kind == "constexpr"}
        source = ASTSource(self.kernel, signature, constexprs=constants)
        triton.compile(source, target=GPUTarget("cuda", self.capability, 32), options={"num_warps": num_warps})
        self.compiled += 1


@pytest.mark.medium
@pytest.mark.skipif(INTERPRETED, reason="the interpreter does not compile")
@pytest.mark.parametrize(
    ("dtype", "capability"), [(torch.bfloat16, 75), (torch.float32, 80), (torch.float64, 90), (torch.uint8, 90)]
)
def test_kernels_compile_for_gpus(dtype, capability, monkeypatch, tmp_path):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    names = ("_range", "_step_function", "_point_range", "_point_step_function")
    compilers = {name: Compiler(getattr(kernels, name), capability) for name in names}
    for name, compiler in compilers.items():
        monkeypatch.setattr(kernels, name, compiler)
    for shape in ((2, 3, 50, 100), (1, 1, 1, 1)):
        x = sample(*shape, dtype=dtype)
        for channel_dims in ((0, 1), (0, 3)):  # of rows, of columns
            kernels.finite_range(x, channel_dims)
            plain = Quantizer.sample(x, 8 if x.numel() > 1 else 1, channel_dims)
            kernels.step_function(x, plain.edges, plain.values, channel_dims)
    if dtype.is_floating_point:
        for count in (1000, 1):
            xyz, batch_id = sample(count, 3, dtype=dtype), torch.zeros(count, dtype=torch.int64)
            kernels.point_range(xyz, batch_id, count)
            plain = PointQuantizer.sample(xyz, batch_id, count)
            kernels.point_step_function(xyz, batch_id, plain.edges, plain.values)
    assert all(compiler.compiled or not dtype.is_floating_point for compiler in compilers.values())


@pytest.mark.skipif(INTERPRETED, reason="the interpreter needs no compiler")
def test_without_triton_or_its_compiler_tensor_operations_are_used(monkeypatch, caplog):
    def launch(*args):
        raise RuntimeError("Failed to find C compiler.\nPlease specify via CC environment variable.")

    zeros = torch.zeros
    monkeypatch.setattr(torch, "zeros", lambda *size, device: zeros(*size))
    monkeypatch.setattr(kernels, "step_function", launch)
    assert not quantizer._triton_works.__wrapped__()
    assert "RuntimeError: Failed to find C compiler.)" in caplog.text
    caplog.clear()
    monkeypatch.delattr("pcrq.triton_kernels")
    monkeypatch.delitem(sys.modules, "pcrq.triton_kernels")
    monkeypatch.setitem(sys.modules, "triton", None)
    assert not quantizer._triton_works.__wrapped__() and not caplog.text


@pytest.mark.skipif(INTERPRETED, reason="no kernel is used")
def test_cpu_tensors_do_not_import_triton():
    program = (
        "import sys, torch, pcrq; pcrq.randomized_quantize(torch.rand(3, 8, 8)); "
        "pcrq.randomized_quantize_points(torch.rand(9, 3), torch.zeros(9).long(), 1); "
        "sys.exit('triton.language' in sys.modules or 'pcrq.triton_kernels' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0

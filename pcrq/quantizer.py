"""Randomized quantization of dense tensors: one random step function per channel.

In this order: the quantizer; sampling of boundaries and values; application of the step functions. CUDA tensors are
processed by the Triton kernels of :mod:`pcrq.triton_kernels`, with equal results.

Source: Wu et al., "Randomized Quantization: A Generic Augmentation for Data Agnostic Self-supervised Learning", ICCV
2023, section 3.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import prod

import torch
from torch import Tensor

from pcrq import InputError

MAX_IMAGE_CHANNELS = 4
"""A three-dimensional tensor with more leading indices may be tokens (B, T, D), so it needs ``channel_dims``."""


@dataclass(frozen=True, eq=False)
class Quantizer:
    """A piecewise constant function per channel: x in [edge_i, edge_(i+1)) becomes value_i.

    Make one with :meth:`sample` and apply it any number of times.

    Args:
        edges: (..., bins-1) boundaries between the bins, ascending; float64 for float64 data, else float32.
        values: (..., bins) reproduction values, ascending, in the type of the data.
        channel_dims: the dims of the data that correspond to ``...``, ascending.

    Example:
        >>> images = torch.rand(4, 3, 32, 32)
        >>> quantizer = Quantizer.sample(images, bins=8)
        >>> quantizer.edges.shape, quantizer.values.shape
        (torch.Size([4, 3, 7]), torch.Size([4, 3, 8]))
        >>> quantized = quantizer(images)
        >>> quantized.shape, quantized[0, 0].unique().numel() <= 8
        (torch.Size([4, 3, 32, 32]), True)
    """

    edges: Tensor
    values: Tensor
    channel_dims: tuple[int, ...]

    @classmethod
    @torch.no_grad()
    def sample(
        cls,
        x: Tensor,
        bins: int = 8,
        channel_dims: Sequence[int] | None = None,
        random_edges: bool = True,
        random_values: bool = True,
        generator: torch.Generator | None = None,
    ) -> Quantizer:
        """Sample an independent quantizer for every channel of ``x``, from the channel's minimum and maximum.

        Args:
            x: data of any layout, floating point or uint8. NaN and infinities are ignored; a channel without any
                finite value counts as constant 0.
            bins: number of bins n, at least 1. The paper uses 8 for images, 5 for audio, 30 for point clouds.
            channel_dims: the dims that have one quantizer per index, shared over all other dims; ``()`` for a single
                quantizer. Default for images only: (0, 1) for (B, C, H, W), (0,) for (C, H, W) with at most 4
                channels. Required for all other layouts: (0, 2) for tokens (B, T, D), (1,) for (N, C).
            random_edges: boundaries uniform in [min, max]; False: bins of equal width.
            random_values: values uniform in their bin; False: midpoints.
            generator: source of randomness, on any device: a CPU generator gives the same quantizer for a CUDA
                tensor as for its CPU copy. None for torch's global generator of the device of ``x``.

        Returns:
            The quantizer, on the device of ``x``.

        Raises:
            InputError: ``bins`` is below 1, the dtype is not supported, or ``channel_dims`` does not fit ``x``.

        Source: equations 2 to 4; the two switches are the ablation of table 1.
        """
        check_bins(bins)
        check_dtype(x)
        dims = _channel_dims(x, channel_dims)
        low, high = (bound.to(precision(x.dtype)) for bound in _finite_range(x, dims))
        edges = sample_edges(low, high, bins, random_edges, generator)
        values = sample_values(low, high, edges, random_values, generator)
        return cls(edges, to_dtype(values, x.dtype), dims)

    def __call__(self, x: Tensor) -> Tensor:
        """Quantize data.

        Args:
            x: data with the channels that the quantizer was sampled for; the other dims may have any size.

        Returns:
            A new tensor with the shape, dtype, device and memory layout of ``x``, inside the range of the sampled
            channel: values outside, including infinities, become the first or last value. NaN stays NaN. The
            gradient of a quantizer is zero everywhere, so the result is detached from ``x``.

        Raises:
            InputError: shape, dtype or device of ``x`` do not fit.

        Source: equation 1.
        """
        self._check(x)
        with torch.no_grad():  # as a decorator it stops torch.compile on Python 3.10
            if use_kernels(x):
                from pcrq import triton_kernels

                return triton_kernels.step_function(x, self.edges, self.values, self.channel_dims)
            y = self._like(step_function(self._rows(x), self._table(self.edges), self._table(self.values)), x)
            return y if y.stride() == x.stride() else torch.empty_like(x).copy_(y)

    @torch.no_grad()
    def indices(self, x: Tensor) -> Tensor:
        """Return the bin of every element.

        Returns:
            int64 in the shape of ``x``, in [0, bins); undefined where ``x`` is NaN.

        Raises:
            InputError: shape, dtype or device of ``x`` do not fit.
        """
        self._check(x)
        edges = self._table(self.edges)
        rows = self._rows(x).to(edges.dtype).contiguous()
        return self._like(torch.searchsorted(edges, rows, right=True), x)

    def _table(self, table: Tensor) -> Tensor:
        """Reshape ``edges`` or ``values`` to one row per channel."""
        return table.reshape(prod(table.shape[:-1]), table.shape[-1])

    def _rows(self, x: Tensor) -> Tensor:
        """Reshape the data to one row per channel, without a copy if the memory layout allows it."""
        channels = prod(self.edges.shape[:-1])
        leading = tuple(range(len(self.channel_dims)))
        return x.movedim(self.channel_dims, leading).reshape(channels, x.numel() // max(1, channels))

    def _like(self, rows: Tensor, x: Tensor) -> Tensor:
        """Reshape rows to the dims of ``x``."""
        leading = tuple(range(len(self.channel_dims)))
        return rows.view(x.movedim(self.channel_dims, leading).shape).movedim(leading, self.channel_dims)

    def _check(self, x: Tensor) -> None:
        dims = self.channel_dims
        channels = tuple(self.edges.shape[:-1])
        if x.ndim <= max(dims, default=0) or tuple(x.shape[dim] for dim in dims) != channels:
            raise InputError(
                f"data of shape {tuple(x.shape)}: the quantizer was sampled for {channels} channels in dims {dims}; "
                "sample one for this data"
            )
        if (x.dtype, x.device) != (self.values.dtype, self.values.device):
            raise InputError(
                f"data is {x.dtype} on {x.device}, but the quantizer was sampled for {self.values.dtype} on "
                f"{self.values.device}; convert the data or sample a quantizer for it"
            )


def randomized_quantize(
    x: Tensor,
    bins: int = 8,
    channel_dims: Sequence[int] | None = None,
    random_edges: bool = True,
    random_values: bool = True,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Sample a quantizer for ``x`` and apply it; see :meth:`Quantizer.sample` for the arguments.

    Shape:
        any shape, floating point or uint8 -> the same shape, dtype, device and memory layout, detached.

    Raises:
        InputError: as :meth:`Quantizer.sample`.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> tokens = torch.randn(2, 196, 64)
        >>> randomized_quantize(tokens, bins=5, channel_dims=(0, 2), generator=generator).shape
        torch.Size([2, 196, 64])
        >>> pixels = torch.randint(256, (3, 32, 32), dtype=torch.uint8)
        >>> randomized_quantize(pixels).dtype
        torch.uint8

    Source: section 3.2.
    """
    return Quantizer.sample(x, bins, channel_dims, random_edges, random_values, generator)(x)


def _channel_dims(x: Tensor, channel_dims: Sequence[int] | None) -> tuple[int, ...]:
    """Return the channel dims, non-negative and ascending."""
    if channel_dims is None:
        if x.ndim != 4 and not (x.ndim == 3 and x.shape[0] <= MAX_IMAGE_CHANNELS):
            raise InputError(
                f"channel_dims is missing: shape {tuple(x.shape)} is neither (B, C, H, W) nor (C, H, W) with at most "
                f"{MAX_IMAGE_CHANNELS} channels; name the dims with one quantizer per index, such as (0, 2) "
                "for tokens (B, T, D) or (0,) for (C, H, W)"
            )
        return tuple(range(x.ndim - 2))
    dims = tuple(channel_dims)
    if any(not -x.ndim <= dim < x.ndim for dim in dims) or len({dim % x.ndim for dim in dims}) != len(dims):
        raise InputError(f"channel_dims={dims}: not distinct dims of data of shape {tuple(x.shape)}")
    if len(dims) == x.ndim:
        raise InputError(f"channel_dims={dims}: leave at least one of the {x.ndim} dims of the data to quantize over")
    return tuple(sorted(dim % x.ndim for dim in dims))


def _finite_range(x: Tensor, channel_dims: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Return minimum and maximum of the finite values of every channel; 0 and 0 if there is none."""
    over = tuple(dim for dim in range(x.ndim) if dim not in channel_dims)
    if x.numel() == 0:
        empty = x.new_zeros([x.shape[dim] for dim in channel_dims])
        return empty, empty
    if use_kernels(x):
        from pcrq import triton_kernels

        return triton_kernels.finite_range(x, channel_dims)
    if not x.is_floating_point():
        return x.amin(over), x.amax(over)
    # On the CPU this check saves two passes. On a GPU it would synchronize, and in a compiled graph it is not allowed.
    if x.device.type == "cpu" and not torch.compiler.is_compiling():
        low, high = x.amin(over), x.amax(over)
        if bool((low.isfinite() & high.isfinite()).all()):
            return low, high
    finite = x.isfinite()
    low = torch.where(finite, x, torch.inf).amin(over)
    high = torch.where(finite, x, -torch.inf).amax(over)
    return low.where(low <= high, 0), high.where(low <= high, 0)


# --- sampling: equations 2 to 4, on the minimum and maximum of every channel (...) ---


def check_bins(bins: int) -> None:
    """Check the number of bins.

    Raises:
        InputError: ``bins`` is not an integer of at least 1.
    """
    if not isinstance(bins, int) or isinstance(bins, bool) or bins < 1:
        raise InputError(f"bins={bins!r}: must be an int of at least 1; to quantize nothing, leave the quantizer out")


def check_dtype(x: Tensor) -> None:
    """Check that a tensor can be quantized.

    Raises:
        InputError: ``x`` is neither real floating point nor uint8.
    """
    if not x.is_floating_point() and x.dtype != torch.uint8:
        raise InputError(f"cannot quantize {x.dtype}; convert it to a floating-point type or to torch.uint8 first")


def precision(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype in which boundaries are sampled and compared: float64 for float64, else float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def sample_edges(low: Tensor, high: Tensor, bins: int, random: bool, generator: torch.Generator | None) -> Tensor:
    """Sample the boundaries between the bins.

    Args:
        low, high: (...) minimum and maximum of every channel, float32 or float64.
        bins: number of bins, n >= 1.
        random: sorted uniform samples; False: bins of equal width.
        generator: source of randomness; None for torch's global generator.

    Returns:
        (..., bins-1) in the dtype of ``low``, ascending, inside [low, high].

    Source: equations 2 and 3. The outermost bins reach to the minimum and the maximum, so that n bins
    have n-1 boundaries between them.
    """
    shape = (*low.shape, bins - 1)
    if random:
        fraction = uniform(shape, low, generator)
    else:
        fraction = (torch.arange(1, bins, dtype=low.dtype, device=low.device) / bins).expand(shape)
    return _between(low[..., None], high[..., None], fraction).sort(dim=-1).values


def sample_values(low: Tensor, high: Tensor, edges: Tensor, random: bool, generator: torch.Generator | None) -> Tensor:
    """Sample one reproduction value per bin.

    Args:
        low, high: (...) minimum and maximum of every channel.
        edges: (..., bins-1) ascending boundaries.
        random: uniform in the bin; False: its midpoint.
        generator: source of randomness; None for torch's global generator.

    Returns:
        (..., bins) in the dtype of ``edges``, ascending, each inside its bin.

    Source: equation 4.
    """
    bounds = torch.cat([low[..., None], edges, high[..., None]], dim=-1)
    left, right = bounds[..., :-1], bounds[..., 1:]
    fraction = uniform(left.shape, low, generator) if random else torch.full_like(left, 0.5)
    return _between(left, right, fraction)


def to_dtype(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Round reproduction values to the dtype of the data. Rounding is monotonic, so they stay inside the range."""
    return (values if dtype.is_floating_point else values.round()).to(dtype)


def uniform(shape: tuple[int, ...], like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Sample from [0, 1) on the generator's device, in the dtype of ``like``, and move to the device of ``like``."""
    if generator is None:  # with dynamic shapes torch.compile does not accept even ``generator=None``
        return torch.rand(shape, dtype=like.dtype, device=like.device)
    return torch.rand(shape, dtype=like.dtype, device=generator.device, generator=generator).to(like.device)


def _between(low: Tensor, high: Tensor, fraction: Tensor) -> Tensor:
    """``low + (high - low) * fraction``, never outside [low, high], exact where both are equal."""
    # Halving is exact and prevents overflow of high - low; the clamp removes rounding errors.
    half_low, half_high = low / 2, high / 2
    return (2 * (half_low + (half_high - half_low) * fraction)).clamp(low, high)


# --- application: equation 1, q(x) = sum_i y_i [a_i <= x < a_(i+1)] ---
#
# Three implementations with equal results. select() uses elementwise operations, which torch.compile fuses into one
# pass. sweep() is for the CPU without a compiler, where each operation would go through main memory: it processes
# blocks that fit into the cache. pcrq.triton_kernels is for CUDA without torch.compile, also in one pass.


def use_kernels(x: Tensor) -> bool:
    """Return whether Triton kernels process a tensor: on CUDA, where Triton works, outside of torch.compile."""
    if torch.compiler.is_compiling() or not x.is_cuda or type(x) is not Tensor:  # fake tensors have no memory
        return False
    return _triton_works()


@cache
def _triton_works() -> bool:
    """Try a kernel once per process: Triton also needs a C compiler and a device of compute capability 7 or later."""
    try:
        from pcrq import triton_kernels

        x = torch.zeros(1, 1, device="cuda")
        triton_kernels.step_function(x, x[:, 1:], x, (0,))
    except ImportError:
        return False
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0]
        logging.getLogger(__name__).warning(
            "Triton does not work here (%s: %s): quantizing by slower tensor operations", type(error).__name__, reason
        )
        return False
    return True


BLOCK = 2**18  # elements per thread: smaller blocks synchronize threads more often, larger ones leave the cache


def step_function(rows: Tensor, edges: Tensor, values: Tensor) -> Tensor:
    """Replace every element by the value of its bin.

    Args:
        rows: (R, L) floating point or uint8.
        edges: (R, bins-1) ascending boundaries, float32 or float64; a boundary belongs to the bin on its right.
        values: (R, bins) ascending, in the dtype of ``rows``.

    Returns:
        (R, L) in the dtype of ``rows``. Elements outside the boundaries, including infinities, become the first or
        last value. NaN stays NaN.
    """
    if rows.device.type != "cpu" or torch.compiler.is_compiling():
        return select(rows, edges, values)
    # sweep() interpolates between values; if their distance overflows, only select() is exact.
    span = values[:, -1].to(edges.dtype) - values[:, 0].to(edges.dtype)
    return sweep(rows, edges, values) if bool(span.isfinite().all()) else select(rows, edges, values)


def select(rows: Tensor, edges: Tensor, values: Tensor) -> Tensor:
    """:func:`step_function` by whole-tensor operations, two per boundary."""
    x = rows.to(edges.dtype)
    y = torch.where(rows.isnan(), rows, values[:, :1])
    for i in range(edges.shape[1]):
        y = torch.where(x >= edges[:, i : i + 1], values[:, i + 1 : i + 2], y)
    return y


def sweep(rows: Tensor, edges: Tensor, values: Tensor) -> Tensor:
    """:func:`step_function` block by block, with scratch memory for one block."""
    result = torch.empty(rows.shape, dtype=rows.dtype, device=rows.device)
    values = values.to(edges.dtype)
    size = BLOCK * torch.get_num_threads()
    width = max(1, min(rows.shape[1], size))
    height = max(1, min(rows.shape[0], size // width))
    mask = torch.empty(height * width, dtype=edges.dtype, device=rows.device)
    blocks = zip(*(tensor.split(height) for tensor in (rows, edges, values, result)), strict=True)
    for row_block, edge, value, result_block in blocks:
        for part, target in zip(row_block.split(width, dim=1), result_block.split(width, dim=1), strict=True):
            _fill(target, part.to(edges.dtype), edge, value, mask[: part.numel()].view(part.shape))
    return result


def _fill(target: Tensor, x: Tensor, edges: Tensor, values: Tensor, mask: Tensor) -> None:
    """Write the step function of ``x`` to ``target``, with ``mask`` as scratch."""
    y = target if target.dtype == x.dtype else torch.empty_like(x)
    first = values[:, :1]
    torch.minimum(torch.maximum(x, first, out=y), first, out=y)  # the first value everywhere; NaN passes through
    for i in range(edges.shape[1]):
        torch.ge(x, edges[:, i : i + 1], out=mask)
        # With a weight of 0 or 1 lerp is an exact selection, and several times faster than torch.where.
        torch.lerp(y, values[:, i + 1 : i + 2], mask, out=y)
    if y is not target:
        target.copy_(y)

"""Randomized quantization of dense tensors: one random step function per channel.

Source: Wu et al., "Randomized Quantization: A Generic Augmentation for Data Agnostic Self-supervised Learning", ICCV
2023, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from pcrq.errors import InputError
from pcrq.sampling import check_bins, check_dtype, precision, sample_edges, sample_values, to_dtype
from pcrq.step_function import step_function

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

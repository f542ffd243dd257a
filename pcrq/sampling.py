"""Sample the boundaries and reproduction values of quantizers (Wu et al., ICCV 2023, equations 2 to 4).

All functions work on the minimum and maximum of every channel, tensors of any shape (...).
"""

from __future__ import annotations

import torch
from torch import Tensor

from pcrq.errors import InputError


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
    half = low / 2 + (high / 2 - low / 2) * fraction
    return torch.minimum(torch.maximum(2 * half, low), high)

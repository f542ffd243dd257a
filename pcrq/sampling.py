"""Draw the boundaries and reproduction values of a quantizer (Wu et al., ICCV 2023, equations 2 to 4).

Everything here is per channel and tiny: what arrives is the minimum and maximum of every channel, of any shape.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pcrq.errors import InputError


def check_bins(bins: int) -> None:
    """Refuse a number of bins that no quantizer can have.

    Raises:
        InputError: ``bins`` is not an integer of at least 1.
    """
    if not isinstance(bins, int) or isinstance(bins, bool) or bins < 1:
        raise InputError(f"bins={bins!r}: a quantizer needs a whole number of bins, at least 1")


def check_dtype(x: Tensor) -> None:
    """Refuse what has no quantizer here.

    Raises:
        InputError: ``x`` is neither real floating point nor uint8.
    """
    if not x.is_floating_point() and x.dtype != torch.uint8:
        raise InputError(f"cannot quantize {x.dtype}; convert it to a floating-point type or to torch.uint8 first")


def precision(dtype: torch.dtype) -> torch.dtype:
    """The type in which boundaries are drawn and compared: float64 for float64, float32 for all others."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def sample_edges(low: Tensor, high: Tensor, bins: int, random: bool, generator: torch.Generator | None) -> Tensor:
    """Draw the boundaries between the bins.

    Args:
        low, high: (...) minimum and maximum of every channel, float32 or float64.
        bins: number of bins, n >= 1.
        random: uniform draws, sorted; False: boundaries that cut the range into equal bins.
        generator: where the draws come from; None for torch's global one.

    Returns:
        (..., bins-1) in the type of ``low``, ascending, inside [low, high].

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
    """Draw one reproduction value per bin.

    Args:
        low, high: (...) minimum and maximum of every channel.
        edges: (..., bins-1) ascending boundaries.
        random: uniform in the bin; False: its midpoint.
        generator: where the draws come from; None for torch's global one.

    Returns:
        (..., bins) in the type of ``edges``, ascending, each inside its bin.

    Source: equation 4.
    """
    bounds = torch.cat([low[..., None], edges, high[..., None]], dim=-1)
    left, right = bounds[..., :-1], bounds[..., 1:]
    fraction = uniform(left.shape, low, generator) if random else torch.full_like(left, 0.5)
    return _between(left, right, fraction)


def to_dtype(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Round reproduction values to the type of the data. Rounding keeps order, so they stay inside the range."""
    return (values if dtype.is_floating_point else values.round()).to(dtype)


def uniform(shape: tuple[int, ...], like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draws from [0, 1) in the type of ``like``, made where the generator lives and moved to where ``like`` is."""
    if generator is None:  # not even ``generator=None`` compiles beside shapes that vary
        return torch.rand(shape, dtype=like.dtype, device=like.device)
    return torch.rand(shape, dtype=like.dtype, device=generator.device, generator=generator).to(like.device)


def _between(low: Tensor, high: Tensor, fraction: Tensor) -> Tensor:
    """``low + (high - low) * fraction``, never outside [low, high], exact where both are equal."""
    # Halving is exact and keeps high - low from overflowing; the clamp takes back what rounding adds.
    half = low / 2 + (high / 2 - low / 2) * fraction
    return torch.minimum(torch.maximum(2 * half, low), high)

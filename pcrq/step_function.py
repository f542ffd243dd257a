"""Apply one step function per row: equation 1 of Wu et al. (ICCV 2023), q(x) = sum_i y_i [a_i <= x < a_(i+1)].

Two implementations with equal results. :func:`select` uses elementwise operations, which ``torch.compile`` fuses into a
single pass. :func:`sweep` is for the CPU without a compiler, where each operation would go through main memory: it
processes blocks that fit into the cache.
"""

from __future__ import annotations

import torch
from torch import Tensor

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

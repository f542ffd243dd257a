"""Triton kernels of both quantizers for CUDA tensors: one pass for the finite range, one pass to apply.

The results equal those of the tensor operations in :mod:`pcrq.quantizer` and :mod:`pcrq.points`, which need a pass per
boundary. Both modules choose the kernels by :func:`pcrq.quantizer.use_kernels`; this module is not imported before.

Launch configurations are fixed, since memory bandwidth limits all kernels: 16 elements per thread are enough loads in
flight to saturate it, and leave registers for float64. Few configurations mean few compilations.
"""

# No ``from __future__ import annotations``: Triton's interpreter does not recognize constexpr in a string.

from math import prod

import torch
import triton
import triton.language as tl
from torch import Tensor

RANGE_TILE = 4096  # elements per program; large, since each program writes a partial result
RANGE_WARPS = 8
RANGE_COLUMNS = (1, 4, 16, 64)  # adjacent channels per program: up to a cache line of 128 bytes in float16
APPLY_BLOCK = 2048
APPLY_WARPS = 4
SMALL = 256  # elements per program for short channels
POINTS_TILE = 2048  # few points per program, so that most programs see one cloud only


def finite_range(x: Tensor, channel_dims: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Return minimum and maximum of the finite values of every channel; 0 and 0 if there is none.

    Args:
        x: at least one element, floating point or uint8, of any layout.
        channel_dims: ascending, at least one dim fewer than ``x`` has.

    Returns:
        Two tensors in the shape of the channels, float64 for float64 data, else float32.
    """
    if x.stride() != torch.empty_like(x, device="meta").stride():
        x = x.clone()  # without gaps and overlaps
    sizes, channels = _layout(x, channel_dims)
    low = high = x
    inner = 1
    while sizes:
        *outer, count, length = sizes
        if length > 1 or not outer:
            low, high = _reduce(low, high, prod(outer) * count, length, inner, last=not outer)
        inner *= count
        sizes = outer
    shape = [x.shape[dim] for dim in channels]
    back = sorted(range(len(channels)), key=channels.__getitem__)
    return low.view(shape).permute(back), high.view(shape).permute(back)


def step_function(x: Tensor, edges: Tensor, values: Tensor, channel_dims: tuple[int, ...]) -> Tensor:
    """Replace every element by the value of its bin.

    Args:
        x: floating point or uint8, of any layout.
        edges: (..., bins-1) ascending boundaries, float32 or float64; a boundary belongs to the bin on its right.
        values: (..., bins) ascending, in the dtype of ``x``.
        channel_dims: the dims of ``x`` that correspond to ``...``, ascending.

    Returns:
        A new tensor, laid out as ``torch.empty_like(x)``. Elements outside the boundaries, including infinities,
        become the first or last value. NaN stays NaN.
    """
    y = torch.empty_like(x)
    if x.numel() == 0:
        return y
    source = x if x.stride() == y.stride() else y.copy_(x)  # x has gaps or overlaps: in place on a copy without
    sizes, channels = _layout(source, channel_dims)
    if len(sizes) > 4:
        leading = tuple(range(len(channel_dims)))
        rows = x.movedim(channel_dims, leading).contiguous()
        return y.copy_(step_function(rows, edges, values, leading).movedim(leading, channel_dims))
    order = [channel_dims.index(dim) for dim in channels]
    edges, values = (table.permute(*order, -1).contiguous() for table in (edges, values))
    # (a, b, c, d): channel a, c in a table of a·c rows. Lines are consecutive elements of one channel, or, where the
    # channel changes with every element (d = 1), of b·c elements whose channels repeat.
    a, b, c, d = sizes if len(sizes) == 4 else [1, 1, *sizes]
    lines, length, group, period, width = (a * b * c, d, b * c, c, 1) if d > 1 or b == 1 else (a, b * c, 1, 1, c)
    block = APPLY_BLOCK if length > SMALL else SMALL
    blocks = triton.cdiv(length, block)
    with torch.cuda.device_of(x):
        _step_function[(lines * blocks,)](
            *(source, y, edges, values, length, group, period, width, blocks, values.shape[-1]),
            STEPS=(values.shape[-1] - 1).bit_length(),
            BLOCK=block,
            num_warps=APPLY_WARPS,
        )
    return y


def point_range(xyz: Tensor, batch_id: Tensor, batch_size: int) -> tuple[Tensor, Tensor]:
    """Return minimum and maximum of the finite coordinates of every cloud; 0 and 0 if there is none.

    Args:
        xyz: (N, C) floating point.
        batch_id: (N,) int64, in any order. Points whose id is not in [0, batch_size) are ignored.
        batch_size: number of clouds B.

    Returns:
        Two (B, C) tensors, float64 for float64 points, else float32.
    """
    points, axes = xyz.shape
    dtype = torch.float64 if xyz.dtype == torch.float64 else torch.float32
    minus_low, high = torch.full((2, batch_size, axes), -torch.inf, dtype=dtype, device=xyz.device)
    if high.numel() and points:
        columns = triton.next_power_of_2(axes)
        block = max(1, POINTS_TILE // columns)
        with torch.cuda.device_of(xyz):
            _point_range[(triton.cdiv(points, block),)](
                *(xyz.contiguous(), batch_id.contiguous(), minus_low, high, points, axes, batch_size),
                BLOCK=block,
                COLUMNS=columns,
                num_warps=APPLY_WARPS,
            )
    low = -minus_low
    empty = low > high
    return low.masked_fill_(empty, 0), high.masked_fill_(empty, 0)


def point_step_function(xyz: Tensor, batch_id: Tensor, edges: Tensor, values: Tensor) -> Tensor:
    """Replace every coordinate by the value of its bin.

    Args:
        xyz: (N, C) floating point.
        batch_id: (N,) int64, in any order.
        edges: (B, C, bins-1) ascending boundaries, float32 or float64.
        values: (B, C, bins) ascending, in the dtype of ``xyz``.

    Returns:
        (N, C), contiguous. NaN stays NaN. Points whose id is not in [0, B) become NaN.
    """
    y = torch.empty_like(xyz, memory_format=torch.contiguous_format)
    if xyz.numel() == 0:
        return y
    with torch.cuda.device_of(xyz):
        _point_step_function[(triton.cdiv(xyz.numel(), APPLY_BLOCK),)](
            *(xyz.contiguous(), batch_id.contiguous(), y, edges.contiguous(), values.contiguous()),
            *(xyz.numel(), xyz.shape[1], len(values), values.shape[-1]),
            STEPS=(values.shape[-1] - 1).bit_length(),
            BLOCK=APPLY_BLOCK,
            num_warps=APPLY_WARPS,
        )
    return y


def _layout(x: Tensor, channel_dims: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """Describe a tensor without gaps and overlaps in the order of its memory.

    Returns:
        Sizes of the channel dims, other dims, channel dims, other dims, … next to each other in memory, outermost
        first; and the channel dims in the order of memory.
    """
    order = sorted(range(x.ndim), key=x.stride, reverse=True)
    sizes = [1]
    for dim in order:
        if x.shape[dim] == 1:
            continue  # its place does not matter
        if (dim in channel_dims) == (len(sizes) % 2 == 1):
            sizes[-1] *= x.shape[dim]
        else:
            sizes.append(x.shape[dim])
    return sizes + [1] * (len(sizes) % 2), [dim for dim in order if dim in channel_dims]


def _reduce(low: Tensor, high: Tensor, outer: int, length: int, inner: int, last: bool) -> tuple[Tensor, Tensor]:
    """Reduce (outer, length, inner) tensors in memory order over the middle dim, by as many launches as it takes."""
    dtype = torch.float64 if low.dtype == torch.float64 else torch.float32
    columns = next((columns for columns in RANGE_COLUMNS if inner <= columns), RANGE_COLUMNS[-1])
    column_blocks = triton.cdiv(inner, columns)
    while True:
        block = (RANGE_TILE if length * columns > SMALL else SMALL) // columns
        blocks = triton.cdiv(length, block)
        result = low.new_empty((2, outer * blocks * inner), dtype=dtype)
        with torch.cuda.device_of(low):
            _range[(outer * blocks * column_blocks,)](
                *(low, high, result[0], result[1], length, inner, blocks, column_blocks),
                SAME=low is high,
                LAST=last and blocks == 1,
                BLOCK=block,
                COLUMNS=columns,
                num_warps=RANGE_WARPS,
            )
        low, high = result
        length = blocks
        if blocks == 1:
            return low, high


@triton.jit
def _range(
    low_pointer,
    high_pointer,
    low_out,
    high_out,
    length,
    inner,
    blocks,
    column_blocks,
    SAME: tl.constexpr,
    LAST: tl.constexpr,
    BLOCK: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Minimum and maximum of one tile, (BLOCK, COLUMNS) of the last two dims of (outer, length, inner)."""
    program = tl.program_id(0)
    outer = (program // column_blocks // blocks).to(tl.int64)
    block = (program // column_blocks % blocks).to(tl.int64)
    row = block * BLOCK + tl.arange(0, BLOCK)
    column = (program % column_blocks).to(tl.int64) * COLUMNS + tl.arange(0, COLUMNS)
    mask = (row < length)[:, None] & (column < inner)[None, :]
    offset = (outer * length + row)[:, None] * inner + column[None, :]
    dtype = low_out.dtype.element_ty
    infinity = float("inf")
    x = tl.load(low_pointer + offset, mask=mask, other=0).to(dtype)
    low = tl.min(tl.where(mask & (tl.abs(x) < infinity), x, infinity), axis=0)
    if not SAME:
        x = tl.load(high_pointer + offset, mask=mask, other=0).to(dtype)
    high = tl.max(tl.where(mask & (tl.abs(x) < infinity), x, -infinity), axis=0)
    if LAST:
        empty = low > high
        low = tl.where(empty, 0, low)
        high = tl.where(empty, 0, high)
    target = (outer * blocks + block) * inner + column
    tl.store(low_out + target, low, mask=column < inner)
    tl.store(high_out + target, high, mask=column < inner)


@triton.jit
def _value_of_bin(x, row, edges, values, bins, mask, otherwise: tl.constexpr, STEPS: tl.constexpr):
    """The value of every element's bin in a row of the tables, by a binary search of STEPS = ceil(log2(bins)) loads."""
    key = x.to(edges.dtype.element_ty)
    first_edge = edges + row.to(tl.int64) * (bins - 1)
    position = tl.zeros_like(row)
    for i in tl.static_range(STEPS):
        step = 1 << (STEPS - 1 - i)
        in_table = mask & (position + step < bins)
        edge = tl.load(first_edge + (position + step - 1), mask=in_table, other=0)
        position = tl.where(in_table & (key >= edge), position + step, position)
    y = tl.load(values + row.to(tl.int64) * bins + position, mask=mask, other=otherwise)
    return tl.where(key == key, y, x)


@triton.jit
def _step_function(
    x,
    y,
    edges,
    values,
    length,
    group,
    period,
    width,
    blocks,
    bins,
    STEPS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Apply to BLOCK consecutive elements of one line; see :func:`step_function` for the rows of the tables."""
    program = tl.program_id(0)
    line = (program // blocks).to(tl.int64)
    start = (program % blocks).to(tl.int64) * BLOCK
    i = tl.arange(0, BLOCK)
    mask = i < length - start
    row = ((line // group) * period + line % period).to(tl.int32) * width + ((start % width).to(tl.int32) + i) % width
    offset = line * length + start + i
    element = tl.load(x + offset, mask=mask, other=0)
    tl.store(y + offset, _value_of_bin(element, row, edges, values, bins, mask, 0, STEPS), mask=mask)


@triton.jit
def _point_range(
    xyz,
    batch_id,
    minus_low,
    high,
    points,
    axes,
    batch_size,
    BLOCK: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Raise the maxima of -x and x by BLOCK points: once per program if they are of one cloud, else point by point."""
    point = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    axis = tl.arange(0, COLUMNS)
    cloud = tl.load(batch_id + point, mask=point < points, other=-1)
    inside = (cloud >= 0) & (cloud < batch_size)
    first = tl.min(tl.where(inside, cloud, batch_size), axis=0)
    last = tl.max(tl.where(inside, cloud, -1), axis=0)
    mask = inside[:, None] & (axis < axes)[None, :]
    x = tl.load(xyz + point[:, None] * axes + axis[None, :], mask=mask, other=0).to(high.dtype.element_ty)
    infinity = float("inf")
    mask = mask & (tl.abs(x) < infinity)
    # Adding 0 makes -0 positive; some versions of Triton lose it in atomic_max, which compares bits as integers.
    negative = tl.where(mask, 0.0 - x, -infinity)
    positive = tl.where(mask, 0.0 + x, -infinity)
    if first == last:
        place = first * axes + axis
        tl.atomic_max(minus_low + place, tl.max(negative, axis=0), mask=axis < axes, sem="relaxed")
        tl.atomic_max(high + place, tl.max(positive, axis=0), mask=axis < axes, sem="relaxed")
    else:
        places = cloud[:, None] * axes + axis[None, :]
        tl.atomic_max(minus_low + places, negative, mask=mask, sem="relaxed")
        tl.atomic_max(high + places, positive, mask=mask, sem="relaxed")


@triton.jit
def _point_step_function(
    xyz,
    batch_id,
    y,
    edges,
    values,
    elements,
    axes,
    batch_size,
    bins,
    STEPS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Apply to BLOCK consecutive coordinates; those of unknown clouds become NaN and read nothing from the tables."""
    start = tl.program_id(0).to(tl.int64) * BLOCK
    i = tl.arange(0, BLOCK)
    mask = i < elements - start
    place = (start % axes).to(tl.int32) + i
    cloud = tl.load(batch_id + (start // axes + place // axes), mask=mask, other=-1)
    known = (cloud >= 0) & (cloud < batch_size)
    row = (cloud * axes).to(tl.int32) + place % axes
    x = tl.load(xyz + start + i, mask=mask, other=0)
    tl.store(y + start + i, _value_of_bin(x, row, edges, values, bins, known, float("nan"), STEPS), mask=mask)

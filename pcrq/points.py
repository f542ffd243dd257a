"""Randomized quantization of ragged batches of points: one random step function per cloud and axis.

All clouds of a batch are quantized at once; their points may be in any order. Compiled kernels process CPU tensors
(:mod:`pcrq.cpu_kernels`), Triton kernels CUDA tensors (:mod:`pcrq.triton_kernels`), with equal results.

Source: Wu et al., ICCV 2023, sections 3 and 5.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pcrq import InputError, cpu_kernels
from pcrq.quantizer import check_bins, precision, sample_edges, sample_values, to_dtype, use_kernels


@dataclass(frozen=True, eq=False)
class PointQuantizer:
    """A piecewise constant function per cloud and axis: x in [edge_i, edge_(i+1)) becomes value_i.

    Args:
        edges: (B, C, bins-1) boundaries between the bins, ascending; float64 for float64 points, else float32.
        values: (B, C, bins) reproduction values, ascending, in the type of the points.

    Example:
        >>> xyz = torch.rand(1000, 3)
        >>> batch_id = torch.arange(4).repeat_interleave(250)
        >>> quantizer = PointQuantizer.sample(xyz, batch_id, batch_size=4, bins=30)
        >>> quantizer.edges.shape, quantizer.values.shape
        (torch.Size([4, 3, 29]), torch.Size([4, 3, 30]))
        >>> quantizer(xyz, batch_id).shape
        torch.Size([1000, 3])
    """

    edges: Tensor
    values: Tensor

    @classmethod
    @torch.no_grad()
    def sample(
        cls,
        xyz: Tensor,
        batch_id: Tensor,
        batch_size: int,
        bins: int = 30,
        random_edges: bool = True,
        random_values: bool = True,
        generator: torch.Generator | None = None,
    ) -> PointQuantizer:
        """Sample an independent quantizer for every axis of every cloud, from the cloud's minimum and maximum there.

        Args:
            xyz: (N, C) points of all clouds, floating point; C is 3 for coordinates. NaN and infinities are ignored.
            batch_id: (N,) int64 in [0, batch_size), the cloud of every point, in any order. The range is
                checked on the CPU only; on a GPU the check would synchronize.
            batch_size: number of clouds B; clouds without points are allowed.
            bins: number of bins n, at least 1; the paper uses 30.
            random_edges: boundaries uniform in [min, max]; False: bins of equal width.
            random_values: values uniform in their bin; False: midpoints.
            generator: source of randomness, on any device. None for torch's global generator of the points' device.

        Returns:
            The quantizer, on the device of ``xyz``.

        Raises:
            InputError: ``bins`` is below 1, or ``xyz`` and ``batch_id`` do not fit together.

        Source: equations 2 to 4.
        """
        check_bins(bins)
        _check_points(xyz, batch_id, batch_size)
        low, high = _finite_range(xyz, batch_id, batch_size)
        edges = sample_edges(low, high, bins, random_edges, generator)
        values = sample_values(low, high, edges, random_values, generator)
        return cls(edges, to_dtype(values, xyz.dtype))

    @torch.no_grad()
    def __call__(self, xyz: Tensor, batch_id: Tensor) -> Tensor:
        """Quantize points.

        Args:
            xyz: (N, C) points, in the dtype of the sampled ones.
            batch_id: (N,) int64, the cloud of every point.

        Returns:
            (N, C) new points inside the bounding box of the sampled cloud, detached (the gradient of a quantizer is
            zero everywhere). NaN stays NaN; infinities take the first or last value.

        Raises:
            InputError: the points do not fit the quantizer.

        Source: equation 1.
        """
        if use_kernels(xyz):
            from pcrq import triton_kernels

            self._check(xyz, batch_id)
            return triton_kernels.point_step_function(xyz, batch_id, self.edges, self.values)
        if cpu_kernels.use_for(xyz):
            self._check(xyz, batch_id)
            x, edges, values = (cpu_kernels.in_precision(tensor) for tensor in (xyz, self.edges, self.values))
            y = torch.empty_like(x)
            sizes = (*x.shape, values.shape[-1])
            cpu_kernels.call("quantize_points", y, x, batch_id.contiguous(), edges, values, *sizes, dtype=x.dtype)
            return y.to(xyz.dtype)
        values = self._padded(self.values, 0)
        y = values.index_select(0, self._search(xyz, batch_id)).view(xyz.shape)
        return torch.where(xyz.isnan(), xyz, y)

    @torch.no_grad()
    def indices(self, xyz: Tensor, batch_id: Tensor) -> Tensor:
        """Return the bin of every coordinate: (N, C) int64 in [0, bins), undefined for NaN.

        Raises:
            InputError: the points do not fit the quantizer.
        """
        return (self._search(xyz, batch_id) % self._width).long().view(xyz.shape)

    def _search(self, xyz: Tensor, batch_id: Tensor) -> Tensor:
        """Return (N * C,) int32, the position of every coordinate's bin in the padded tables.

        One binary search for all coordinates together. Padding every row to a power of two with NaN, which no
        coordinate reaches, gives all of them the same number of steps; int32 halves the memory traffic.
        """
        self._check(xyz, batch_id)
        edges = self._padded(self.edges, torch.nan)
        x = xyz.to(edges.dtype).reshape(-1)
        axes = xyz.shape[1]
        row = batch_id[:, None] * axes + torch.arange(axes, device=xyz.device)
        position = (row * self._width).int().view(-1)
        step = self._width // 2
        while step:
            passed = x >= edges[step - 1 :].index_select(0, position)
            position.add_(passed, alpha=step)
            step //= 2
        return position

    @property
    def _width(self) -> int:
        """The smallest power of two that is at least the number of bins."""
        return 1 << (self.values.shape[-1] - 1).bit_length()

    def _padded(self, table: Tensor, filling: float) -> Tensor:
        """Pad every row of ``edges`` or ``values`` to the width, and flatten."""
        return torch.nn.functional.pad(table, (0, self._width - table.shape[-1]), value=filling).reshape(-1)

    def _check(self, xyz: Tensor, batch_id: Tensor) -> None:
        _check_points(xyz, batch_id, self.values.shape[0])
        if xyz.shape[1] != self.values.shape[1]:
            raise InputError(
                f"points with {xyz.shape[1]} coordinates, but the quantizer was sampled for {self.values.shape[1]}"
            )
        if (xyz.dtype, xyz.device) != (self.values.dtype, self.values.device):
            raise InputError(
                f"points are {xyz.dtype} on {xyz.device}, but the quantizer was sampled for {self.values.dtype} on "
                f"{self.values.device}; convert the points or sample a quantizer for them"
            )


def randomized_quantize_points(
    xyz: Tensor,
    batch_id: Tensor,
    batch_size: int,
    bins: int = 30,
    random_edges: bool = True,
    random_values: bool = True,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Sample a quantizer per cloud and axis and apply it; see :meth:`PointQuantizer.sample` for the arguments.

    Shape:
        xyz (N, C) floating point, batch_id (N,) int64 -> (N, C) in the type of ``xyz``, detached.

    Raises:
        InputError: as :meth:`PointQuantizer.sample`.

    Example:
        >>> xyz, batch_id = torch.randn(6, 3), torch.tensor([0, 0, 0, 2, 2, 2])
        >>> quantized = randomized_quantize_points(xyz, batch_id, batch_size=3, bins=2)
        >>> quantized[:3, 0].unique().numel() <= 2
        True

    Source: sections 3.2 and 5.2.
    """
    quantizer = PointQuantizer.sample(xyz, batch_id, batch_size, bins, random_edges, random_values, generator)
    return quantizer(xyz, batch_id)


def _check_points(xyz: Tensor, batch_id: Tensor, batch_size: int) -> None:
    if xyz.ndim != 2 or not xyz.is_floating_point():
        raise InputError(f"xyz must be (N, C) floating point, but is {tuple(xyz.shape)} {xyz.dtype}")
    if batch_id.shape != xyz.shape[:1] or batch_id.dtype != torch.int64 or batch_id.device != xyz.device:
        raise InputError(
            f"batch_id must be ({len(xyz)},) int64 on {xyz.device} for these points, but is "
            f"{tuple(batch_id.shape)} {batch_id.dtype} on {batch_id.device}"
        )
    if batch_id.device.type == "cpu" and not torch.compiler.is_compiling() and len(batch_id):
        first, last = int(batch_id.min()), int(batch_id.max())
        if first < 0 or last >= batch_size:
            raise InputError(f"batch_id runs from {first} to {last}, outside [0, batch_size) = [0, {batch_size})")


def _finite_range(xyz: Tensor, batch_id: Tensor, batch_size: int) -> tuple[Tensor, Tensor]:
    """(B, C) minimum and maximum of the finite coordinates of every cloud; 0 and 0 if there is none."""
    if use_kernels(xyz):
        from pcrq import triton_kernels

        return triton_kernels.point_range(xyz, batch_id, batch_size)
    xyz = xyz.to(precision(xyz.dtype))
    if cpu_kernels.use_for(xyz):
        low, high = xyz.new_empty(2, batch_size, xyz.shape[1])
        sizes = (*xyz.shape, batch_size)
        cpu_kernels.call("point_range", low, high, xyz.contiguous(), batch_id.contiguous(), *sizes, dtype=xyz.dtype)
        return low, high
    finite = xyz.isfinite()
    index = batch_id[:, None].expand_as(xyz)
    bounds = []
    for nothing, reduce in ((torch.inf, "amin"), (-torch.inf, "amax")):
        start = xyz.new_full((batch_size, xyz.shape[1]), nothing)
        bounds.append(start.scatter_reduce(0, index, torch.where(finite, xyz, nothing), reduce))
    low, high = bounds
    return low.where(low <= high, 0), high.where(low <= high, 0)

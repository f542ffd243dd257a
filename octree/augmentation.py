"""Augmentation of point clouds, batched on the device: MID-Net's random affine map, then randomized quantization.

The affine map is that of MID-Net (Wang et al., AAAI 2021; microsoft/O-CNN, ``transform_points``): rotate, shift,
scale, and drop what leaves the cube. Quantization of the coordinates comes after it and before the octree (Wu et al.,
ICCV 2023, section 5.2); normals are not quantized.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

from octree.point_batch import PointBatch
from pcrq import InputError
from pcrq.points import randomized_quantize_points
from pcrq.quantizer import uniform


@dataclass(frozen=True)
class Affine:
    """One rotation, shift and scale for every cloud of a batch.

    Args:
        angle: (B,) float32 rotation about the y axis in radians.
        shift: (B, 3) float32 translation, applied after the rotation.
        scale: (B, 3) float32 positive factor of every axis, applied last.
    """

    angle: torch.Tensor
    shift: torch.Tensor
    scale: torch.Tensor

    def __call__(self, batch: PointBatch) -> PointBatch:
        """Transform every cloud; normals follow the surface and stay unit vectors. No point is dropped."""
        cos, sin, shift, scale = (
            parameter.index_select(0, batch.batch_id)
            for parameter in (self.angle.cos(), self.angle.sin(), self.shift, self.scale)
        )
        points = _rotate_about_y(batch.points, cos, sin) + shift
        normals = batch.normals
        if normals is not None:
            normals = F.normalize(_rotate_about_y(normals, cos, sin) / scale, dim=1)
        return replace(batch, points=points * scale, normals=normals)


@dataclass(frozen=True)
class RandomAffine:
    """Rotate, shift and scale every cloud at random, then drop the points outside the cube (-1, 1)³.

    The defaults are those of MID-Net's pretraining.

    Args:
        angle: rotation about the y axis by a whole number of degrees in [-angle, angle), in [0, 180].
        shift: maximum translation of every axis, as a fraction of the diameter 2 of the unit ball, in [0, 1].
        scale: factor of every axis in [1 - scale, 1 + scale], in [0, 1).
        uniform_scale: one factor for all three axes.

    Raises:
        InputError: a number is out of range.

    Example:
        >>> batch = PointBatch.from_points(torch.rand(100, 3) - 0.5)
        >>> augment = RandomAffine(angle=10)
        >>> augmented = augment(batch)
        >>> same = clip(augment.sample(batch.batch_size)(batch))  # the same in two steps, to keep the sampled map

    Source: microsoft/O-CNN, tensorflow/script/configs/hrnet_mid; Wang et al., AAAI 2021.
    """

    angle: int = 180
    shift: float = 0.25
    scale: float = 0.25
    uniform_scale: bool = False

    def __post_init__(self) -> None:
        if not (0 <= self.angle <= 180 and 0 <= self.shift <= 1 and 0 <= self.scale < 1):
            raise InputError(
                f"angle {self.angle}, shift {self.shift}, scale {self.scale}: must be in [0, 180], [0, 1] and [0, 1)"
            )

    def sample(
        self, batch_size: int, device: torch.device | str = "cpu", generator: torch.Generator | None = None
    ) -> Affine:
        """Sample one affine map per cloud.

        Args:
            batch_size: number of clouds B.
            device: of the sampled numbers.
            generator: source of randomness on ``device``; None for torch's global generator.
        """

        def uniform(width: int, low: float, high: float) -> torch.Tensor:
            return torch.rand(batch_size, width, device=device, generator=generator) * (high - low) + low

        degrees = torch.zeros(batch_size, device=device)
        if self.angle > 0:
            degrees = torch.randint(-self.angle, self.angle, (batch_size,), device=device, generator=generator)
        return Affine(
            angle=degrees * (math.pi / 180),
            shift=uniform(3, -2 * self.shift, 2 * self.shift),
            scale=uniform(1 if self.uniform_scale else 3, 1 - self.scale, 1 + self.scale).expand(batch_size, 3),
        )

    def __call__(self, batch: PointBatch, generator: torch.Generator | None = None) -> PointBatch:
        """Sample on the device of the batch, transform, and drop the points outside the cube."""
        return clip(self.sample(batch.batch_size, batch.device, generator)(batch))


def clip(batch: PointBatch) -> PointBatch:
    """Drop the points outside the open cube (-1, 1)³."""
    return batch.select(batch.points.abs().amax(dim=1) < 1)


def quantize(
    batch: PointBatch,
    bins: int = 30,
    generator: torch.Generator | None = None,
    *,
    p: float = 1.0,
    random_edges: bool = True,
    random_values: bool = True,
) -> PointBatch:
    """Quantize the coordinates by an independent random quantizer per cloud and axis.

    Args:
        batch: clouds; labels, patches and normals are kept as they are.
        bins: bins per axis, at least 1; the paper uses 30.
        generator: source of randomness; None for torch's global generator.
        p: probability of quantizing a cloud, in [0, 1]; the others are kept as they are.
        random_edges: sample the boundaries of the bins; False: bins of equal width.
        random_values: sample the value of a bin; False: its center.

    Raises:
        InputError: ``bins`` is below 1, or ``p`` is not a probability. For no quantization, do not call this function.

    Source: Wu et al., ICCV 2023, section 5.2; see :class:`pcrq.PointQuantizer`.
    """
    if not 0 <= p <= 1:
        raise InputError(f"p={p}: must be a probability in [0, 1]")
    points = randomized_quantize_points(
        batch.points, batch.batch_id, batch.batch_size, bins, random_edges, random_values, generator
    )
    if p < 1:
        chosen = uniform((batch.batch_size,), points, generator) < p
        points = torch.where(chosen.index_select(0, batch.batch_id)[:, None], points, batch.points)
    return replace(batch, points=points)


def _rotate_about_y(vectors: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    x, y, z = vectors.unbind(dim=1)
    return torch.stack([cos * x + sin * z, y, cos * z - sin * x], dim=1)

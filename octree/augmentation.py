"""The views that MID-Net trains on: its base augmentation, then randomized quantization, batched on the device.

The base augmentation is that of MID-Net (Wang et al., AAAI 2021; microsoft/O-CNN, ``transform_points``): rotate,
shift, scale, drop what leaves the cube. Randomized quantization of the coordinates comes after it and before the
octree (Wu et al., ICCV 2023, section 5.2); normals are not quantized.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

from octree.point_batch import PointBatch
from pcrq.points import randomized_quantize_points


@dataclass(frozen=True)
class Distortion:
    """A drawn base augmentation: one rotation, shift and scale for every cloud of a batch.

    Args:
        angle: (B,) rotation about the y axis in radians.
        shift: (B, 3) translation, applied after the rotation.
        scale: (B, 3) factor of every axis, applied last.
    """

    angle: torch.Tensor
    shift: torch.Tensor
    scale: torch.Tensor

    @classmethod
    def sample(
        cls,
        batch_size: int,
        *,
        angle: int = 180,
        shift: float = 0.25,
        scale: float = 0.25,
        uniform_scale: bool = False,
        device: torch.device | str = "cpu",
        generator: torch.Generator | None = None,
    ) -> Distortion:
        """Draw one distortion per cloud.

        Args:
            batch_size: number of clouds B.
            angle: rotate by a whole number of degrees in [-angle, angle).
            shift: move every axis by up to this part of the cloud's diameter, which is 2 for the unit ball.
            scale: multiply every axis by a factor in [1 - scale, 1 + scale].
            uniform_scale: use one factor for all three axes.
            device: where to draw; a ``generator`` must live there.
        """

        def uniform(width: int, low: float, high: float) -> torch.Tensor:
            return torch.rand(batch_size, width, device=device, generator=generator) * (high - low) + low

        degrees = torch.zeros(batch_size, device=device)
        if angle > 0:
            degrees = torch.randint(-angle, angle, (batch_size,), device=device, generator=generator)
        return cls(
            angle=degrees * (math.pi / 180),
            shift=uniform(3, -2 * shift, 2 * shift),
            scale=uniform(1 if uniform_scale else 3, 1 - scale, 1 + scale).expand(batch_size, 3),
        )

    def __call__(self, batch: PointBatch) -> PointBatch:
        """Rotate, shift and scale every cloud; normals follow the surface and stay unit vectors."""
        cos, sin = self.angle.cos()[batch.batch_id], self.angle.sin()[batch.batch_id]
        scale = self.scale[batch.batch_id]
        points = _rotate_about_y(batch.points, cos, sin) + self.shift[batch.batch_id]
        normals = _rotate_about_y(batch.normals, cos, sin) / scale
        return replace(batch, points=points * scale, normals=F.normalize(normals, dim=1))


def clip(batch: PointBatch) -> PointBatch:
    """Drop the points outside the open cube (-1, 1)³."""
    return batch.select((batch.points.abs() < 1).all(dim=1))


def quantize(batch: PointBatch, bins: int, generator: torch.Generator | None = None, **options: bool) -> PointBatch:
    """Quantize the coordinates, one quantizer per cloud and axis; ``options`` as for randomized_quantize_points."""
    points = randomized_quantize_points(
        batch.points, batch.batch_id, batch.batch_size, bins=bins, generator=generator, **options
    )
    return replace(batch, points=points)


def _rotate_about_y(vectors: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    x, y, z = vectors.unbind(dim=1)
    return torch.stack([cos * x + sin * z, y, cos * z - sin * x], dim=1)

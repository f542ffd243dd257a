"""Random resize crop of log-mel spectrograms: approximately a shift of pitch and time, and a stretch of both.

A spectrogram stands in the middle of a longer canvas of zeros; a random rectangle of the canvas is cut out and resized
to the spectrogram's size. Both together are linear along frequency and along time, so a batch takes two products with
small matrices, which hold the bicubic weights of every sample.

Source: BYOL-A (Niizumi et al., IJCNN 2021), section III-C; nttcslab/byol-a, byol_a/augmentations.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pcrq.errors import InputError
from pcrq.sampling import uniform
from projects.audio.draws import integers_below

CANVAS = (1.0, 1.5)
"""Frequencies and frames of the canvas, in those of the spectrogram."""
SCALE = (0.6, 1.5)
"""The sides of a rectangle are uniform between these, in those of the spectrogram, and at most the canvas's."""


@dataclass(frozen=True, eq=False)
class ResizeCrops:
    """One rectangle of the canvas for every sample. Draw them with :meth:`sample`, keep them, apply them again.

    Args:
        top, left: (N,) int64 first frequency and first frame of the rectangles, on the canvas.
        height, width: (N,) int64 their frequencies and frames, at least 1.
        size: frequencies F and frames T of the spectrograms that they are for.

    Example:
        >>> spectrograms = torch.randn(8, 1, 64, 96)
        >>> crops = ResizeCrops.sample(spectrograms)
        >>> torch.equal(crops(spectrograms), crops(spectrograms))
        True
    """

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor
    size: tuple[int, int]

    @classmethod
    def sample(cls, spectrograms: Tensor, generator: torch.Generator | None = None) -> ResizeCrops:
        """Draw a rectangle for every sample, the shape first and then its place.

        Args:
            spectrograms: (N, C, F, T), of which only shape and device matter.
            generator: source of randomness, on any device; None for torch's global one.
        """
        frequencies, frames = spectrograms.shape[-2:]
        fraction = uniform((2, len(spectrograms)), spectrograms.new_empty(0, dtype=torch.float32), generator)
        scale = SCALE[0] + (SCALE[1] - SCALE[0]) * fraction
        canvas_height, canvas_width = _canvas((frequencies, frames))
        height = (scale[0] * frequencies).long().clamp(1, canvas_height)
        width = (scale[1] * frames).long().clamp(1, canvas_width)
        top = integers_below(canvas_height - height + 1, generator)
        left = integers_below(canvas_width - width + 1, generator)
        return cls(top, left, height, width, (frequencies, frames))

    def __call__(self, spectrograms: Tensor) -> Tensor:
        """Crop and resize.

        Args:
            spectrograms: (N, C, F, T) floating point. Zeros surround them, so normalise them before.

        Returns:
            (N, C, F, T) float32, what bicubic interpolation of every crop gives where corners are aligned; also under
            autocast.

        Raises:
            InputError: number or size of the spectrograms are others.
        """
        if spectrograms.ndim != 4 or (len(spectrograms), *spectrograms.shape[2:]) != (len(self.top), *self.size):
            raise InputError(
                f"spectrograms of shape {tuple(spectrograms.shape)}: the crops were drawn for {len(self.top)} of size "
                f"{self.size}; draw others"
            )
        frequencies, frames = self.size
        above, before = ((canvas - side) // 2 for canvas, side in zip(_canvas(self.size), self.size, strict=True))
        with torch.autocast(spectrograms.device.type, enabled=False):
            along_frequency = _bicubic_weights(self.top - above, self.height, frequencies)
            along_time = _bicubic_weights(self.left - before, self.width, frames)
            return along_frequency.unsqueeze(1) @ spectrograms.float() @ along_time.mT.unsqueeze(1)


def _canvas(size: tuple[int, int]) -> tuple[int, int]:
    """Frequencies and frames of the canvas of spectrograms of this size."""
    return int(size[0] * CANVAS[0]), int(size[1] * CANVAS[1])


def _bicubic_weights(start: Tensor, length: Tensor, size: int) -> Tensor:
    """Matrices that resize an interval to ``size`` points, its ends onto the first and last of them.

    Args:
        start: (N,) int64 first point of the interval; points outside [0, size) are zeros on the canvas.
        length: (N,) int64 points of the interval.
        size: points before and after.

    Returns:
        (N, size, size) float32: the weight of every old point (column) for every new one (row).

    Source: Keys, Cubic convolution interpolation for digital image processing, 1981, with a = -0.75; at the ends of
    the interval its outermost point repeats, as in torch.nn.functional.interpolate.
    """
    points = torch.arange(size, device=start.device)
    position = points * ((length - 1) / max(1, size - 1)).unsqueeze(1)
    base = position.floor()
    distance = position - base
    weights = torch.zeros(len(start), size, size + 1, device=start.device)  # the last column takes what is outside
    for tap in (-1, 0, 1, 2):  # one by one, since taps at an end of the interval meet
        neighbour = (base.long() + tap).clamp(min=0).minimum(length.unsqueeze(1) - 1) + start.unsqueeze(1)
        neighbour = neighbour.where((neighbour >= 0) & (neighbour < size), size).unsqueeze(2)
        weights.scatter_(2, neighbour, weights.gather(2, neighbour) + _cubic((distance - tap).abs()).unsqueeze(2))
    return weights[..., :size]


def _cubic(distance: Tensor, a: float = -0.75) -> Tensor:
    """The weight of a point at a distance in [0, 2] points."""
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((distance - 5) * distance + 8) * distance * a - 4 * a
    return torch.where(distance <= 1, near, far)

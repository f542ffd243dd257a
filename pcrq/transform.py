"""Randomized quantization as a module: in a ``forward()`` on batches, or in a torchvision pipeline on single images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pcrq.errors import InputError
from pcrq.quantizer import Quantizer
from pcrq.sampling import check_bins, uniform


class RandomizedQuantization(nn.Module):
    """Quantize every sample with probability ``p``, each channel by a quantizer of its own, drawn anew on every call.

    It has no parameters and acts alike in training and evaluation mode. In ``torchvision.transforms.v2.Compose`` it
    stands behind ``v2.ToImage()`` and takes uint8 or floating-point images.

    Args:
        bins: number of bins n >= 1.
        p: probability of quantizing a sample, in [0, 1].
        channel_dims: the dims whose every index has a quantizer of its own; default as in
            :meth:`pcrq.Quantizer.sample`. The first of two or more tells the samples apart, as in (0, 1) for
            (B, C, H, W) and (0, 2) for (B, T, D); with one or none the input is a single sample.
        random_edges, random_values: False for bins of equal width and for midpoints.

    Shape:
        any shape, floating point or uint8 -> the same shape and dtype, detached.

    Raises:
        InputError: ``bins`` or ``p`` is out of range, or (when called) ``channel_dims`` does not fit the data.

    Example:
        >>> augment = RandomizedQuantization(bins=8, p=0.5)
        >>> augment(torch.rand(16, 3, 32, 32)).shape
        torch.Size([16, 3, 32, 32])

    Source: Wu et al., ICCV 2023, section 3.2.
    """

    def __init__(
        self,
        bins: int = 8,
        p: float = 1.0,
        channel_dims: Sequence[int] | None = None,
        random_edges: bool = True,
        random_values: bool = True,
    ):
        super().__init__()
        check_bins(bins)
        if not 0 <= p <= 1:
            raise InputError(f"p={p}: a probability lies in [0, 1]")
        self.bins = bins
        self.p = p
        self.channel_dims = None if channel_dims is None else tuple(channel_dims)
        self.random_edges = random_edges
        self.random_values = random_values

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Quantize ``x``; with a ``generator`` the result is reproducible without touching the global one."""
        if not isinstance(x, Tensor):
            raise InputError(f"cannot quantize a {type(x).__name__}; put torchvision.transforms.v2.ToImage() before")
        quantizer = Quantizer.sample(x, self.bins, self.channel_dims, self.random_edges, self.random_values, generator)
        y = quantizer(x)
        if self.p == 1:
            return y
        dims = quantizer.channel_dims
        samples = dims[:1] if len(dims) > 1 else ()
        shape = tuple(size if dim in samples else 1 for dim, size in enumerate(x.shape))
        chosen = uniform(shape, quantizer.edges, generator) < self.p
        return torch.where(chosen, y, x.detach())

    def extra_repr(self) -> str:
        """What ``print`` shows between the parentheses."""
        names = ("bins", "p", "channel_dims", "random_edges", "random_values")
        return ", ".join(f"{name}={getattr(self, name)}" for name in names)

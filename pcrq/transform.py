"""Randomized quantization as a module, for a ``forward()`` on batches or for a torchvision v2 pipeline."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from pcrq import InputError
from pcrq.quantizer import Quantizer, check_bins, uniform


class RandomizedQuantization(nn.Module):
    """Quantize each sample with probability ``p``, by new quantizers on every call, one per channel.

    The module has no parameters and behaves alike in training and evaluation mode.

    As a transform of ``torchvision.transforms.v2`` it accepts several inputs and nested structures, like the transforms
    there: ``tv_tensors.Image`` and ``Video`` are quantized; labels, bounding boxes, masks and other objects are
    returned unchanged. Without an ``Image`` or ``Video``, the first plain tensor is quantized. Put ``v2.ToImage()``
    before it to convert PIL images.

    Args:
        bins: number of bins n, at least 1.
        p: probability of quantizing a sample, in [0, 1].
        channel_dims: the dims that have one quantizer per index; default for images as in
            :meth:`pcrq.Quantizer.sample`. With two or more, the first one is the batch, as in (0, 1) for (B, C, H, W)
            and (0, 2) for (B, T, D); with one or none the input is a single sample.
        random_edges: boundaries uniform in [min, max]; False: bins of equal width.
        random_values: values uniform in their bin; False: midpoints.

    Shape:
        any shape, floating point or uint8 -> the same shape, dtype and type of image, detached.

    Raises:
        InputError: ``bins`` or ``p`` is out of range, or (when called) there is no tensor to quantize or
            ``channel_dims`` does not fit it.

    Example:
        >>> augment = RandomizedQuantization(bins=8, p=0.5)
        >>> augment(torch.rand(16, 3, 32, 32)).shape
        torch.Size([16, 3, 32, 32])
        >>> image, label = augment(torch.rand(3, 32, 32), 7)
        >>> image.shape, label
        (torch.Size([3, 32, 32]), 7)

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
            raise InputError(f"p={p}: must be a probability in [0, 1]")
        self.bins = bins
        self.p = p
        self.channel_dims = None if channel_dims is None else tuple(channel_dims)
        self.random_edges = random_edges
        self.random_values = random_values

    def forward(self, *inputs: Any, generator: torch.Generator | None = None) -> Any:
        """Quantize the images among the inputs.

        Args:
            inputs: a tensor, or any structure of images, labels and other objects.
            generator: source of randomness; None for torch's global generator.

        Returns:
            One input with its images quantized, or a tuple for several inputs.
        """
        if len(inputs) == 1 and type(inputs[0]) is Tensor:
            return self._quantize(inputs[0], self.channel_dims, generator)
        leaves, structure = pytree.tree_flatten(inputs if len(inputs) != 1 else inputs[0])
        chosen = _images(leaves)
        for position in chosen:
            leaves[position] = self._quantize_image(leaves[position], generator)
        return pytree.tree_unflatten(leaves, structure)

    def _quantize_image(self, image: Tensor, generator: torch.Generator | None) -> Tensor:
        """Quantize a plain tensor, a ``tv_tensors.Image`` (..., C, H, W) or a ``Video`` (..., T, C, H, W)."""
        tv_tensors = sys.modules.get("torchvision.tv_tensors")
        if tv_tensors is None or not isinstance(image, tv_tensors.TVTensor):
            return self._quantize(image, self.channel_dims, generator)
        dims = self.channel_dims
        if dims is None:
            dims = tuple(range(image.ndim - 2))
            if isinstance(image, tv_tensors.Video):  # the frames of a video have the same quantizers
                dims = (*dims[:-2], dims[-1])
        quantized: Tensor = tv_tensors.wrap(
            self._quantize(image.as_subclass(Tensor), dims, generator),
            like=image,
        )
        return quantized

    def _quantize(self, x: Tensor, channel_dims: Sequence[int] | None, generator: torch.Generator | None) -> Tensor:
        quantizer = Quantizer.sample(x, self.bins, channel_dims, self.random_edges, self.random_values, generator)
        y = quantizer(x)
        if self.p == 1:
            return y
        dims = quantizer.channel_dims
        samples = dims[:1] if len(dims) > 1 else ()
        shape = tuple(size if dim in samples else 1 for dim, size in enumerate(x.shape))
        chosen = uniform(shape, quantizer.edges, generator) < self.p
        return torch.where(chosen, y, x.detach())

    def extra_repr(self) -> str:
        """Return the options that ``print`` shows."""
        names = ("bins", "p", "channel_dims", "random_edges", "random_values")
        return ", ".join(f"{name}={getattr(self, name)}" for name in names)


def _images(leaves: Sequence[Any]) -> list[int]:
    """Return the positions of images and videos; without any, that of the first plain tensor, as torchvision does."""
    tv_tensors = sys.modules.get("torchvision.tv_tensors")  # no input can be a tv_tensor before it is imported
    image_types = () if tv_tensors is None else (tv_tensors.Image, tv_tensors.Video)
    marked_types = () if tv_tensors is None else (tv_tensors.TVTensor,)
    pil = sys.modules.get("PIL.Image")
    if pil is not None and any(isinstance(leaf, pil.Image) for leaf in leaves):
        raise InputError("cannot quantize a PIL image; put torchvision.transforms.v2.ToImage() before")
    images = [position for position, leaf in enumerate(leaves) if isinstance(leaf, image_types)]
    if images:
        return images
    for position, leaf in enumerate(leaves):
        if isinstance(leaf, Tensor) and not isinstance(leaf, marked_types):
            return [position]
    kinds = ", ".join(sorted({type(leaf).__name__ for leaf in leaves})) or "nothing"
    raise InputError(f"no tensor to quantize among the inputs ({kinds}); pass a tensor, or use v2.ToImage() before")

"""The last steps of a view, batched on the training device: quantization, then normalisation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pcrq import RandomizedQuantization
from pcrq.errors import InputError
from projects.image.augmentation import Augmentation


class ViewsOnDevice(nn.Module):
    """Views as worker processes send them to views as networks see them.

    Every view of every image gets quantizers of its own, one for each colour channel, drawn anew on every call.
    Call it again on the same batch for other draws: the authors' code gives the momentum encoder draws of its own.
    Quantizing first and normalising then is the same as the other way round, because boundaries and values are drawn
    relative to the channel's range.

    Args:
        augmentation: tells the quantization.
        mean, std: of the images' colour channels, in [0, 1].

    Shape:
        (B, V, 3, H, W) uint8 -> V tensors (B, 3, H, W) float32, contiguous.

    Raises:
        InputError: (when called) the batch is of another type or shape.

    Source: sections 3.2 and 4; usage 3 of microsoft/random_quantize.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, augmentation: Augmentation, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.quantize = None
        if augmentation.bins:
            self.quantize = RandomizedQuantization(
                augmentation.bins,
                augmentation.p,
                random_edges=augmentation.random_edges,
                random_values=augmentation.random_values,
            )
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    @torch.no_grad()
    def forward(self, views: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, ...]:
        """Quantize and normalise; with a ``generator`` the result is reproducible without touching the global one."""
        if views.dtype != torch.uint8 or views.ndim != 5 or views.shape[2] != len(self.mean):
            raise InputError(f"views: {views.dtype} of shape {tuple(views.shape)}, expected uint8 (B, V, 3, H, W)")
        images = views.transpose(0, 1).flatten(0, 1).to(torch.float32).div_(255)
        if self.quantize is not None:
            images = self.quantize(images, generator)
        images = images.sub_(self.mean).div_(self.std)
        return images.unflatten(0, (views.shape[1], views.shape[0])).unbind(0)

"""BYOL-A's mixup: a little of an earlier sound in the background, mixed as sounds mix rather than their logarithms.

Source: BYOL-A (Niizumi et al., IJCNN 2021), section III-B; nttcslab/byol-a, byol_a/augmentations.py.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pcrq.errors import InputError
from pcrq.sampling import uniform
from projects.audio.draws import integers_below


def log_mixup_exp(foreground: Tensor, background: Tensor, share: Tensor) -> Tensor:
    """The logarithm of ``(1 - share) * exp(foreground) + share * exp(background)``.

    Args:
        foreground, background: (N, C, F, T) float32, logarithmic.
        share: (N,) in [0, 1], what a sample gets of its background.

    Returns:
        (N, C, F, T) float32; an epsilon keeps it finite.
    """
    share = share.view(-1, 1, 1, 1)
    mixed = (1 - share) * foreground.exp() + share * background.exp()
    return (mixed + torch.finfo(mixed.dtype).eps).log()


class MixupMemory(nn.Module):
    """The latest samples, to mix others with.

    They are part of the state dict, so that a resumed run mixes as it would have done: 50 MB for 2048 samples. With
    several processes each remembers and draws its own samples, and a checkpoint holds those of the first one: after
    resuming, all processes draw from what the first had seen, until samples of their own have taken its place.

    Args:
        samples: how many are kept.
        size: frequencies and frames of a sample.

    Raises:
        InputError: ``samples`` is below 1.
    """

    samples: Tensor
    seen: Tensor

    def __init__(self, samples: int = 2048, size: tuple[int, int] = (64, 96)):
        super().__init__()
        if samples < 1:
            raise InputError(f"a mixup memory of {samples} samples: choose at least 1")
        self.register_buffer("samples", torch.zeros(samples, 1, *size))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def remember(self, batch: Tensor) -> None:
        """Put samples (B, 1, F, T) in the place of the oldest ones; of more than fit, the last.

        Raises:
            InputError: the samples are of another size.
        """
        if batch.shape[1:] != self.samples.shape[1:]:
            raise InputError(
                f"mixup remembers samples of shape {tuple(self.samples.shape[1:])}, these are "
                f"{tuple(batch.shape[1:])}; set the size"
            )
        latest = batch[-len(self.samples) :]
        order = self.seen + torch.arange(len(batch), device=batch.device)[-len(self.samples) :]
        self.samples[order % len(self.samples)] = latest.to(self.samples.dtype)
        self.seen += len(batch)

    def draw(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """(count,) int64 rows of remembered samples, each equally likely; remember some before.

        A batch that was just remembered is among them, so the first one of a run finds backgrounds too. One in
        ``samples`` draws is the sample itself, which leaves it as it is; so it is in BYOL-A, for the second view.
        """
        return integers_below(self.seen.clamp(max=len(self.samples)).expand(count), generator)


class Mixup(nn.Module):
    """Mix every view with a remembered sample, each with a share and a background of its own.

    Args:
        ratio: shares of the background are uniform in [0, ratio).
        samples, size: of the memory.

    Raises:
        InputError: ``ratio`` is not in (0, 1], or ``samples`` is below 1.
    """

    def __init__(self, ratio: float = 0.4, samples: int = 2048, size: tuple[int, int] = (64, 96)):
        super().__init__()
        if not 0 < ratio <= 1:
            raise InputError(f"mixup ratio {ratio}: must be above 0 and at most 1")
        self.ratio = ratio
        self.memory = MixupMemory(samples, size)

    def forward(self, views: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """(N, 1, F, T) -> the same; :attr:`memory` must have been told the batch before."""
        share = self.ratio * uniform((len(views),), views, generator)
        return log_mixup_exp(views, self.memory.samples[self.memory.draw(len(views), generator)], share)

"""Short waveforms to a fixed length: the whole between zeros."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def between_zeros(waveforms: Tensor, samples: int) -> Tensor:
    """Centre short waveforms between zeros.

    Args:
        waveforms: (..., T), any type and device, T at most ``samples``.
        samples: length of the result.

    Returns:
        (..., samples), of the type and on the device of the waveforms.
    """
    spare = samples - waveforms.shape[-1]
    return F.pad(waveforms, (spare // 2, spare - spare // 2))

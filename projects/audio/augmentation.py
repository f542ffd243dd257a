"""The augmentation arms of the paper's table 9, and what lies around them."""

from __future__ import annotations

from dataclasses import dataclass

from pcrq.errors import InputError


@dataclass(frozen=True)
class Augmentation:
    """How two views are made of a log-mel spectrogram.

    Args:
        mixup: mix with up to this share of an earlier sound, in [0, 1]; 0.4 in BYOL-A, 0 for none.
        crop: random resize crop.
        bins: bins of randomized quantization; 0 for none.
        per_frequency: a quantizer for every frequency of a view; False: one for the view.
        random_edges, random_values: False for bins of equal width and for midpoints, as in table 1.
        p: probability of quantizing a view, in [0, 1].
        quantize_first: quantize where BYOL-A mixes, before the crop, whose interpolation then blends the values of
            the bins.
        memory: sounds that mixup draws from.

    Raises:
        InputError: a value is out of range.

    Source: section 5.3, which leaves two things open; the authors' code for audio is not public. It says that
    quantization replaces mixup, not where: after the crop is where their code for images has it, and where what a bin
    hides stays hidden. And it does not say what a channel is: their module has one quantizer for each of the images
    that log-mel spectrograms are, while section 1 calls frequencies the channels of audio.
    """

    mixup: float = 0.0
    crop: bool = True
    bins: int = 5
    per_frequency: bool = False
    random_edges: bool = True
    random_values: bool = True
    p: float = 1.0
    quantize_first: bool = False
    memory: int = 2048

    def __post_init__(self) -> None:
        if not 0 <= self.mixup <= 1:
            raise InputError(f"mixup {self.mixup}: a share lies in [0, 1]; 0 for no mixup")
        if self.bins < 0:
            raise InputError(f"bins {self.bins}: choose at least 1, or 0 for no quantization")
        if not 0 <= self.p <= 1:
            raise InputError(f"p {self.p}: a probability lies in [0, 1]")
        if self.memory < 1:
            raise InputError(f"memory {self.memory}: mixup needs at least 1 sound to draw from")

    @property
    def name(self) -> str:
        """As the authors name the arm, "RRC+Mixup" for example; "none" for two equal views."""
        parts = ["RRC"] * self.crop + ["Mixup"] * (self.mixup > 0) + ["RQ"] * (self.bins > 0)
        return "+".join(parts) or "none"


ARMS: dict[str, Augmentation] = {
    "RRC": Augmentation(bins=0),
    "RRC+Mixup": Augmentation(mixup=0.4, bins=0),  # BYOL-A
    "RRC+RQ": Augmentation(),  # the paper's
    "RRC+Mixup+RQ": Augmentation(mixup=0.4),
    "RQ": Augmentation(crop=False),
}
"""By their names; table 9 has the second and the third."""


def arm(name: str) -> Augmentation:
    """The augmentation of an arm.

    Raises:
        InputError: there is no arm of this name.
    """
    if name not in ARMS:
        raise InputError(f"arm {name!r}: not known; choose among {', '.join(ARMS)}")
    return ARMS[name]

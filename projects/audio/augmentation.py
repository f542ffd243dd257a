"""The augmentation variants of the paper's table 9, and what lies around them."""

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

    Source: section 5.3; the authors' code for audio is not public, and two things can be read in more than one way.
    Quantization replaces mixup, which stands before the crop; their code for images quantizes after it, which is where
    what a bin hides stays hidden. Section 1 calls frequencies the channels of audio; their module has a quantizer for
    every plane of an image, and a log-mel spectrogram is an image of one.
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
        """As the authors name the variant, "RRC+Mixup" for example; "none" for two equal views.

        What quantizes in another way than ours says so: "RRC+RQ (per frequency, before the crop)".
        """
        parts = ["RRC"] * self.crop + ["Mixup"] * (self.mixup > 0) + ["RQ"] * (self.bins > 0)
        reading = ["per frequency"] * self.per_frequency + ["before the crop"] * self.quantize_first
        return ("+".join(parts) or "none") + (f" ({', '.join(reading)})" if self.bins and reading else "")


VARIANTS: dict[str, Augmentation] = {
    "RRC": Augmentation(bins=0),
    "RRC+Mixup": Augmentation(mixup=0.4, bins=0),  # BYOL-A
    "RRC+RQ": Augmentation(),  # the paper's, as we read it; as others may:
    "RRC+RQ (per frequency)": Augmentation(per_frequency=True),
    "RRC+RQ (before the crop)": Augmentation(quantize_first=True),
    "RRC+RQ (per frequency, before the crop)": Augmentation(per_frequency=True, quantize_first=True),
    "RRC+Mixup+RQ": Augmentation(mixup=0.4),
    "RQ": Augmentation(crop=False),
}
"""By their names; table 9 has the second and the third."""


def variant(name: str) -> Augmentation:
    """The augmentation of a variant.

    Raises:
        InputError: there is no variant of this name.
    """
    if name not in VARIANTS:
        raise InputError(f"variant {name!r}: not known; choose among {', '.join(VARIANTS)}")
    return VARIANTS[name]

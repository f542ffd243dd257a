"""The augmentation variants of the paper's tables 1, 3, 4 and 5, by their names there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from pcrq.errors import InputError

Crop = Literal["CR", "RRC"]
Colour = Literal["none", "CJ", "Full"]


@dataclass(frozen=True)
class Augmentation:
    """How two views are made of an image.

    Args:
        crop: "CR" resizes and takes the centre, the same for both views: no augmentation; "RRC" crops at random 20 to
            100 % of the area.
        colour: "none"; "CJ", colour jitter as in MoCo v3; "Full", all of MoCo v3 but the crop and the flip: jitter,
            grey, blur and solarisation, the last two with other probabilities for the first view than for the second.
        flip: mirror half of the views.
        bins: bins of randomized quantization, as the last step, every view and colour channel by a quantizer of its
            own; 0 for none.
        random_edges: False for bins of equal width, as in table 1.
        random_values: False for the midpoints of the bins, as in table 1.
        p: probability of quantizing a view, in [0, 1].

    Raises:
        InputError: a value is out of range.

    Source: sections 4 and 5.1. Flips belong to "Full" and to MSF's weak views only: the paper calls its baselines by
    the crop alone and a centre crop "no augmentation", and the authors' code puts nothing between random resized crop
    and quantization.
    """

    crop: Crop = "RRC"
    colour: Colour = "none"
    flip: bool = False
    bins: int = 8
    random_edges: bool = True
    random_values: bool = True
    p: float = 1.0

    def __post_init__(self) -> None:
        if self.crop not in ("CR", "RRC"):
            raise InputError(f"crop {self.crop!r}: choose CR or RRC")
        if self.colour not in ("none", "CJ", "Full"):
            raise InputError(f"colour {self.colour!r}: choose none, CJ or Full")
        if self.bins < 0:
            raise InputError(f"bins {self.bins}: choose at least 1, or 0 for no quantization")
        if not 0 <= self.p <= 1:
            raise InputError(f"p {self.p}: a probability lies in [0, 1]")

    @property
    def name(self) -> str:
        """As the paper names the variant, "RRC+RQ" for example; a combination that it does not have reads alike."""
        unquantized = replace(self, bins=0, random_edges=True, random_values=True, p=1.0)
        known = next((name for name, variant in VARIANTS.items() if variant == unquantized), None)
        parts = [self.crop, *[self.colour] * (self.colour != "none"), *["flip"] * self.flip]
        return (known or "+".join(parts)) + ("+RQ" if self.bins else "")


VARIANTS: dict[str, Augmentation] = {
    "CR": Augmentation("CR", bins=0),
    "RRC": Augmentation("RRC", bins=0),
    "RRC+CJ": Augmentation("RRC", "CJ", bins=0),
    "Full": Augmentation("RRC", "Full", flip=True, bins=0),
    "MSF": Augmentation("RRC", flip=True, bins=0),  # "w/w": weak views, of UMBCvision/MSF
    "CR+RQ": Augmentation("CR"),
    "RRC+RQ": Augmentation("RRC"),
}
"""The paper's variants; what table 1 and figure 5 vary is one ``dataclasses.replace`` away."""


def variant(name: str) -> Augmentation:
    """The augmentation of a variant.

    Raises:
        InputError: the paper has no variant of this name.
    """
    if name not in VARIANTS:
        raise InputError(f"variant {name!r}: not known; choose among {', '.join(VARIANTS)}")
    return VARIANTS[name]

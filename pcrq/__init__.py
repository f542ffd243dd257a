"""Randomized quantization of any tensor, as a data-agnostic augmentation (Wu et al., ICCV 2023)."""

from typing import TYPE_CHECKING

from pcrq._lazy import lazy_exports

if TYPE_CHECKING:
    from pcrq.errors import InputError as InputError
    from pcrq.points import PointQuantizer as PointQuantizer
    from pcrq.points import randomized_quantize_points as randomized_quantize_points
    from pcrq.quantizer import Quantizer as Quantizer
    from pcrq.quantizer import randomized_quantize as randomized_quantize
    from pcrq.transform import RandomizedQuantization as RandomizedQuantization

__version__ = "0.1.0"

_MODULES = {
    "Quantizer": "quantizer",
    "randomized_quantize": "quantizer",
    "PointQuantizer": "points",
    "randomized_quantize_points": "points",
    "RandomizedQuantization": "transform",
    "InputError": "errors",
}
__all__ = list(_MODULES)
__getattr__, __dir__ = lazy_exports(__name__, _MODULES)

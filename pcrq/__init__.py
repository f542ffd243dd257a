"""Randomized quantization of any tensor, as a data-agnostic augmentation (Wu et al., ICCV 2023)."""

from importlib import import_module

__version__ = "0.1.0"

_HOME = {
    "Quantizer": "quantizer",
    "randomized_quantize": "quantizer",
    "PointQuantizer": "points",
    "randomized_quantize_points": "points",
    "RandomizedQuantization": "transform",
    "InputError": "errors",
}
__all__ = list(_HOME)


def __getattr__(name: str):
    """Import a public name on first use: ``import pcrq`` alone does not load torch."""
    if name not in _HOME:
        raise AttributeError(f"module 'pcrq' has no attribute {name!r}")
    return getattr(import_module(f"pcrq.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

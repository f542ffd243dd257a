"""Randomized quantization of any tensor, as a data-agnostic augmentation (Wu et al., ICCV 2023).

``import pcrq`` is fast: public names are imported on first use.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pcrq.points import PointQuantizer as PointQuantizer
    from pcrq.points import randomized_quantize_points as randomized_quantize_points
    from pcrq.quantizer import Quantizer as Quantizer
    from pcrq.quantizer import randomized_quantize as randomized_quantize
    from pcrq.transform import RandomizedQuantization as RandomizedQuantization

__version__ = "0.1.0"


class InputError(ValueError):
    """Invalid input.

    The message is one line: what is wrong with the value and its name, what is allowed, and what to do. The command
    line prints it without a traceback and exits with status 2.
    """


def lazy_exports(package: str, modules: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make ``__getattr__`` and ``__dir__`` of a package (PEP 562).

    Args:
        package: ``__name__`` of the package.
        modules: the module that defines each public name, relative to the package: ``{"BYOL": "byol"}``.

    Returns:
        The two functions, to be assigned in the package's ``__init__.py``.
    """

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"{package}.{modules[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *modules})

    return get, names


_MODULES = {
    "Quantizer": "quantizer",
    "randomized_quantize": "quantizer",
    "PointQuantizer": "points",
    "randomized_quantize_points": "points",
    "RandomizedQuantization": "transform",
}
__all__ = ["InputError", *_MODULES]
__getattr__, __dir__ = lazy_exports(__name__, _MODULES)

"""Compiled kernels for the CPU: quantization of point clouds, and the layers of octree networks.

``cpu_kernels.cpp`` is compiled when the package is installed where a C++ compiler is present. Without it everything
works through PyTorch's operations; a training step of an octree network then takes two to three times as long.
"""

from __future__ import annotations

import ctypes
import importlib.machinery
import logging
import platform
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from pcrq import InputError

TILE = 128
"""Targets whose pairs the convolution stores together, as in ``cpu_kernels.cpp``."""

_VERSION = 2  # raise it here and in cpu_kernels.cpp whenever the interface between both changes
_INSTALL = "install pcrq again with pip install --force-reinstall --no-deps --no-cache-dir"
_SUFFIX = {torch.float32: "_f32", torch.float64: "_f64"}


def _load() -> tuple[ctypes.CDLL | None, str]:
    """The library that belongs to this file; or None, and the reason."""
    names = [f"_cpu_kernels{suffix}" for suffix in importlib.machinery.EXTENSION_SUFFIXES]
    path = next((path for path in map(Path(__file__).with_name, names) if path.exists()), None)
    if path is None:
        return None, f"it was not compiled; with a C++ compiler present, {_INSTALL}"
    capability = torch.backends.cpu.get_cpu_capability()
    if platform.machine() in ("x86_64", "AMD64") and capability not in ("AVX2", "AVX512"):
        return None, f"it needs AVX2, and torch reports {capability}"
    try:
        library = ctypes.CDLL(str(path))
        library.pcrq_count_pairs.restype = ctypes.c_int64
        if library.pcrq_version() == _VERSION:
            return library, ""
        return None, f"it is of another version; {_INSTALL}"
    except (OSError, AttributeError) as error:
        return None, f"it could not be loaded ({error})"


library, _reason = _load()
"""``library`` is None where the kernels cannot be used; PyTorch's operations replace them."""


@lru_cache(maxsize=1)
def warn_once() -> None:
    """Log why the kernels are not used."""
    logging.getLogger(__name__).warning(
        "octree networks take two to three times as long on this CPU without their compiled library: %s", _reason
    )


def call(name: str, *arguments: Tensor | int, dtype: torch.dtype | None = None) -> int:
    """Call a function of ``cpu_kernels.cpp`` with the number of threads of torch as its last argument.

    Args:
        name: without prefix, and without the suffix of the type.
        arguments: contiguous tensors on the CPU, and integers.
        dtype: float32 or float64, for functions that exist for both.

    Raises:
        InputError: a tensor is on another device.
    """
    function = getattr(library, f"pcrq_{name}{'' if dtype is None else _SUFFIX[dtype]}")
    converted: list[ctypes.c_void_p | ctypes.c_int64] = []
    for argument in arguments:
        if not isinstance(argument, Tensor):
            converted.append(ctypes.c_int64(argument))
        elif argument.device.type == "cpu" and argument.is_contiguous():
            converted.append(ctypes.c_void_p(argument.data_ptr()))
        else:
            raise InputError(
                f"tensors on {argument.device} and on the CPU are used together; move all to one device by .to(device)"
            )
    result: int = function(*converted, ctypes.c_int64(torch.get_num_threads()))
    return result


def use_for(data: Tensor) -> bool:
    """Whether the kernels can process a tensor: a plain one on the CPU, outside of torch.compile."""
    plain = type(data) in (Tensor, torch.nn.Parameter) and not torch.compiler.is_compiling()
    return library is not None and data.device.type == "cpu" and plain


def in_precision(data: Tensor) -> Tensor:
    """Convert data to a type of the kernels: float64 stays, everything else becomes float32."""
    return data.contiguous() if data.dtype == torch.float64 else data.float().contiguous()

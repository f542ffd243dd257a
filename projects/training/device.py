"""The device that a command computes on."""

from __future__ import annotations

import torch

from pcrq.errors import InputError


def choose_device(name: str = "auto") -> torch.device:
    """A device by its name; "auto" takes a GPU where there is one.

    Raises:
        InputError: there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {name!r}: not on this machine; choose cpu or auto") from error
    return device

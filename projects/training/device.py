"""The device of a command."""

from __future__ import annotations

import torch

from pcrq import InputError


def choose_device(name: str = "auto") -> torch.device:
    """The device of a name; "auto" is a GPU if there is one.

    Raises:
        InputError: this machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {name!r}: not available on this machine; choose cpu or auto") from error
    return device

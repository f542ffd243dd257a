"""Buffers that DistributedDataParallel leaves alone.

It sends all buffers of the first process to the others before every forward pass. That is a waste for large ones which
every process updates alike. The names of buffers to ignore can be told only to the module that is wrapped, a trainer's
perhaps, under which the owner of the buffers does not know its own name; so they are hidden from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


class UnsharedBuffers(nn.Module):
    """Base of modules with tensors that move between devices and are saved as buffers are, but are no buffers.

    Nothing makes them equal in the processes of a training: the module starts and updates them alike everywhere.
    """

    def __init__(self) -> None:
        super().__init__()
        self._unshared: list[str] = []

    def register_unshared_buffer(self, name: str, tensor: torch.Tensor) -> None:
        """Make ``tensor`` an attribute and an entry of the state dict."""
        self._unshared.append(name)
        setattr(self, name, tensor)

    @contextmanager
    def _as_buffers(self) -> Iterator[None]:
        for name in self._unshared:
            self._buffers[name] = self.__dict__.pop(name)
        try:
            yield
        finally:
            for name in self._unshared:
                self.__dict__[name] = self._buffers.pop(name)

    def _apply(self, *args: Any, **kwargs: Any) -> UnsharedBuffers:  # .to, .cuda, .double, …
        with self._as_buffers():
            return super()._apply(*args, **kwargs)

    def _save_to_state_dict(self, *args: Any, **kwargs: Any) -> None:
        with self._as_buffers():
            super()._save_to_state_dict(*args, **kwargs)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        with self._as_buffers():
            super()._load_from_state_dict(*args, **kwargs)

"""MSF: BYOL whose target is not only the sample's own feature, but also the features next to it.

Source: Koohpayegani, Tejankar, Pirsiavash, Mean Shift for Self-Supervised Learning, ICCV 2021; UMBCvision/MSF.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn

from pcrq.errors import InputError
from pcrq.ssl.byol import BYOL
from pcrq.ssl.gather import gather
from pcrq.ssl.siamese import Baseline

if TYPE_CHECKING:
    from pcrq.ssl.siamese import SiameseFramework


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


_SEED = 128_000  # memories start equal on every device, whatever the state of its random generators


class MSF(UnsharedBuffers, Baseline):
    """Mean shift, in one direction: the first view is predicted from, the second view is searched for neighbours.

    The paper compares MSF with weak views: random resized crops and flips. With one neighbour it is BYOL in one
    direction, since the feature nearest to a target is this target itself.

    All processes have equal memories: these start from one seed, and every process adds the targets of all.

    Args:
        out: size of the framework's projections; 512 in the original, on ResNet-50.
        memory: target features M that are remembered, the latest of all processes; at least the joint batch.
        neighbours: features K that a prediction is drawn to.

    Raises:
        InputError: there are fewer memories than neighbours, or (from the forward pass) the framework is not BYOL,
            its projections have another size, or the joint batch does not fit into the memory.
    """

    name = "MSF"

    def __init__(self, out: int = 256, memory: int = 128_000, neighbours: int = 5):
        super().__init__()
        if not 1 <= neighbours <= memory:
            raise InputError(f"MSF neighbours {neighbours}: must be at least 1 and at most the memory of {memory}")
        self.neighbours = neighbours
        vectors = torch.randn(memory, out, generator=torch.Generator().manual_seed(_SEED))
        self.register_unshared_buffer("memory", F.normalize(vectors, dim=1))
        self.register_unshared_buffer("oldest", torch.zeros((), dtype=torch.int64))

    @property
    def options(self) -> dict[str, Any]:
        """See :class:`Baseline`."""
        return {"memory": len(self.memory), "neighbours": self.neighbours}

    def forward(
        self,
        framework: SiameseFramework,
        first: torch.Tensor,
        second: torch.Tensor,
        generator: torch.Generator | None = None,
    ) -> torch.Tensor:
        if not isinstance(framework, BYOL):
            raise InputError(f"MSF extends BYOL, not {type(framework).__name__}; choose BYOL as the framework")
        prediction, target = framework.predict(first), framework.target(second)
        with torch.autocast(prediction.device.type, enabled=False):
            prediction, target = F.normalize(prediction.float(), dim=1), F.normalize(target.float(), dim=1)
            self.remember(gather(target))
            cosine = (prediction.unsqueeze(1) * self.nearest(target)).sum(dim=2)
            return (2 - 2 * cosine).mean()

    @torch.no_grad()
    def remember(self, features: torch.Tensor) -> None:
        """Put (N, out) unit vectors in the place of the oldest ones; one that is not finite leaves the old one."""
        rows, size = self.memory.shape
        if features.shape[1] != size:
            raise InputError(f"MSF remembers {size} numbers a feature, the framework has {features.shape[1]}; set out")
        if len(features) > rows:
            raise InputError(f"MSF remembers {rows} features, a batch has {len(features)}; raise memory")
        place = (self.oldest + torch.arange(len(features), device=features.device)) % rows
        usable = features.isfinite().all(dim=1, keepdim=True)  # one overflow must not stay among the neighbours
        self.memory[place] = torch.where(usable, features, self.memory[place])
        self.oldest.copy_((self.oldest + len(features)) % rows)

    @torch.no_grad()
    def nearest(self, target: torch.Tensor) -> torch.Tensor:
        """(B, K, out) memories nearest to (B, out) unit vectors, nearest first."""
        return self.memory[(target @ self.memory.t()).topk(self.neighbours, dim=1).indices]

"""MSF: BYOL whose targets are the nearest neighbours of the target feature in a memory of recent targets.

Source: Koohpayegani, Tejankar, Pirsiavash, Mean Shift for Self-Supervised Learning, ICCV 2021; UMBCvision/MSF.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from pcrq import InputError
from pcrq.ssl.distributed import gather
from pcrq.ssl.siamese import BYOL, Baseline, SiameseFramework

_SEED = 128_000  # memories start equal on every device, whatever the state of its random generators


class MSF(Baseline):
    """Mean shift, in one direction: predict from the first view the nearest neighbours of the second view's target.

    The paper's MSF uses weak views (random resized crop and flip). With one neighbour it equals BYOL in one direction,
    since the nearest neighbour of a target is the target itself. The original keeps the momentum of the target network
    constant at 0.99.

    The memory is equal in all processes: it starts from a fixed seed, and every process adds the targets of all. It is
    a buffer, so it is saved in checkpoints. ``DistributedDataParallel`` would send it (2.1 GB as published) before each
    step; set ``_ddp_params_and_buffers_to_ignore`` of the wrapped module to the names of these buffers to prevent it.

    Args:
        out: size of the framework's projections; the original uses 512 with ResNet-50.
        memory: number of target features M in the memory, over all processes; at least the joint batch. The original's
            default is 128,000; its published run with weak views has 1,024,000.
        neighbours: number of nearest features K that are averaged over.

    Raises:
        InputError: the memory is smaller than the number of neighbours, or (from the forward pass) the framework is
            not BYOL, its projections have another size, or the joint batch is larger than the memory.
    """

    name = "MSF"
    memory: torch.Tensor
    oldest: torch.Tensor

    def __init__(self, out: int = 256, memory: int = 128_000, neighbours: int = 5):
        super().__init__()
        if not 1 <= neighbours <= memory:
            raise InputError(f"MSF neighbours {neighbours}: must be in [1, memory] = [1, {memory}]")
        self.neighbours = neighbours
        vectors = torch.randn(memory, out, generator=torch.Generator().manual_seed(_SEED))
        self.register_buffer("memory", F.normalize(vectors, dim=1))
        self.register_buffer("oldest", torch.zeros((), dtype=torch.int64))

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
        common_generator: torch.Generator | None = None,
    ) -> torch.Tensor:
        """See :class:`Baseline`."""
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
        """Replace the oldest memories by (N, out) unit vectors; a row that is not finite is skipped."""
        rows, size = self.memory.shape
        if features.shape[1] != size:
            raise InputError(f"MSF out {size}: the framework's projections have size {features.shape[1]}; set out")
        if len(features) > rows:
            raise InputError(f"MSF memory {rows}: smaller than the joint batch of {len(features)}; raise memory")
        place = (self.oldest + torch.arange(len(features), device=features.device)) % rows
        usable = features.isfinite().all(dim=1, keepdim=True)  # one overflow must not stay among the neighbours
        self.memory[place] = torch.where(usable, features, self.memory[place])
        self.oldest.copy_((self.oldest + len(features)) % rows)

    @torch.no_grad()
    def nearest(self, target: torch.Tensor) -> torch.Tensor:
        """Return the (B, K, out) memories nearest to (B, out) unit vectors, nearest first."""
        return self.memory[(target @ self.memory.t()).topk(self.neighbours, dim=1).indices]

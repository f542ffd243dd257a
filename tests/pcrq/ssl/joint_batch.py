"""One process of a distributed batch; run as ``joint_batch.py RANK PROCESSES FOLDER``, it leaves FOLDER/RANK.pt.

Batch norms compute with their running statistics here. In training mode they would need SyncBatchNorm to see the
joint batch, which exists for GPUs only; the losses, which are what is compared, do not know the difference.
"""

import sys
from pathlib import Path

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from pcrq.ssl import BYOL, MSF, SSQL, MoCoV3, gather
from pcrq.ssl.distributed import first_row
from pcrq.ssl.mixing import virtual_labels

BATCH = 8


class Method(nn.Module):
    """What a trainer hands to DistributedDataParallel."""

    def __init__(self, framework: nn.Module, baseline: nn.Module | None):
        super().__init__()
        self.framework, self.baseline = framework, baseline
        if baseline is not None:
            self._ddp_params_and_buffers_to_ignore = [f"baseline.{name}" for name, _ in baseline.named_buffers()]

    def forward(self, first: torch.Tensor, second: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        if self.baseline is None:
            return self.framework(first, second)
        return self.baseline(self.framework, first, second, generator)


def measure(rank: int, processes: int) -> dict:
    """Losses, averaged over the processes, and gradients, averaged by DistributedDataParallel."""
    generator = torch.Generator().manual_seed(0)
    mine = slice(rank * BATCH // processes, (rank + 1) * BATCH // processes)
    first, second = (torch.randn(BATCH, 5, generator=generator)[mine] for _ in range(2))
    share = torch.linspace(0.5, 1, BATCH)[mine]
    partner = torch.tensor([1, 3, 0, 2, 0, 3, 2, 1])[mine]  # rows of the own half
    if processes == 1:
        partner = partner + torch.tensor([0] * 4 + [4] * 4)
    found: dict = {"first_row": first_row(len(first)), "gathered": gather(first)}
    methods = (("moco_v3", MoCoV3, None), ("byol", BYOL, None), ("msf", BYOL, MSF(6, 32, 3)), ("ssql", MoCoV3, SSQL()))
    for name, kind, baseline in methods:
        torch.manual_seed(0)
        options = {"temperature": 0.3} if kind is MoCoV3 else {}
        encoder = nn.Sequential(nn.Linear(5, 7), nn.ReLU())
        framework = kind(encoder, 7, hidden=16, out=6, **options).eval()
        method = Method(framework, baseline)
        module = DistributedDataParallel(method) if processes > 1 else method
        loss = module(first, second, torch.Generator().manual_seed(0))
        loss.backward()
        found[f"{name} loss"] = mean_over_processes(loss, processes)
        found |= {f"{name} {key}": p.grad for key, p in framework.named_parameters() if p.requires_grad}
        mixed = framework.match(framework.predict(first), framework.target(second), virtual_labels(share, partner))
        found[f"{name} mixed labels"] = mean_over_processes(mixed, processes)
        if name == "msf":
            found |= {"memory": baseline.memory.clone(), "oldest": baseline.oldest.clone()}
            baseline.memory[-1] = rank  # the last to be forgotten
            module(first, second, None)
            found["own memory"] = baseline.memory[-1]
    return found


def mean_over_processes(loss: torch.Tensor, processes: int) -> torch.Tensor:
    loss = loss.detach().clone()
    if processes > 1:
        distributed.all_reduce(loss)
    return loss / processes


if __name__ == "__main__":
    rank, processes, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=processes)
    torch.save(measure(rank, processes), folder / f"{rank}.pt")
    distributed.destroy_process_group()

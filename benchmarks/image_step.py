"""Cost of the augmentation of images, in the input alone and in complete training steps of MoCo v3.

Random resized crops with randomized quantization on the device (RRC+RQ) beside color jitter in the worker processes
(RRC+CJ). The limit is crops alone (RRC). The input is everything before the network: read, decode, augment two views,
transfer, quantize, normalize. A step adds both networks, the loss, backward, LARS and the update of the target
network; in bfloat16 on CUDA.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from benchmarks.timing import Options, Row, measure
from pcrq.ssl import LARS, MoCoV3
from projects.image.augmentation import Augmentation, AugmentedImages, QuantizeAndNormalize, view_transforms
from projects.image.builtin_images import BuiltinImages
from projects.image.encoder import Encoder, feature_size
from projects.image.sources import FolderImages, ImageSource
from projects.training.sampling import EpochSampler

VARIANTS = [Augmentation(), Augmentation(colour="CJ", bins=None), Augmentation(bins=None)]  # RRC+RQ, RRC+CJ, RRC
PICTURES, PIXELS = 64, 400  # about the size of ImageNet's files


class Setting(NamedTuple):
    """Sizes of a run: batches of an epoch, pixels along each side, worker processes."""

    encoder: str
    size: int
    batch_size: int
    batches: int
    workers: int


def setting(options: Options) -> Setting:
    """The paper's encoder and pixels on a GPU; small ones on a CPU, where the network takes most of the time."""
    if options.quick:
        return Setting("resnet10", size=32, batch_size=4, batches=1, workers=1)
    if options.device.type == "cuda":
        return Setting("resnet50", size=224, batch_size=256, batches=8, workers=max(1, (os.cpu_count() or 2) - 2))
    return Setting("resnet10", size=64, batch_size=64, batches=4, workers=2)


def rows(options: Options) -> Iterator[Row]:
    """Input, then complete steps, over the same images."""
    sizes = setting(options)
    with tempfile.TemporaryDirectory() as folder:
        pictures = BuiltinImages(count=PICTURES, size=PIXELS)
        for index in range(PICTURES):
            pictures[index][0].save(Path(folder) / f"{index}.jpg", quality=90)
        source = FolderImages(folder, "pretrain")
        inputs = {augmentation.name: Input(source, augmentation, sizes, options.device) for augmentation in VARIANTS}
        amount = f"{sizes.batches * sizes.batch_size} images of {sizes.size} pixels, RRC+RQ"
        contenders = {name: views.run for name, views in inputs.items()}
        yield from measure(f"input of {amount}, {sizes.workers} workers", contenders, options, limit="RRC")
        contenders = {name: Trainer(views, sizes).run for name, views in inputs.items()}
        yield from measure(f"training steps of {amount}, {sizes.encoder}", contenders, options, limit="RRC")


class Input:
    """Batches of views on the device."""

    def __init__(self, source: ImageSource, augmentation: Augmentation, sizes: Setting, device: torch.device):
        self.sampler = EpochSampler(len(source), sizes.batch_size, seed=0, batches=sizes.batches, with_epoch=True)
        self.loader = DataLoader(
            AugmentedImages(source, view_transforms(augmentation, sizes.size)),
            batch_size=sizes.batch_size,
            sampler=self.sampler,
            num_workers=sizes.workers,
            pin_memory=device.type == "cuda",
            persistent_workers=True,
        )
        self.finish = QuantizeAndNormalize(augmentation, source.mean, source.std).to(device)
        self.device = device

    def __iter__(self) -> Iterator[list[Tensor]]:
        self.sampler.set_epoch(self.sampler.epoch + 1)
        for views, _ in self.loader:
            images = self.finish(views.to(self.device, non_blocking=True))
            yield [view.contiguous(memory_format=torch.channels_last) for view in images]

    def run(self) -> None:
        """One epoch."""
        for _ in self:
            pass


class Trainer:
    """MoCo v3 and its optimizer."""

    def __init__(self, views: Input, sizes: Setting):
        torch.manual_seed(0)
        encoder = Encoder(sizes.encoder).build()
        framework = MoCoV3(encoder, feature_size(encoder, sizes.size))
        self.views, self.device = views, views.device
        self.framework = framework.to(self.device, memory_format=torch.channels_last)
        self.optimizer = LARS([w for w in framework.parameters() if w.requires_grad], lr=0.1, weight_decay=1e-6)

    def run(self) -> None:
        """One epoch."""
        for first, second in self.views:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
                loss = self.framework(first, second)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            self.framework.update_target(0.99)

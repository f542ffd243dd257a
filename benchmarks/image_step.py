"""Cost of the augmentation of images: images per second of the input, and of complete training steps.

    python benchmarks/image_step.py                             # a ResNet-18 on 112 pixels, for CPUs
    python benchmarks/image_step.py --device cuda --size 224 --encoder resnet50 --batch-size 256 --workers 12 --steps 40
    python benchmarks/image_step.py --root imagenet/train       # your images instead of built-in ones

Compared are random resized crops alone (RRC), with randomized quantization on the device (RRC+RQ), and with color
jitter in the worker processes (RRC+CJ). The input is everything before the network: read, decode, augment two views,
transfer, quantize, normalize. A step adds both networks, the loss, backward, LARS and the update of the target
network; in bfloat16 on CUDA. The variants alternate, and every round begins with empty queues.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from timing import Options, compare, describe, machine, write_json
from torch import Tensor
from torch.utils.data import DataLoader

from pcrq.ssl import BYOL, LARS, MoCoV3, SiameseFramework
from projects.image.augmentation import Augmentation, AugmentedImages, QuantizeAndNormalize, view_transforms
from projects.image.builtin_images import BuiltinImages
from projects.image.encoder import Encoder, feature_size
from projects.image.sources import FolderImages, ImageSource
from projects.training.sampling import EpochSampler

FRAMEWORKS = {"mocov3": MoCoV3, "byol": BYOL}
VARIANTS = [Augmentation(bins=None), Augmentation(), Augmentation(colour="CJ", bins=None)]
KINDS = [augmentation.name for augmentation in VARIANTS]  # RRC, RRC+RQ, RRC+CJ
PICTURES, PIXELS = 64, 400  # about the size of ImageNet's files


def write_pictures(folder: Path) -> None:
    """Built-in images as JPEG files."""
    source = BuiltinImages(count=PICTURES, size=PIXELS)
    for index in range(PICTURES):
        source[index][0].save(folder / f"{index}.jpg", quality=90)


class Input:
    """Batches of views on the device."""

    def __init__(self, source: ImageSource, augmentation: Augmentation, args: argparse.Namespace):
        self.sampler = EpochSampler(len(source), args.batch_size, seed=0, batches=args.steps, with_epoch=True)
        self.loader = DataLoader(
            AugmentedImages(source, view_transforms(augmentation, args.size)),
            batch_size=args.batch_size,
            sampler=self.sampler,
            num_workers=args.workers,
            pin_memory=args.device.type == "cuda",
            persistent_workers=args.workers > 0,
        )
        self.finish = QuantizeAndNormalize(augmentation, source.mean, source.std).to(args.device)
        self.device = args.device

    def __iter__(self) -> Iterator[list[Tensor]]:
        self.sampler.set_epoch(self.sampler.epoch + 1)
        for views, _ in self.loader:
            images = self.finish(views.to(self.device, non_blocking=True))
            yield [view.contiguous(memory_format=torch.channels_last) for view in images]

    def run(self) -> None:
        for _ in self:
            pass


class Trainer:
    """A framework and its optimizer."""

    def __init__(self, views: Input, args: argparse.Namespace):
        torch.manual_seed(0)
        encoder = Encoder(args.encoder).build()
        framework = FRAMEWORKS[args.framework](encoder, feature_size(encoder, args.size))
        self.views, self.device = views, args.device
        self.framework: SiameseFramework = framework.to(args.device, memory_format=torch.channels_last)
        self.optimizer = LARS([w for w in framework.parameters() if w.requires_grad], lr=0.1, weight_decay=1e-6)

    def run(self) -> None:
        for first, second in self.views:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
                loss = self.framework(first, second)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            self.framework.update_target(0.99)


def report(seconds: dict[str, float], images: int) -> dict[str, float]:
    """Print images per second of every variant, and the ratios to RRC alone and to RRC+CJ."""
    rates = {kind: images / seconds[kind] for kind in KINDS}
    for kind, rate in rates.items():
        ratios = "".join(f"   {rate / rates[other]:5.2f} x {other}" for other in ("RRC", "RRC+CJ") if other != kind)
        print(f"    {kind:8s}{rate:10,.1f} images/s{ratios}")
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, metavar="FOLDER", help="images at any depth (default: built-in ones)")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"), help="cpu (default) or cuda")
    parser.add_argument("--size", type=int, default=112, help="pixels along each side (default 112)")
    parser.add_argument("--batch-size", type=int, default=32, help="images a step (default 32)")
    parser.add_argument("--workers", type=int, default=2, help="processes that decode (default 2)")
    parser.add_argument("--encoder", default="resnet18", help="resnet10 to resnet101 (default resnet18)")
    parser.add_argument("--framework", choices=list(FRAMEWORKS), default="mocov3", help="default mocov3")
    parser.add_argument("--steps", type=int, default=3, help="in a turn (default 3)")
    parser.add_argument("--rounds", type=int, default=1, help="turns of each kind (default 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results there")
    args = parser.parse_args()

    about = machine(args.device)
    print(describe(about))
    with tempfile.TemporaryDirectory() as folder:
        if args.root is None:
            write_pictures(Path(folder))
        source = FolderImages(args.root or folder, "pretrain")
        print(
            f"{args.steps} steps of {args.batch_size} images from {args.root or 'built-in pictures'}, "
            f"{args.size} pixels, {args.workers} workers; {args.encoder}, {args.framework}"
        )
        images = args.steps * args.batch_size
        inputs = {augmentation.name: Input(source, augmentation, args) for augmentation in VARIANTS}
        print("  input")
        options = Options(args.device, max(3, args.rounds))
        seconds = compare({kind: views.run for kind, views in inputs.items()}, options)
        rates = {"input": report(seconds, images)}
        trainers = {kind: Trainer(views, args) for kind, views in inputs.items()}
        print("  complete steps")
        seconds = compare({kind: trainer.run for kind, trainer in trainers.items()}, Options(args.device, args.rounds))
        rates["complete steps"] = report(seconds, images)
    settings = {name: str(value) for name, value in vars(args).items() if name not in ("json", "device")}
    write_json({"machine": about, "settings": settings, "images per second": rates}, args.json)


if __name__ == "__main__":
    main()

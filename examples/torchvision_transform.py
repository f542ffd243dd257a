"""Randomized quantization in a torchvision v2 pipeline: python torchvision_transform.py FOLDER saves a grid."""

import sys

import torch
import torchvision
from torchvision.transforms import v2

from pcrq import RandomizedQuantization

transform = v2.Compose(
    [
        v2.RandomResizedCrop(224, scale=(0.2, 1.0)),
        v2.RandomHorizontalFlip(),
        v2.ToImage(),
        RandomizedQuantization(bins=8),  # of uint8 or float tensors; one quantizer per color channel
        v2.ToDtype(torch.float32, scale=True),
    ]
)

if __name__ == "__main__":
    images = torchvision.datasets.ImageFolder(sys.argv[1], transform)
    batch, labels = next(iter(torch.utils.data.DataLoader(images, batch_size=16, shuffle=True)))
    torchvision.utils.save_image(batch, "quantized.png", nrow=4)
    print(f"quantized.png: {len(batch)} images, at most {batch[0, 0].unique().numel()} values in a channel")

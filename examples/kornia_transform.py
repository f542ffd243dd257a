"""Randomized quantization in a kornia pipeline on the training device: python kornia_transform.py FOLDER"""

import sys

import kornia.augmentation as K
import torch
import torchvision
from torchvision.transforms import v2

from pcrq import RandomizedQuantization

augment = K.ImageSequential(
    K.RandomResizedCrop((224, 224), scale=(0.2, 1.0)),
    K.RandomHorizontalFlip(),
    RandomizedQuantization(bins=8),  # independent quantizers per image and color channel
    K.Normalize(torch.tensor((0.485, 0.456, 0.406)), torch.tensor((0.229, 0.224, 0.225))),
)

if __name__ == "__main__":
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    load = v2.Compose([v2.Resize(256), v2.CenterCrop(256), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    images = torchvision.datasets.ImageFolder(sys.argv[1], load)
    for batch, _ in torch.utils.data.DataLoader(images, batch_size=64):
        first, second = augment(batch.to(device)), augment(batch.to(device))
        print(f"two views of {len(batch)} images: {tuple(first.shape)}, difference {(first - second).abs().mean():.2f}")

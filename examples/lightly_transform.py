"""Randomized quantization as the augmentation of lightly's SimCLR: python lightly_transform.py FOLDER EPOCHS"""

import sys

import torch
import torchvision
from lightly.data import LightlyDataset
from lightly.loss import NTXentLoss
from lightly.models.modules import SimCLRProjectionHead
from lightly.transforms.multi_view_transform import MultiViewTransform
from torchvision.transforms import v2

from pcrq import RandomizedQuantization

view = v2.Compose(
    [
        v2.RandomResizedCrop(224, scale=(0.2, 1.0)),
        v2.ToImage(),
        v2.ToDtype(torch.float32, scale=True),
        RandomizedQuantization(bins=8),
        v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ]
)

if __name__ == "__main__":
    images = LightlyDataset(sys.argv[1], transform=MultiViewTransform([view, view]))
    loader = torch.utils.data.DataLoader(images, batch_size=min(256, len(images)), shuffle=True, drop_last=True)
    backbone = torchvision.models.resnet18()
    backbone.fc = torch.nn.Identity()
    network, criterion = torch.nn.Sequential(backbone, SimCLRProjectionHead(512, 512, 128)), NTXentLoss()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.06, momentum=0.9, weight_decay=5e-4)
    for epoch in range(int(sys.argv[2])):
        for (first, second), _, _ in loader:
            loss = criterion(network(first), network(second))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: loss {loss.item():.3f}")

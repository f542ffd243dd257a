"""Randomized quantization in timm's training transform: python timm_transform.py FOLDER MODEL trains for an epoch."""

import sys

import timm
import torch
from timm.data import create_dataset, create_transform, resolve_model_data_config

from pcrq import RandomizedQuantization


def quantized_transform(model: torch.nn.Module, bins: int = 8):
    """timm's training transform of a model, then quantization; for normalized images it is the same as before."""
    transform = create_transform(**resolve_model_data_config(model), is_training=True)
    transform.transforms.append(RandomizedQuantization(bins))
    return transform


if __name__ == "__main__":
    model = timm.create_model(sys.argv[2], num_classes=0)
    images = create_dataset("", root=sys.argv[1], transform=quantized_transform(model))
    classifier = torch.nn.Linear(model.num_features, len(images.reader.class_to_idx))
    optimizer = torch.optim.AdamW([*model.parameters(), *classifier.parameters()], lr=1e-4)
    for batch, labels in torch.utils.data.DataLoader(images, batch_size=min(64, len(images)), shuffle=True):
        loss = torch.nn.functional.cross_entropy(classifier(model(batch)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(f"loss {loss.item():.3f}")

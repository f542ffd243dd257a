"""Fixtures of the trainings: shapes with categories and parts, and a pretrained network."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from octree.midnet import MIDNet, MIDNetConfig
from octree.pretrained import describe
from pcrq.stores.shape_store import ShapeStoreWriter


@pytest.fixture(scope="session")
def parts_path(tmp_path_factory, make_shape) -> Path:
    """Flat and tall ellipsoids with two parts each: 12 training, 4 validation and 8 test shapes, alternating."""
    path = tmp_path_factory.mktemp("parts") / "parts.h5"
    parts = ["flat/low", "flat/high", "tall/low", "tall/high"]
    with ShapeStoreWriter(path, classes=["flat", "tall"], parts=parts, parameters={"patches": 10}) as writer:
        for index in range(24):
            shape = make_shape(index, split="train" if index < 12 else "val" if index < 16 else "test")
            writer.append(replace(shape, labels=shape.labels + 2 * shape.category))
    return path


@pytest.fixture(scope="session")
def pretrained_path(tmp_path_factory) -> Path:
    """A checkpoint of a small network that says it was pretrained with 30 bins."""
    torch.manual_seed(0)
    network = MIDNet(MIDNetConfig(depth=4, full_depth=1, width=16, blocks=1, nempty=True))
    weights = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    path = tmp_path_factory.mktemp("pretrained") / "last.ckpt"
    torch.save({"midnet": describe(network, {"bins": 30}), "state_dict": weights}, path)
    return path

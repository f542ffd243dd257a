"""The examples for images run on a few small images, and stay short."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from projects.image.encoder import load_encoder

pytestmark = pytest.mark.medium

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = ["mocov3_images", "torchvision_transform", "lightly_transform", "timm_transform", "kornia_transform"]


@pytest.fixture
def images(tmp_path) -> Path:
    """Four noisy images of two classes."""
    random = np.random.default_rng(0)
    for name in ("cat/0", "cat/1", "dog/2", "dog/3"):
        path = tmp_path / "images" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (40, 48, 3), np.uint8)).save(path)
    return tmp_path / "images"


@pytest.fixture
def run(monkeypatch, tmp_path):
    """``run(name, *arguments)``: run an example in an empty folder; returns its variables."""

    def run(name: str, *arguments: object) -> dict:
        torch.manual_seed(0)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        return runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")

    return run


def values_of_channels(images: torch.Tensor) -> int:
    """Largest number of different values in a channel of an image."""
    return max(channel.unique().numel() for channel in images.flatten(0, -3))


@pytest.mark.parametrize("name", SCRIPTS)
def test_examples_are_short(name):
    assert len((EXAMPLES / f"{name}.py").read_text().splitlines()) < 40


def test_mocov3_is_pretrained_on_a_folder_of_images(run, images, tmp_path, capsys):
    variables = run("mocov3_images", images, 2, tmp_path / "out.pth")
    losses = [float(line.split()[-1]) for line in capsys.readouterr().out.splitlines()]
    assert len(losses) == 2 and np.isfinite(losses).all()
    assert values_of_channels(variables["views"]) <= 8
    weights, loaded = variables["encoder"].state_dict(), load_encoder(tmp_path / "out.pth")
    assert loaded.encoder.name == "resnet50"
    assert torch.equal(loaded.network.state_dict()["conv1.weight"], weights["conv1.weight"].cpu())


def test_torchvision_transforms_quantize(run, images, tmp_path, capsys):
    variables = run("torchvision_transform", images)
    assert variables["batch"].shape == (4, 3, 224, 224) and values_of_channels(variables["batch"]) <= 8
    assert (tmp_path / "quantized.png").exists() and "4 images" in capsys.readouterr().out


def test_lightly_trains_simclr_on_quantized_views(run, images, capsys):
    variables = run("lightly_transform", images, 2)
    assert np.isfinite([float(line.split()[-1]) for line in capsys.readouterr().out.splitlines()]).all()
    assert values_of_channels(variables["first"]) <= 8
    assert not torch.equal(variables["first"], variables["second"])


def test_timm_trains_on_quantized_images(run, images, capsys):
    pytest.importorskip("timm")
    variables = run("timm_transform", images, "resnet10t")
    assert np.isfinite(float(capsys.readouterr().out.split()[-1]))
    assert values_of_channels(variables["batch"]) <= 8


def test_kornia_augments_on_the_device(run, images, capsys):
    pytest.importorskip("kornia")
    variables = run("kornia_transform", images)
    assert variables["first"].shape == (4, 3, 224, 224) and values_of_channels(variables["first"]) <= 8
    assert "two views of 4 images" in capsys.readouterr().out

"""``pcrq embed`` of a folder of images."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from projects.cli import main
from projects.image.encoder import Encoder
from projects.image.encoder_checkpoint import KEY, describe

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return Encoder("resnet10", width=8).build().eval()


@pytest.fixture
def checkpoint(tmp_path, encoder):
    weights = {f"framework.encoder.{name}": tensor for name, tensor in encoder.state_dict().items()}
    told = describe(Encoder("resnet10", width=8), MEAN, STD, {"size": 16})
    torch.save({KEY: told, "state_dict": weights}, tmp_path / "last.ckpt")
    return tmp_path / "last.ckpt"


@pytest.fixture
def photos(tmp_path):
    """Three images of 16 pixels in two folders."""
    rng = np.random.default_rng(0)
    for name in ("cat/b.png", "cat/a.png", "dog/c.png"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(tmp_path / "photos" / name)
    return tmp_path / "photos"


def embed(source, checkpoint, out, *options: str) -> int:
    return main(["embed", str(source), "--checkpoint", str(checkpoint), "--out", str(out), "--device", "cpu", *options])


def test_features_of_a_folder(photos, checkpoint, encoder, tmp_path):
    assert embed(photos, checkpoint, tmp_path / "f.npz", "--batch_size", "2") == 0
    found = np.load(tmp_path / "f.npz")
    assert found["id"].tolist() == ["cat/a.png", "cat/b.png", "dog/c.png"]
    assert found["category"].tolist() == ["cat", "cat", "dog"]
    pixels = np.stack([np.asarray(Image.open(photos / name)) for name in found["id"]])
    images = torch.from_numpy((pixels / 255 - MEAN) / STD).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(found["features"]), encoder(images), rtol=1e-4, atol=1e-5)
    assert json.loads(str(found["about"]))["size"] == 16


def test_unreadable_images_are_counted_and_left_out(photos, checkpoint, tmp_path, capsys):
    (photos / "cat/b.png").write_bytes(b"no image")
    assert embed(photos, checkpoint, tmp_path / "f.npz") == 0
    assert np.load(tmp_path / "f.npz")["id"].tolist() == ["cat/a.png", "dog/c.png"]
    assert "1 of 3 images could not be read" in capsys.readouterr().out


def test_options_of_shapes_are_refused(photos, checkpoint, tmp_path, capsys):
    assert embed(photos, checkpoint, tmp_path / "f.npz", "--up", "z") == 2
    assert "--up z" in capsys.readouterr().err


def test_a_folder_without_images(checkpoint, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert embed(tmp_path / "empty", checkpoint, tmp_path / "f.npz") == 2
    assert "no image" in capsys.readouterr().err
    assert not (tmp_path / "f.npz").exists()

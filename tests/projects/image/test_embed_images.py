"""``pcrq embed`` of a folder of images."""

import json
import logging

import joblib
import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from projects.cli import main
from projects.image import evaluation as features
from projects.image.augmentation import AugmentedImages, evaluation_transform
from projects.image.encoder import KEY, Encoder, describe
from projects.image.sources import FolderImages

pytestmark = pytest.mark.medium

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


def test_unreadable_images_are_listed_and_left_out(photos, checkpoint, tmp_path, capsys):
    whole = (photos / "cat/b.png").read_bytes()
    (photos / "cat/b.png").write_bytes(b"")
    assert embed(photos, checkpoint, tmp_path / "f.npz") == 0
    assert np.load(tmp_path / "f.npz")["id"].tolist() == ["cat/a.png", "dog/c.png"]
    assert (tmp_path / "f.npz.refused.csv").read_text() == "file,reason\ncat/b.png,the file is empty\n"
    printed = capsys.readouterr().out
    assert f"refused 1, all listed in {tmp_path / 'f.npz.refused.csv'}:\n  cat/b.png: the file is empty\n" in printed
    (photos / "cat/b.png").write_bytes(whole)
    assert embed(photos, checkpoint, tmp_path / "f.npz") == 0
    assert sorted(path.name for path in tmp_path.glob("f.*")) == ["f.npz"]


@pytest.mark.parametrize(("key", "fate"), [(1, "it is left out"), ((0, 1), "another image replaces it")])
def test_a_warning_says_what_becomes_of_an_image(photos, caplog, key, fate):
    (photos / "cat/b.png").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        AugmentedImages(FolderImages(photos, "pretrain"), [evaluation_transform(16)])[key]
    assert caplog.messages == [f"photos/cat/b.png: the file is empty; {fate}"]


@pytest.mark.parametrize(("cores", "options", "workers"), [(3, [], 3), (64, [], 8), (64, ["--jobs", "20"], 20)])
def test_processes_decode_as_the_help_says(photos, checkpoint, tmp_path, monkeypatch, cores, options, workers):
    asked, embed_images = [], features.embed_images

    def here(*arguments, workers: int, **named):
        asked.append(workers)
        return embed_images(*arguments, **named)

    monkeypatch.setattr(joblib, "cpu_count", lambda: cores)
    monkeypatch.setattr(features, "embed_images", here)
    assert embed(photos, checkpoint, tmp_path / "f.npz", *options) == 0
    assert asked == [workers]


def test_weights_of_torchvision_embed_without_more_words(photos, tmp_path):
    network = torchvision.models.resnet18().eval()
    torch.save(network.state_dict(), tmp_path / "resnet18.pth")
    assert embed(photos, tmp_path / "resnet18.pth", tmp_path / "f.npz") == 0
    assert np.load(tmp_path / "f.npz")["features"].shape == (3, 512)


def test_a_network_of_the_users_code_embeds_where_it_is_named(photos, tmp_path, capsys):
    named = Encoder("torchvision.models.shufflenet_v2_x0_5", arguments={"num_classes": 7})
    torch.manual_seed(0)
    weights = {f"framework.encoder.{name}": tensor for name, tensor in named.build().state_dict().items()}
    torch.save({KEY: describe(named, MEAN, STD, {"size": 32}), "state_dict": weights}, tmp_path / "last.ckpt")
    name = ("--encoder", named.name)
    assert embed(photos, tmp_path / "last.ckpt", tmp_path / "f.npz") == 2
    assert "name the same encoder in the options" in capsys.readouterr().err
    assert embed(photos, tmp_path / "last.ckpt", tmp_path / "f.npz", *name) == 2
    assert "num_classes" in capsys.readouterr().err
    assert embed(photos, tmp_path / "last.ckpt", tmp_path / "f.npz", *name, "--encoder_arguments={num_classes: 7}") == 0
    assert np.load(tmp_path / "f.npz")["features"].shape == (3, 1024)


def test_bare_weights_of_a_named_network(photos, tmp_path):
    torch.save(torchvision.models.shufflenet_v2_x0_5().state_dict(), tmp_path / "weights.pth")
    name = ("--encoder", "torchvision.models.shufflenet_v2_x0_5")
    assert embed(photos, tmp_path / "weights.pth", tmp_path / "f.npz", *name) == 0
    assert np.load(tmp_path / "f.npz")["features"].shape == (3, 1024)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--encoder", "resnet"], "unknown encoder 'resnet'; available: resnet10"),
        (["--encoder_arguments", "{a: 1}"], "--encoder is missing"),
    ],
)
def test_encoders_that_cannot_be_named(photos, checkpoint, tmp_path, capsys, options, message):
    assert embed(photos, checkpoint, tmp_path / "f.npz", *options) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("arguments", ["convnext_tiny", "{a: ", "[1]"])
def test_arguments_of_an_encoder_have_names(photos, checkpoint, tmp_path, capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        embed(
            photos, checkpoint, tmp_path / "f.npz", "--encoder", "timm.create_model", "--encoder_arguments", arguments
        )
    assert stop.value.code == 2
    assert "must be names and values, such as" in capsys.readouterr().err


def test_options_of_shapes_are_refused(photos, checkpoint, tmp_path, capsys):
    assert embed(photos, checkpoint, tmp_path / "f.npz", "--up", "z") == 2
    assert "--up z" in capsys.readouterr().err


def test_a_folder_without_images(checkpoint, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert embed(tmp_path / "empty", checkpoint, tmp_path / "f.npz") == 2
    assert "no image" in capsys.readouterr().err
    assert not (tmp_path / "f.npz").exists()

"""AudioNTT2020 and the published weights for it."""

from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pcrq import InputError
from projects.audio.encoder import AudioNTT2020, load_encoder


def published_weights(dimension: int, mels: int = 64, seed: int = 0) -> OrderedDict[str, Tensor]:
    """Random weights with names, order and shapes of a file of nttcslab."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator) * (1 / max(1, torch.tensor(shape[1:]).prod())) ** 0.5

    weights = OrderedDict()
    for convolution, channels in ((0, 1), (4, 64), (8, 64)):
        weights[f"features.{convolution}.weight"] = draw(64, channels, 3, 3)
        weights[f"features.{convolution}.bias"] = draw(64)
        norm = f"features.{convolution + 1}"
        weights[f"{norm}.weight"], weights[f"{norm}.bias"] = 1 + 0.1 * draw(64), draw(64)
        weights[f"{norm}.running_mean"], weights[f"{norm}.running_var"] = draw(64), 1 + draw(64).abs()
        weights[f"{norm}.num_batches_tracked"] = torch.tensor(1234)
    for layer, inputs in ((0, 64 * (mels // 8)), (3, dimension)):
        weights[f"fc.{layer}.weight"], weights[f"fc.{layer}.bias"] = draw(dimension, inputs), draw(dimension)
    return weights


def embed(weights: dict[str, Tensor], log_mel: Tensor) -> Tensor:
    """The network in evaluation mode from its description, in double precision and with nothing of torch.nn."""
    weights = {name: tensor.double() for name, tensor in weights.items()}
    maps = log_mel.double()
    for convolution in (0, 4, 8):
        kernel, bias = weights[f"features.{convolution}.weight"], weights[f"features.{convolution}.bias"]
        padded = torch.zeros(*maps.shape[:2], maps.shape[2] + 2, maps.shape[3] + 2, dtype=torch.float64)
        padded[:, :, 1:-1, 1:-1] = maps
        windows = padded.unfold(2, 3, 1).unfold(3, 3, 1)
        maps = torch.einsum("bihwkl,oikl->bohw", windows, kernel) + bias[:, None, None]
        mean, variance, scale, shift = (
            weights[f"features.{convolution + 1}.{name}"][:, None, None]
            for name in ("running_mean", "running_var", "weight", "bias")
        )
        maps = (maps - mean) / (variance + 1e-5).sqrt() * scale + shift
        maps = maps.clamp(min=0).unfold(2, 2, 2).unfold(3, 2, 2).amax((-1, -2))
    frames = []
    for time in range(maps.shape[3]):
        frame = torch.stack(
            [maps[:, channel, mel, time] for mel in range(maps.shape[2]) for channel in range(64)], dim=1
        )
        for layer in (0, 3):
            frame = (frame @ weights[f"fc.{layer}.weight"].T + weights[f"fc.{layer}.bias"]).clamp(min=0)
        frames.append(frame)
    frames = torch.stack(frames)
    return frames.amax(0) + frames.mean(0)


# --- the encoder ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dimension", "mels", "frames"), [(512, 64, 96), (1024, 64, 41), (32, 16, 8)])
def test_published_weights_give_the_embedding_of_their_description(tmp_path, dimension, mels, frames):
    weights = published_weights(dimension, mels)
    torch.save(weights, tmp_path / "AudioNTT2020.pth")
    encoder = load_encoder(tmp_path / "AudioNTT2020.pth").network
    log_mel = torch.randn(2, 1, mels, frames, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        embedding = encoder(log_mel)
    torch.testing.assert_close(embedding.double(), embed(weights, log_mel), atol=1e-4, rtol=1e-4)
    assert (encoder.dimension, encoder.mels, encoder.training) == (dimension, mels, False)
    assert embedding.std() > 0.01


def test_the_encoder_of_the_paper_has_its_size():
    """Table I of BYOL-A: 0.6, 1.6 and 5.3 million parameters."""
    sizes = [sum(parameter.numel() for parameter in AudioNTT2020(d).parameters()) for d in (512, 1024, 2048)]
    assert [round(size / 1e6, 1) for size in sizes] == [0.6, 1.6, 5.3]
    assert list(AudioNTT2020(512).state_dict()) == list(published_weights(512))


def test_clips_of_any_length_have_an_embedding():
    encoder = AudioNTT2020(16).eval()
    assert all(encoder(torch.randn(2, 1, 64, frames)).shape == (2, 16) for frames in (8, 96, 821))
    assert encoder.frames(torch.randn(2, 1, 64, 96)).shape == (2, 12, 16)


def test_dropout_stands_between_the_layers_on_frames():
    (dropout,) = (module for module in AudioNTT2020(8).fc if isinstance(module, nn.Dropout))
    encoder = AudioNTT2020(64)
    log_mel = torch.randn(2, 1, 64, 16)
    assert dropout.p == 0.3 and not torch.equal(encoder.train()(log_mel), encoder.train()(log_mel))
    assert torch.equal(encoder.eval()(log_mel), encoder.eval()(log_mel))


def test_all_parameters_have_a_gradient():
    encoder = AudioNTT2020(32)
    encoder(torch.randn(4, 1, 64, 32)).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in encoder.parameters())


@pytest.mark.parametrize("shape", [(2, 64, 96), (2, 1, 63, 96), (2, 2, 64, 96), (2, 1, 64, 7)])
def test_other_spectrograms_are_refused(shape):
    with pytest.raises(InputError, match=r"expected \(B, 1, 64, T\) of T >= 8 frames"):
        AudioNTT2020(8)(torch.zeros(shape))


def test_sizes_that_are_too_small():
    with pytest.raises(InputError, match="dimension 8, channels 64, mels 7: must be"):
        AudioNTT2020(8, 7)


def test_a_file_of_weights_is_read_once(tmp_path, monkeypatch):
    torch.save(published_weights(16), tmp_path / "weights.pth")
    read, original = [], torch.load
    monkeypatch.setattr(torch, "load", lambda *a, **options: read.append(a) or original(*a, **options))
    load_encoder(tmp_path / "weights.pth")
    assert len(read) == 1


# --- files ------------------------------------------------------------------------------------------------------------


class Custom:
    """An object that a file of weights must not bring to life."""


def write_objects(path: Path) -> None:
    torch.save({"weights": Custom()}, path)


def write_old_format(path: Path) -> None:
    torch.save({"weights": Custom()}, path, _use_new_zipfile_serialization=False)


def write_truncated(path: Path) -> None:
    torch.save(published_weights(16), path)
    path.write_bytes(path.read_bytes()[:-2000])


def write_list(path: Path) -> None:
    torch.save([torch.zeros(1)], path)


def write_checkpoint(path: Path) -> None:
    torch.save({"state_dict": {}, "epoch": 3}, path)


def write_numbers(path: Path) -> None:
    torch.save({**published_weights(16), "epoch": 3}, path)


def write_other_network(path: Path) -> None:
    torch.save(nn.Linear(3, 4).state_dict(), path)


def write_another_layer(path: Path) -> None:
    torch.save({**published_weights(16), "features.4.weight": torch.zeros(64, 32, 3, 3)}, path)


def write_without_a_layer(path: Path) -> None:
    torch.save({name: tensor for name, tensor in published_weights(16).items() if name != "fc.3.bias"}, path)


def write_with_another_block(path: Path) -> None:
    torch.save({**published_weights(16), "features.12.weight": torch.zeros(3)}, path)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, "no such checkpoint file"),
        (Path.mkdir, "no such checkpoint file"),
        (Path.touch, "not a checkpoint"),
        (lambda path: path.write_text("weights"), "not a checkpoint"),
        (write_objects, "objects other than tensors and plain values, which could run code; it is not loaded"),
        (write_old_format, "not loaded|not a checkpoint"),
        (write_truncated, "cut short or damaged"),
        (write_list, "not a training checkpoint"),
        (write_checkpoint, "a checkpoint, but not of sounds"),
        (write_numbers, "not a file of weights alone; name an .*nttcslab/byol-a"),
        (write_other_network, "not the weights of an AudioNTT2020; name an .*nttcslab/byol-a"),
        (write_another_layer, "AudioNTT2020, features.4.weight is of another shape; name an .*nttcslab/byol-a"),
        (write_without_a_layer, "AudioNTT2020, fc.3.bias is missing; name an .*nttcslab/byol-a"),
        (write_with_another_block, "AudioNTT2020, features.12.weight is unexpected; name an .*nttcslab/byol-a"),
    ],
)
def test_foreign_files_are_one_line_that_names_them(tmp_path, write, message):
    path = tmp_path / "weights.pth"
    write(path)
    with pytest.raises(InputError, match=message) as caught:
        load_encoder(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ") and "\n" not in text

"""The example for sounds runs on two seconds of synthetic sounds, and stays short."""

import runpy
import sys
from pathlib import Path

import numpy as np
import soundfile
import torch

from projects.audio.encoder import load_encoder

EXAMPLE = Path(__file__).parents[2] / "examples/byola_sounds.py"


def test_the_example_is_short():
    assert len(EXAMPLE.read_text().splitlines()) < 40


def test_an_encoder_is_pretrained_on_a_folder_of_sounds(tmp_path, monkeypatch, capsys):
    random = np.random.default_rng(0)
    (tmp_path / "sounds/more").mkdir(parents=True)
    for name in ("low.wav", "more/high.wav"):
        soundfile.write(tmp_path / "sounds" / name, random.uniform(-0.5, 0.5, 16_000), 16_000)
    (tmp_path / "sounds/readme.txt").write_text("not a sound")
    torch.manual_seed(0)
    monkeypatch.setattr(sys, "argv", ["byola_sounds.py", str(tmp_path / "sounds"), "2", str(tmp_path / "out.pth")])
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    losses = [float(line.split()[-1]) for line in capsys.readouterr().out.splitlines()]
    assert len(losses) == 2 and np.isfinite(losses).all()
    assert load_encoder(tmp_path / "out.pth").network.dimension == 512


def test_each_view_has_at_most_five_values(tmp_path, monkeypatch):
    """The quantizer of the example acts on every view."""
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 16_000), 16_000)
    soundfile.write(tmp_path / "b.wav", np.random.default_rng(1).uniform(-0.5, 0.5, 16_000), 16_000)
    monkeypatch.setattr(sys, "argv", ["byola_sounds.py", str(tmp_path), "1", str(tmp_path / "out.pth")])
    views = runpy.run_path(str(EXAMPLE))["views"]
    assert views.shape == (4, 1, 64, 96)
    assert max(view.unique().numel() for view in views) <= 5

"""Pretraining on sounds as a user runs it: the published method, reproducible, resumable, and safe with bad input."""

import copy
import os
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import librosa
import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from refusals import assert_refused
from run_folder import assert_equal_ends, logged, saved
from variants import AUDIO_VARIANTS as VARIANTS

from pcrq.stores.sound_store import SoundStore
from projects.audio.augmentation import AudioViews
from projects.audio.encoder import KEY, load_encoder
from projects.audio.log_mel import SEGMENT_SAMPLES
from projects.audio.pretrain import BYOLA, main
from projects.audio.waveforms import RandomSegments
from projects.training.records import read_records

pytestmark = pytest.mark.medium

SMALL = [
    *("--data.workers=0", "--data.batch_size=4", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"),
    *(
        "--model.dimension=16",
        "--model.channels=12",
        "--model.hidden=24",
        "--model.out=8",
        "--trainer.log_every_n_steps=1",
    ),
    *("--knn.seconds=1.0", "--knn.neighbours=3"),
]
MIXUP = ["--model.augmentation.mixup=0.4", "--model.augmentation.memory=6"]  # fewer than two batches
STEPS = 4  # an epoch: sixteen sounds, four at a time
CONFIGS = Path(__file__).parents[3] / "projects/audio/configs"


def fit(store: Path, run: Path, *options: str) -> int:
    return main([f"--data.store={store}", f"--out={run}", *SMALL, *options])


# --- segments ---------------------------------------------------------------------------------------------------------


def test_segments_are_parts_of_their_clips_by_seed_epoch_and_clip(sounds):
    store = SoundStore(sounds)
    data = RandomSegments(store, np.array([5, 8, 2]), seed=3)
    starts, spare = [], len(store.samples(5)) - SEGMENT_SAMPLES
    for epoch in range(40):
        segment, whole = data[epoch, 0], store.samples(5)  # 1.4 s
        windows = np.lib.stride_tricks.sliding_window_view(whole, SEGMENT_SAMPLES)
        (start,) = np.flatnonzero((windows[:, :8] == segment[:8].numpy()).all(axis=1))
        np.testing.assert_array_equal(segment, whole[start : start + SEGMENT_SAMPLES])
        starts.append(start)
    assert len(set(starts)) > 35 and min(starts) < 0.2 * spare and max(starts) > 0.8 * spare
    assert torch.equal(data[7, 2], data[7, 2]) and torch.equal(data[0, 1], data[1])
    assert not torch.equal(RandomSegments(store, np.array([5]), seed=4)[0, 0], data[0, 0])
    assert torch.equal(RandomSegments(store, np.array([5]), seed=3)[7, 0], data[7, 0])  # whatever else is used


def test_a_short_clip_stands_between_zeros(sounds):
    store = SoundStore(sounds)
    segment, whole = RandomSegments(store, np.array([0]))[4, 0], store.samples(0)  # 0.6 s
    spare = SEGMENT_SAMPLES - len(whole)
    np.testing.assert_array_equal(segment, np.pad(whole, (spare // 2, spare - spare // 2)))


# --- reproducible -----------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_identical_losses_and_another_one_others(sounds, tmp_path):
    for run, seed in {"a": 0, "b": 0, "c": 1}.items():
        assert fit(sounds, tmp_path / run, *MIXUP, "--trainer.max_epochs=2", f"--seed={seed}") == 0
    assert len(logged(tmp_path / "a")) == 2 * STEPS
    assert logged(tmp_path / "a") == logged(tmp_path / "b") != logged(tmp_path / "c")
    assert_equal_ends(tmp_path / "a", tmp_path / "b")


def test_worker_processes_and_knn_change_nothing(sounds, tmp_path):
    fit(sounds, tmp_path / "here", "--trainer.max_epochs=2", "--knn.every_n_epochs=1")
    fit(sounds, tmp_path / "workers", "--trainer.max_epochs=2", "--data.workers=1", "--knn.every_n_epochs=0")
    assert_equal_ends(tmp_path / "here", tmp_path / "workers")


@pytest.mark.parametrize("stop", [STEPS, 2 * STEPS + 2], ids=["between epochs", "within the last one"])
def test_a_resumed_run_equals_an_uninterrupted_one(sounds, tmp_path, stop):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    options = (*MIXUP, "--trainer.max_epochs=3", "--checkpoint.every_n_train_steps=1", "--knn.every_n_epochs=1")
    fit(sounds, whole, *options)
    fit(sounds, parts, *options, f"--trainer.max_steps={stop}")
    assert not (parts / "results.json").exists()
    fit(sounds, parts, *options, "--resume=last")
    assert logged(parts, version=0) + logged(parts, version=1) == logged(whole)
    assert_equal_ends(whole, parts)
    assert saved(whole)["state_dict"]["views.mixup.memory.seen"] == 3 * 16
    values = [[record.value for record in read_records(run / "results.json")] for run in (whole, parts)]
    assert values[0] == values[1] and len(values[0]) == 1


def test_a_resumed_run_keeps_the_statistics_of_its_first_start_and_measures_none(sounds, tmp_path, monkeypatch):
    from projects.audio import pretrain as module

    measured, original = [], module.waveform_statistics
    monkeypatch.setattr(module, "waveform_statistics", lambda *a: measured.append(a[1]) or original(*a))
    fit(sounds, tmp_path, "--trainer.max_epochs=2", f"--trainer.max_steps={STEPS}")
    assert measured == [torch.device("cpu")]  # that of the training
    checkpoint = saved(tmp_path)
    checkpoint[KEY]["statistics"]["mean"] += 0.25  # as another machine may measure in its last digits
    torch.save(checkpoint, tmp_path / "checkpoints/last.ckpt")
    fit(sounds, tmp_path, "--trainer.max_epochs=2", "--resume=last")
    assert saved(tmp_path)[KEY]["statistics"] == checkpoint[KEY]["statistics"]
    assert len(measured) == 1


def test_a_checkpoint_of_before_that_says_0_bins_is_read_and_resumed(sounds, tmp_path):
    """Such a checkpoint means no quantization, which is None now."""
    options = ("--model.augmentation.bins=null", "--trainer.max_epochs=2")
    fit(sounds, tmp_path, *options, f"--trainer.max_steps={STEPS}")
    checkpoint, path = saved(tmp_path), tmp_path / "checkpoints/last.ckpt"
    checkpoint[KEY]["pretraining"]["augmentation"]["bins"] = checkpoint["resume"]["augmentation"]["bins"] = 0
    torch.save(checkpoint, path)
    loaded = load_encoder(path)
    assert loaded.method == "RRC" and loaded.pretraining["augmentation"]["bins"] is None
    assert fit(sounds, tmp_path, *options, "--resume=last") == 0
    assert saved(tmp_path)["global_step"] == 2 * STEPS


@pytest.fixture(scope="module")
def resumable(sounds, tmp_path_factory) -> Path:
    """A run that stopped after one of two epochs."""
    run = tmp_path_factory.mktemp("resumable") / "run"
    assert fit(sounds, run, "--trainer.max_epochs=2", f"--trainer.max_steps={STEPS}") == 0
    return run


@pytest.mark.parametrize(
    ("option", "word"),
    [
        ("--model.augmentation.bins=8", "augmentation"),
        ("--model.augmentation.quantize_first=true", "augmentation"),
        ("--model.dimension=8", "dimension"),
        ("--model.channels=8", "channels"),
        ("--model.hidden=8", "hidden"),
        ("--model.learning_rate=0.1", "learning_rate"),
        ("--model.momentum=0.5", "momentum"),
        ("--data.batch_size=8", "batch_size"),
        ("--data.split=all", "split"),
        ("--seed=1", "seed"),
        ("--trainer.accumulate_grad_batches=2", "batch_size, accumulate_grad_batches"),
        ("--trainer.precision=bf16-mixed", "precision"),
        ("--data.store=OTHER", "store"),
    ],
)
def test_resuming_in_another_way_is_refused(sounds, resumable, write_sounds, tmp_path, capsys, option, word):
    run = tmp_path / "run"
    shutil.copytree(resumable, run)
    if option.endswith("OTHER"):
        other = write_sounds(tmp_path / sounds.name, ["train"] * 17 + ["test"] * 7)
        option = f"--data.store={other}"
    assert fit(sounds, run, "--trainer.max_epochs=2", "--resume=last", option) == 2
    assert f"trained with another {word}" in capsys.readouterr().err


# --- the published method ---------------------------------------------------------------------------------------------


def test_statistics_are_those_of_librosas_spectrograms(sounds, tmp_path):
    """One segment of every training sound, and none of the test sounds."""
    fit(sounds, tmp_path, "--trainer.max_epochs=1", "--trainer.max_steps=1", "--seed=2")
    data, values = RandomSegments(SoundStore(sounds), np.arange(16), seed=2), []
    for index in range(16):
        power = librosa.feature.melspectrogram(
            y=data[index].numpy(),
            sr=16_000,
            n_fft=1024,
            hop_length=160,
            n_mels=64,
            fmin=60,
            fmax=7800,
            pad_mode="reflect",
        )
        values.append(np.log(power + np.finfo(np.float32).eps))
    told = load_encoder(tmp_path / "checkpoints/last.ckpt").statistics
    assert (told.mean, told.std) == pytest.approx((np.mean(values), np.std(values)), abs=1e-3)


@pytest.mark.parametrize("method", [[], [*MIXUP, "--model.augmentation.bins=null"]], ids=["quantization", "mixup"])
def test_a_step_is_byol_by_adam(sounds, tmp_path, monkeypatch, method):
    """Loss, Adam and the moving average once more, of the views that the step draws (test_views.py knows these)."""
    original, seen = BYOLA.training_step, []

    def watched(self, batch, batch_idx):
        now = {"model": copy.deepcopy(self.framework), "views": copy.deepcopy(self.views), "batch": batch.clone()}
        now["spectrograms"] = self.log_mel(batch)
        loss = original(self, batch, batch_idx)
        seen.append({**now, "loss": loss.item()})
        return loss

    monkeypatch.setattr(BYOLA, "training_step", watched)
    options = ["--trainer.max_epochs=1", "--knn.every_n_epochs=0", "--seed=7"]
    fit(sounds, tmp_path, *method, *options, "--model.learning_rate=0.002", "--model.momentum=0.9")
    mean, square = {}, {}
    for step, (now, then) in enumerate(pairwise(seen), 1):
        model, seed = now["model"], np.random.SeedSequence([7, step, 0]).generate_state(1, np.uint64)[0] >> np.uint64(1)
        first, second = now["views"](now["spectrograms"], torch.Generator().manual_seed(int(seed)))
        torch.manual_seed(int(seed) + 1)
        predictions = [model.predictor(model.projector(model.encoder(view))) for view in (first, second)]
        with torch.no_grad():
            targets = [model.target_projector(model.target_encoder(view)) for view in (first, second)]
        cosines = [F.cosine_similarity(predictions[0], targets[1]), F.cosine_similarity(predictions[1], targets[0])]
        loss = 4 - 2 * cosines[0].mean() - 2 * cosines[1].mean()
        assert now["loss"] == pytest.approx(loss.item(), abs=1e-5)
        loss.backward()
        after = dict(then["model"].named_parameters())
        for name, weight in model.named_parameters():
            if weight.grad is None:
                continue
            mean[name] = 0.9 * mean.get(name, 0) + 0.1 * weight.grad
            square[name] = 0.999 * square.get(name, 0) + 0.001 * weight.grad**2
            change = mean[name] / (1 - 0.9**step) / ((square[name] / (1 - 0.999**step)).sqrt() + 1e-8)
            solid = weight.grad.abs() > 1e-4  # of others Adam magnifies the rounding
            torch.testing.assert_close(after[name][solid], (weight - 0.002 * change)[solid], atol=2e-4, rtol=0)
        for name, target in model.named_parameters():
            if name.startswith("target_"):
                expected = 0.9 * target + 0.1 * after[name.removeprefix("target_")]
                torch.testing.assert_close(after[name], expected)
    assert len(seen) == STEPS
    assert any(name.startswith("target_projector") for name, _ in seen[0]["model"].named_parameters())


def test_views_are_made_of_float32_spectrograms_under_autocast_too(sounds, tmp_path, monkeypatch):
    seen, forward = [], AudioViews.forward

    def watched(self, log_mel, generator):
        views = forward(self, log_mel, generator)
        seen.append((log_mel.dtype, views[0].dtype, torch.is_autocast_enabled("cpu")))
        return views

    monkeypatch.setattr(AudioViews, "forward", watched)
    assert fit(sounds, tmp_path, *MIXUP, "--trainer.max_epochs=2", "--trainer.precision=bf16-mixed") == 0
    assert set(seen) == {(torch.float32, torch.float32, True)} and np.isfinite(logged(tmp_path)).all()
    assert {tensor.dtype for tensor in saved(tmp_path)["state_dict"].values()} == {torch.float32, torch.int64}


# --- what is left behind ----------------------------------------------------------------------------------------------


def test_neighbours_are_logged_and_recorded_once(sounds, tmp_path):
    options = ("--trainer.max_epochs=3", "--knn.every_n_epochs=2")
    fit(sounds, tmp_path, *options)
    assert len(logged(tmp_path, "knn_accuracy")) == 3  # before, after two epochs and at the end
    (record,) = read_records(tmp_path / "results.json")
    assert record.value == logged(tmp_path, "knn_accuracy")[-1]
    assert (record.task, record.protocol, record.metric) == ("sound classification", "kNN", "kNN accuracy")
    assert (record.method, record.train_samples, record.test_samples, record.ratio) == ("RRC+RQ", 16, 8, 1.0)
    assert record.config["task"] == "sounds.h5" and record.config["pretraining"]["epochs"] == 3
    before = (tmp_path / "results.json").read_bytes()
    assert fit(sounds, tmp_path, *options, "--resume=last") == 0  # measures again, as it is not known any more
    assert (tmp_path / "results.json").read_bytes() == before


def test_a_checkpoint_gives_back_the_encoder_and_its_history(sounds, tmp_path):
    fit(sounds, tmp_path, *MIXUP, "--model.augmentation.bins=null", "--trainer.max_epochs=2", "--seed=3")
    loaded, state = load_encoder(tmp_path / "checkpoints/last.ckpt"), saved(tmp_path)["state_dict"]
    weights = loaded.network.state_dict()
    assert all(torch.equal(tensor, state[f"framework.encoder.{name}"]) for name, tensor in weights.items())
    assert (
        loaded.method == "RRC+Mixup"
        and loaded.network.sizes == {"dimension": 16, "mels": 64, "channels": 12}
        and not loaded.network.training
    )
    told = loaded.pretraining
    assert (told["epochs"], told["seed"], told["sounds"], told["batch_size"]) == (2, 3, 16, 4)
    assert (told["store"], told["hidden"], told["out"]) == ("sounds.h5", 24, 8)


def test_sounds_without_categories_are_trained_on_and_the_reader_told(write_sounds, tmp_path, capsys):
    store = write_sounds(tmp_path / "plain.h5", [""] * 9, labelled=False)
    assert fit(store, tmp_path / "run", "--trainer.max_epochs=2") == 0
    assert len(logged(tmp_path / "run")) == 2 * 2  # all nine, of which one is left over
    assert read_records(tmp_path / "run/results.json") == []
    assert "no kNN accuracy" in capsys.readouterr().err


TWO_PROCESSES = """
import os, torch
from projects.audio.pretrain import BYOLA, main

def keep(self):
    path = os.path.join(os.environ["RANK_FOLDER"], f"rank{self.global_rank}.pt")
    torch.save({**dict(self.named_parameters()), "memory": self.views.mixup.memory.samples}, path)

BYOLA.on_train_end = keep
raise SystemExit(main())
"""


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="needs gloo")
def test_two_processes_end_with_equal_networks_and_targets_and_memories_of_their_own(sounds, tmp_path):
    script = tmp_path / "two.py"
    script.write_text(TWO_PROCESSES)
    options = [f"--data.store={sounds}", *SMALL, *MIXUP, "--trainer.max_epochs=2"]
    options += ["--trainer.devices=2", "--trainer.strategy=ddp", f"--out={tmp_path / 'run'}"]
    environment = {**os.environ, "RANK_FOLDER": str(tmp_path), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [sys.executable, script, *options], env=environment, timeout=240, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("output: ") == ended.stderr.count("recorded in") == 1
    ranks = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]
    assert "framework.target_encoder.fc.0.weight" in ranks[0]
    memories = [rank.pop("memory") for rank in ranks]  # of six samples: two and four of the last two steps
    assert not any(torch.equal(first, second) for first in memories[0] for second in memories[1])
    assert torch.equal(memories[0], saved(tmp_path / "run")["state_dict"]["views.mixup.memory.samples"])
    for name in ranks[0]:
        assert torch.equal(ranks[0][name], ranks[1][name]), name
    assert saved(tmp_path / "run")["global_step"] == 2 * 2  # sixteen sounds, two processes with four each
    assert load_encoder(tmp_path / "run/checkpoints/last.ckpt").pretraining["batch_size"] == 8


# --- configurations ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted((CONFIGS / "variants").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_method_runs_over_the_tiny_configuration(sounds, tmp_path, path):
    configurations = [f"--config={CONFIGS / 'tiny.yaml'}", f"--config={path}"]
    options = [f"--data.store={sounds}", f"--out={tmp_path}", "--data.batch_size=8", "--trainer.max_epochs=1"]
    words = [*configurations, *options, "--model.dimension=16", "--trainer.enable_progress_bar=false"]
    assert main(words) == 0
    method = {
        "rrc": "RRC",
        "rrc_mixup": "RRC+Mixup",
        "rrc_rq": "RRC+RQ",
        "rrc_rq_per_frequency": "RRC+RQ (per frequency)",
        "rrc_rq_before_crop": "RRC+RQ (before the crop)",
        "rrc_rq_per_frequency_before_crop": "RRC+RQ (per frequency, before the crop)",
        "rrc_mixup_rq": "RRC+Mixup+RQ",
    }[path.stem]
    loaded = load_encoder(tmp_path / "checkpoints/last.ckpt")
    assert loaded.method == method and loaded.pretraining["augmentation"] == {**vars(VARIANTS[method]), "memory": 512}


def test_the_papers_configurations_have_its_values_and_differ_in_the_augmentation_alone():
    ours, theirs = (yaml.safe_load((CONFIGS / f"audioset_{method}.yaml").read_text()) for method in ("rq", "byola"))
    assert ours["model"].pop("augmentation") == {"mixup": 0.0, "crop": True, "bins": 5}
    assert theirs["model"].pop("augmentation") == {"mixup": 0.4, "crop": True, "bins": None, "memory": 2048}
    assert (ours.pop("out"), theirs.pop("out")) == ("runs/audioset_rq", "runs/audioset_byola")
    assert ours == theirs
    model, data, trainer = ours["model"], ours["data"], ours["trainer"]
    assert (model["learning_rate"], data["batch_size"], trainer["max_epochs"]) == (3e-4, 256, 100)
    assert (model["dimension"], model["channels"], model["hidden"], model["out"]) == (2048, 64, 4096, 256)
    assert model["momentum"] == 0.99


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--data.store=nowhere.h5"], "nowhere.h5: no such file"),
        (["--data.store=SHAPES"], "a shape store, but not a sound store"),
        (["--data.split=val"], "no sound of split 'val'; available: all, test, train"),
        (["--data.batch_size=17"], "16 samples are fewer than a batch of 17 in each of 1 processes"),
        (["--data.batch_size=1"], "data.batch_size 1"),
        (["--data.workers=-1"], "data.workers -1"),
        (["--model.augmentation.bins=0"], "augmentation.bins 0: must be at least 1, or null for no quantization"),
        (["--model.augmentation.mixup=2"], "mixup 2"),
        (["--model.dimension=0"], "dimension 0"),
        (["--model.channels=0"], "channels 0"),
        (["--model.hidden=0"], "hidden 0"),
        (["--model.learning_rate=0"], "learning_rate 0"),
        (["--model.momentum=1.5"], "momentum 1.5"),
        (["--trainer.max_epochs=-1", "--trainer.max_steps=3"], "trainer.max_epochs -1: set the number of epochs"),
        (["--knn.every_n_epochs=-1"], "knn.every_n_epochs -1"),
        (["--knn.seconds=0"], "knn.seconds 0.0"),
        ([f"--resume={__file__}"], "test_sound_pretrain.py"),
        ([f"--config={CONFIGS / 'tiny_table9.yaml'}"], "a config of a sweep, not of a training"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_options_are_named_in_one_line(sounds, store_path, tmp_path, capsys, options, word):
    options = [option.replace("SHAPES", str(store_path)) for option in options]
    assert_refused(
        capsys, "pcrq pretrain sounds", word, lambda: fit(sounds, tmp_path / "run", "--trainer.max_epochs=2", *options)
    )


def test_without_a_number_of_epochs_nothing_is_trained(sounds, tmp_path, capsys):
    assert fit(sounds, tmp_path) == 2
    assert "trainer.max_epochs -1: set the number of epochs" in capsys.readouterr().err


def test_silence_alone_is_refused(tmp_path, capsys):
    from pcrq.stores.sound_store import Sound, SoundStoreWriter

    with SoundStoreWriter(tmp_path / "silence.h5", classes=[]) as writer:
        for index in range(8):
            writer.append(Sound(np.zeros(16_000, np.float32), f"{index}"))
    assert fit(tmp_path / "silence.h5", tmp_path / "run", "--trainer.max_epochs=1") == 2
    assert "all silent" in capsys.readouterr().err

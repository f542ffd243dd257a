"""Pretraining on images as a user runs it: the published method, reproducible, resumable, and safe with bad input."""

import copy
import logging
import math
import os
import shlex
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from refusals import assert_refused
from run_folder import assert_equal_ends, logged, saved
from torch import nn

from pcrq import Quantizer
from projects.cli import main as pcrq
from projects.image.builtin_images import BuiltinImages
from projects.image.encoder import load_encoder
from projects.image.image_source import IMAGENET_MEAN, IMAGENET_STD
from projects.image.pretrain import SiamesePretraining, main
from projects.training.records import read_records

pytestmark = pytest.mark.medium

SMALL = [
    *("--data.workers=0", "--data.size=16", "--data.batch_size=4", "--trainer.accelerator=cpu"),
    *("--model.heads.hidden=16", "--model.heads.out=8", "--model.optimization.warmup_epochs=1"),
    *("--trainer.enable_progress_bar=false", "--trainer.log_every_n_steps=1"),
]
TINY = ["--model.encoder.name=resnet10", "--model.encoder.width=8", "--model.encoder.stem=small"]
MSF = ["--model.framework=byol", "--model.baseline=pcrq.ssl.MSF", "--data.augmentation.bins=null"]
MSF += ["--model.baseline.out=8", "--model.baseline.memory=16", "--model.baseline.neighbours=3"]
DACL = ["--model.baseline=pcrq.ssl.DACL"]
USERS = ["--model.encoder.name=networks_of_a_user.Forgetful"]
STEPS = 4  # an epoch: sixteen pictures, four at a time


class Forgetful(nn.Module):
    """An encoder that draws random numbers while it is trained, and has no batch norm."""

    def __init__(self, dropout: float = 0.5):
        super().__init__()
        self.convolution, self.dropout = nn.Conv2d(3, 6, 3), nn.Dropout(dropout)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.dropout(self.convolution(images).relu().mean(dim=(2, 3)))


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """This file under a name that an import path can have."""
    monkeypatch.setitem(sys.modules, "networks_of_a_user", sys.modules[__name__])


def fit(root: Path, run: Path, *options: str, encoder: list[str] = TINY) -> int:
    return main(["--data.source=folder", f"--data.root={root}", f"--out={run}", *SMALL, *encoder, *options])


# --- reproducible -----------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_identical_losses_and_another_one_others(tmp_path):
    few = ["--trainer.limit_train_batches=3", "--trainer.max_epochs=2", "--knn.images=32"]
    for run, seed in {"a": 0, "b": 0, "c": 1}.items():
        command = ["--data.source=builtin", f"--out={tmp_path / run}", f"--seed={seed}"]
        assert main([*command, *SMALL, *TINY, *few]) == 0
    assert len(logged(tmp_path / "a")) == 2 * 3
    assert logged(tmp_path / "a") == logged(tmp_path / "b") != logged(tmp_path / "c")
    assert_equal_ends(tmp_path / "a", tmp_path / "b")


def test_worker_processes_and_knn_change_nothing(pictures, tmp_path):
    fit(pictures, tmp_path / "here", "--trainer.max_epochs=2")
    fit(pictures, tmp_path / "workers", "--trainer.max_epochs=2", "--data.workers=1", "--knn.every_n_epochs=0")
    assert_equal_ends(tmp_path / "here", tmp_path / "workers")


@pytest.mark.parametrize("stop", [STEPS, 2 * STEPS + 2], ids=["between epochs", "within the last one"])
@pytest.mark.parametrize("kind", [TINY, [*TINY, *MSF], USERS], ids=["MoCo v3", "MSF", "an encoder with dropout"])
def test_a_resumed_run_equals_an_uninterrupted_one(pictures, tmp_path, stop, kind):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    options = ("--trainer.max_epochs=3", "--checkpoint.every_n_train_steps=1", "--knn.every_n_epochs=1")
    fit(pictures, whole, *options, encoder=kind)
    fit(pictures, parts, *options, f"--trainer.max_steps={stop}", encoder=kind)
    assert not (parts / "results.json").exists()
    fit(pictures, parts, *options, "--resume=last", encoder=kind)
    assert logged(parts, version=0) + logged(parts, version=1) == logged(whole)
    assert_equal_ends(whole, parts)
    names = saved(whole)["state_dict"]
    assert any("target_encoder" in name for name in names)
    assert ("baseline.memory" in names) == (kind[-1] == MSF[-1])
    values = [[record.value for record in read_records(run / "results.json")] for run in (whole, parts)]
    assert values[0] == values[1]


def test_accumulated_gradients_resume_exactly_too(pictures, tmp_path):
    options = ("--trainer.max_epochs=2", "--trainer.accumulate_grad_batches=3", "--checkpoint.every_n_train_steps=1")
    fit(pictures, tmp_path / "whole", *options)
    fit(pictures, tmp_path / "parts", *options, "--trainer.max_steps=3")
    fit(pictures, tmp_path / "parts", *options, "--resume=last")
    assert [saved(tmp_path / run)["global_step"] for run in ("whole", "parts")] == [4, 4]
    assert_equal_ends(tmp_path / "whole", tmp_path / "parts")


def test_a_run_of_an_older_version_resumes_exactly(pictures, tmp_path):
    """The baseline was a part of the framework and called rival, 0 bins meant none, and two options did not exist."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    options = ("--trainer.max_epochs=2", "--knn.every_n_epochs=0", *MSF)
    fit(pictures, whole, *options)
    fit(pictures, parts, *options, f"--trainer.max_steps={STEPS}")
    checkpoint = saved(parts)
    state, resume = checkpoint["state_dict"], checkpoint["resume"]
    for name in [name for name in state if name.startswith("baseline.")]:
        state[f"framework.rival.{name.removeprefix('baseline.')}"] = state.pop(name)
    resume["rival"], resume["rival_options"] = resume.pop("baseline"), resume.pop("baseline_options")
    resume["augmentation"]["bins"] = 0
    del resume["optimization"]["optimizer"], resume["optimization"]["final_momentum"]
    torch.save(checkpoint, parts / "checkpoints/last.ckpt")
    assert fit(pictures, parts, *options, "--resume=last") == 0
    assert_equal_ends(whole, parts)


@pytest.mark.parametrize(
    ("option", "word"),
    [
        ("--data.augmentation.bins=5", "augmentation"),
        ("--data.augmentation.crop=CR", "augmentation"),
        ("--data.size=12", "size"),
        ("--data.batch_size=8", "batch_size"),
        ("--trainer.accumulate_grad_batches=2", "batch_size, accumulate_grad_batches"),
        ("--model.framework=byol", "framework"),
        ("--model.encoder.width=4", "encoder"),
        ("--model.heads.temperature=0.2", "heads"),
        ("--model.optimization.learning_rate=0.3", "optimization"),
        ("--model.optimization.optimizer=adamw", "optimization"),
        ("--model.baseline=pcrq.ssl.IMix", "baseline"),
        ("--model.baseline.alpha=0.8", "baseline_options"),
        ("--seed=1", "seed"),
        ("--trainer.max_epochs=3", "max_epochs"),
        ("--trainer.precision=bf16-mixed", "precision"),
        ("--data.root=OTHER", "images"),
    ],
)
def test_resuming_in_another_way_is_refused(pictures, resumable, tmp_path, capsys, option, word):
    run = tmp_path / "run"
    shutil.copytree(resumable, run)
    if option.endswith("OTHER"):
        option = f"--data.root={shutil.copytree(pictures, tmp_path / 'other')}"
        (tmp_path / "other/train/red/0.png").unlink()
    assert fit(pictures, run, *DACL, "--trainer.max_epochs=2", "--resume=last", option) == 2
    assert f"trained with another {word}" in capsys.readouterr().err


@pytest.fixture(scope="module")
def resumable(pictures, tmp_path_factory) -> Path:
    """A run that stopped after one of two epochs."""
    run = tmp_path_factory.mktemp("resumable") / "run"
    assert fit(pictures, run, *DACL, "--trainer.max_epochs=2", f"--trainer.max_steps={STEPS}") == 0
    return run


# --- the published method ---------------------------------------------------------------------------------------------


def test_the_loss_is_moco_v3_of_quantized_normalised_views(tmp_path, monkeypatch):
    """Bins, reproduction values, normalisation and the contrastive loss, once more in numpy.

    Without batch norms, the encoder's features tell how its images are normalised.
    """
    original, seen = SiamesePretraining.training_step, []

    def watched(self, batch, batch_idx):
        framework = copy.deepcopy(self.framework)
        loss = original(self, batch, batch_idx)
        seen.append((batch[0].clone(), framework, loss.item()))
        return loss

    monkeypatch.setattr(SiamesePretraining, "training_step", watched)
    options = ["--model.heads.temperature=0.3", "--trainer.max_epochs=2", "--trainer.max_steps=3"]
    options += ["--knn.every_n_epochs=0", "--seed=7", "--data.augmentation.bins=6"]
    encoder = [*USERS, "--model.encoder.arguments={dropout: 0.0}"]
    assert main(["--data.source=builtin", f"--out={tmp_path}", *SMALL, *encoder, *options]) == 0
    for step, (views, framework, loss) in enumerate(seen):
        seed = np.random.SeedSequence([7, step + 1, 0]).generate_state(1, np.uint64)[0] >> np.uint64(1)
        pixels = views.transpose(0, 1).flatten(0, 1) / 255  # first views, then second views
        quantizer = Quantizer.sample(pixels, 6, generator=torch.Generator().manual_seed(int(seed)))
        edges, values, images = quantizer.edges.numpy(), quantizer.values.numpy(), pixels.numpy().copy()
        for view in range(8):
            for channel in range(3):
                bins = np.digitize(images[view, channel], edges[view, channel])
                pixel = values[view, channel][bins]
                images[view, channel] = (pixel - BuiltinImages.mean[channel]) / BuiltinImages.std[channel]
        first, second = torch.from_numpy(images).split(4)
        expected = 0.0
        for view, other in ((first, second), (second, first)):
            query = framework.predictor(framework.projector(framework.encoder(view)))
            key = framework.target_projector(framework.target_encoder(other))
            cosine = F.cosine_similarity(query[:, None], key[None], dim=2).detach().numpy().astype(np.float64)
            likely = np.exp(cosine / 0.3)
            expected -= np.log(np.diagonal(likely) / likely.sum(axis=1)).mean() * 2 * 0.3
        assert loss == pytest.approx(expected, rel=1e-4)
    assert len(seen) == 3


@pytest.mark.parametrize("accumulate", [1, 3])
def test_steps_and_target_follow_the_schedules_of_moco_v3(pictures, tmp_path, monkeypatch, accumulate):
    """main_moco.py: adjust_learning_rate, adjust_moco_momentum and LARS, by fractions of epochs."""
    seen: list[dict] = []

    def before_step(self, optimizer):
        weights = {name: weight.detach().clone() for name, weight in self.framework.named_parameters()}
        gradients = {
            name: weight.grad.clone() for name, weight in self.framework.named_parameters() if "target" not in name
        }
        seen.append({"rate": optimizer.param_groups[0]["lr"], "weights": weights, "gradients": gradients})

    monkeypatch.setattr(SiamesePretraining, "on_before_optimizer_step", before_step)
    epochs, warmup, momentum, decay = 5, 2, 0.9, 0.01
    options = [f"--trainer.max_epochs={epochs}", f"--model.optimization.warmup_epochs={warmup}"]
    options += [f"--model.optimization.momentum={momentum}", f"--model.optimization.weight_decay={decay}"]
    fit(pictures, tmp_path, *options, f"--trainer.accumulate_grad_batches={accumulate}", "--knn.every_n_epochs=0")
    steps = math.ceil(STEPS / accumulate)  # an epoch
    assert len(seen) == epochs * steps
    base = 0.6 * 4 * accumulate / 256
    velocity = {name: torch.zeros_like(gradient) for name, gradient in seen[0]["gradients"].items()}
    for step, (now, then) in enumerate(pairwise(seen)):
        epoch = step / steps
        if epoch < warmup:
            rate = base * epoch / warmup
        else:
            rate = base * 0.5 * (1 + math.cos(math.pi * (epoch - warmup) / (epochs - warmup)))
        assert now["rate"] == pytest.approx(rate, abs=1e-12)
        for name, gradient in now["gradients"].items():
            weight = now["weights"][name]
            if weight.ndim > 1:
                gradient = gradient + decay * weight
                if weight.norm() > 0 and gradient.norm() > 0:
                    gradient = gradient * 0.001 * weight.norm() / gradient.norm()
            velocity[name] = 0.9 * velocity[name] + gradient
            torch.testing.assert_close(then["weights"][name], weight - rate * velocity[name])
        slow = 1 - 0.5 * (1 + math.cos(math.pi * (epoch + 1 / steps) / epochs)) * (1 - momentum)
        for part in ("encoder", "projector"):
            for name in [name for name in velocity if name.startswith(f"{part}.")]:
                target = slow * now["weights"][f"target_{name}"] + (1 - slow) * then["weights"][name]
                torch.testing.assert_close(then["weights"][f"target_{name}"], target)
    first, last = seen[0]["weights"], seen[-1]["weights"]
    assert not torch.equal(first["encoder.conv1.weight"], last["encoder.conv1.weight"])
    assert not torch.equal(last["target_encoder.conv1.weight"], last["encoder.conv1.weight"])


@pytest.mark.parametrize(
    ("baseline", "method"), [("DACL", "RRC + DACL"), ("IMix", "RRC + i-Mix"), ("SSQL", "RRC + SSQL")]
)
@pytest.mark.parametrize("framework", ["mocov3", "byol"])
def test_baselines_train_in_both_frameworks(pictures, tmp_path, baseline, method, framework):
    options = [
        f"--model.baseline=pcrq.ssl.{baseline}",
        f"--model.framework={framework}",
        "--data.augmentation.bins=null",
    ]
    assert fit(pictures, tmp_path, *options, "--trainer.max_epochs=2") == 0
    assert np.isfinite(logged(tmp_path)).all()
    assert read_records(tmp_path / "results.json")[0].method == method


BASELINES_BY_NAME = """
from projects.image.pretrain import PROGRAM

for name in ("DACL", "IMix", "SSQL", "MSF"):
    print(PROGRAM.parser().parse_args([f"--model.baseline={name}"]).model.baseline.class_path)
"""


def test_baselines_are_found_by_name_in_a_new_process():
    """Other tests import their modules, by which jsonargparse finds them, too."""
    command = [sys.executable, "-c", BASELINES_BY_NAME]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.split() == ["pcrq.ssl.DACL", "pcrq.ssl.IMix", "pcrq.ssl.SSQL", "pcrq.ssl.MSF"]


def test_adamw_has_the_scaled_rate_and_decays_all_weights(pictures, tmp_path):
    """As moco-v3 trains vision transformers; here on any network."""
    options = ["--model.optimization.optimizer=adamw", "--model.optimization.learning_rate=0.1"]
    options += ["--model.optimization.weight_decay=0.05", "--model.optimization.warmup_epochs=0"]
    assert fit(pictures, tmp_path, *options, "--trainer.max_epochs=1", "--knn.every_n_epochs=0") == 0
    (state,) = saved(tmp_path)["optimizer_states"]
    (group,) = state["param_groups"]
    assert (group["initial_lr"], group["weight_decay"], group["betas"]) == (0.1 * 4 / 256, 0.05, (0.9, 0.999))
    assert "exp_avg_sq" in state["state"][0] and len(state["state"]) == len(group["params"])


def test_the_next_command_evaluates_the_encoder(pictures, tmp_path, capsys):
    assert fit(pictures, tmp_path / "run", "--trainer.max_epochs=2", "--knn.every_n_epochs=0", encoder=USERS) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("next: ")]
    words = shlex.split(line.removeprefix("next: "))
    small = [*SMALL[:1], *SMALL[3:4], "--trainer.enable_progress_bar=false", "--trainer.max_epochs=1"]
    assert pcrq([*words[1:], *small, f"--out={tmp_path / 'linear'}"]) == 0
    assert read_records(tmp_path / "linear/results.json")[0].protocol == "linear probe"


def test_bfloat16_trains(pictures, tmp_path):
    assert fit(pictures, tmp_path, "--trainer.max_epochs=2", "--trainer.precision=bf16-mixed") == 0
    assert np.isfinite(logged(tmp_path)).all()
    assert saved(tmp_path)["state_dict"]["framework.encoder.conv1.weight"].dtype == torch.float32


# --- what is left behind ----------------------------------------------------------------------------------------------


def test_neighbours_are_logged_and_recorded_once(pictures, tmp_path):
    options = ("--trainer.max_epochs=3", "--knn.every_n_epochs=2", "--knn.neighbours=5")
    fit(pictures, tmp_path, *options)
    assert len(logged(tmp_path, "knn_accuracy")) == 3  # before, after two epochs and at the end
    (record,) = read_records(tmp_path / "results.json")
    assert record.value == logged(tmp_path, "knn_accuracy")[-1]
    assert (record.task, record.protocol, record.metric) == ("image classification", "kNN", "kNN accuracy")
    assert (record.method, record.train_samples, record.test_samples, record.ratio) == ("RRC+RQ", 16, 8, 1.0)
    assert record.config["pretraining"]["epochs"] == 3 and record.config["neighbours"] == 5
    before = (tmp_path / "results.json").read_bytes()
    assert fit(pictures, tmp_path, *options, "--resume=last") == 0  # measures again, as it is not known any more
    assert (tmp_path / "results.json").read_bytes() == before


def test_a_record_counts_the_images_that_neighbours_were_asked_for(pictures, tmp_path):
    fit(pictures, tmp_path, "--trainer.max_epochs=2", "--knn.images=6", "--knn.neighbours=3")
    (record,) = read_records(tmp_path / "results.json")
    assert (record.train_samples, record.test_samples) == (6, 6)


def test_parts_of_epochs_are_not_recorded(pictures, tmp_path, capsys):
    assert fit(pictures, tmp_path, "--trainer.max_epochs=2", "--trainer.limit_train_batches=1") == 0
    assert "nothing is recorded" in capsys.readouterr().err
    assert not (tmp_path / "results.json").exists()


def test_a_checkpoint_gives_back_the_encoder_and_its_history(pictures, tmp_path):
    fit(pictures, tmp_path, "--trainer.max_epochs=2", "--model.framework=byol", "--seed=3")
    loaded = load_encoder(tmp_path / "checkpoints/last.ckpt")
    state = saved(tmp_path)["state_dict"]
    assert all(
        torch.equal(tensor, state[f"framework.encoder.{name}"]) for name, tensor in loaded.network.state_dict().items()
    )
    assert (loaded.encoder.name, loaded.encoder.width, loaded.encoder.stem) == ("resnet10", 8, "small")
    told = loaded.pretraining
    assert (told["framework"], told["baseline"], told["epochs"], told["seed"]) == ("BYOL", "", 2, 3)
    assert (told["images"], told["size"], told["batch_size"]) == (16, 16, 4)
    assert told["augmentation"]["bins"] == 8 and told["heads"]["hidden"] == 16
    (record,) = read_records(tmp_path / "results.json")
    assert record.config["weights"] == loaded.digest and record.config["pretraining"] == told


def test_the_statistics_of_the_images_go_with_the_encoder(tmp_path):
    few = ["--trainer.limit_train_batches=1", "--trainer.max_epochs=2", "--knn.every_n_epochs=0"]
    assert main(["--data.source=builtin", f"--out={tmp_path}", *SMALL, *TINY, *few]) == 0
    loaded = load_encoder(tmp_path / "checkpoints/last.ckpt")
    assert (loaded.mean, loaded.std) == (BuiltinImages.mean, BuiltinImages.std) != (IMAGENET_MEAN, IMAGENET_STD)
    assert not (tmp_path / "results.json").exists()  # without neighbours there is nothing to record


class Mean(nn.Module):
    """An encoder of nothing but weights: no batch norm, whose statistics would be those of a process alone."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 12, 5, stride=2), nn.Conv2d(12, 16, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(images).relu()).relu().mean(dim=(2, 3))


JOINT_BATCH = f"""
import sys, torch
sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[2] / "support")]!r}
import test_image_pretrain
sys.modules["networks_of_a_user"] = test_image_pretrain
torch.nn.BatchNorm1d = torch.nn.Identity
raise SystemExit(test_image_pretrain.main())
"""


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="needs gloo")
@pytest.mark.parametrize("framework", ["mocov3", "byol"])
def test_two_processes_learn_what_one_learns_from_the_joint_batch(pictures, tmp_path, framework):
    """Samples, views, gathered keys, rates and gradients; quantization alone draws in every process anew."""
    (tmp_path / "train.py").write_text(JOINT_BATCH)
    common = ["--data.source=folder", f"--data.root={pictures}", *SMALL, "--data.augmentation.bins=null"]
    common += ["--model.encoder.name=networks_of_a_user.Mean", f"--model.framework={framework}"]
    common += ["--trainer.max_epochs=2", "--knn.every_n_epochs=0"]
    kinds = {"one": ["--data.batch_size=4"], "two": ["--data.batch_size=2", "--trainer.devices=2"]}
    kinds["two"] += ["--trainer.strategy=ddp"]
    for run, options in kinds.items():
        command = [sys.executable, tmp_path / "train.py", *common, *options, f"--out={tmp_path / run}"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        ended = subprocess.run(command, env=environment, timeout=240, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
    one, two = (saved(tmp_path / run)["state_dict"] for run in kinds)
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-3, atol=1e-5, msg=name)


TWO_PROCESSES = """
import os, torch
from projects.image.pretrain import main
from projects.image.pretrain import SiamesePretraining

def keep(self):
    path = os.path.join(os.environ["RANK_FOLDER"], f"rank{self.global_rank}.pt")
    # The statistics of batch normalisation are each process's own.
    torch.save({name: tensor for name, tensor in self.state_dict().items() if "running" not in name}, path)

SiamesePretraining.on_train_end = keep
raise SystemExit(main())
"""


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="needs gloo")
def test_two_processes_end_with_equal_networks_targets_and_memories(pictures, tmp_path):
    script = tmp_path / "two.py"
    script.write_text(TWO_PROCESSES)
    options = ["--data.source=folder", f"--data.root={pictures}", *SMALL, *TINY, *MSF, "--trainer.max_epochs=2"]
    options += ["--trainer.devices=2", "--trainer.strategy=ddp", f"--out={tmp_path / 'run'}"]
    environment = {**os.environ, "RANK_FOLDER": str(tmp_path), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [sys.executable, script, *options], env=environment, timeout=240, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("output: ") == ended.stderr.count("recorded in") == 1
    ranks = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]
    assert {"baseline.memory", "framework.target_projector.layers.0.weight"} <= ranks[0].keys()
    for name in ranks[0]:
        assert torch.equal(ranks[0][name], ranks[1][name]), name
    assert saved(tmp_path / "run")["global_step"] == 2 * 2  # sixteen pictures, two processes with four each
    (record,) = read_records(tmp_path / "run/results.json")
    assert record.config["pretraining"]["batch_size"] == 8


# --- pictures of all kinds --------------------------------------------------------------------------------------------


def test_an_image_that_cannot_be_read_is_named_and_counted_at_the_end(pictures, tmp_path, caplog):
    root = shutil.copytree(pictures, tmp_path / "pictures")
    broken = root / "train/red/3.png"
    broken.write_bytes(broken.read_bytes()[:200])
    with caplog.at_level(logging.WARNING, "projects"):
        assert fit(root, tmp_path / "run", "--trainer.max_epochs=2", "--knn.every_n_epochs=0") == 0
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("projects")]
    assert len(lines) == 3
    assert "train/red/3.png" in lines[0] and "another image replaces it" in lines[0]
    assert lines[1].startswith("not read: train/red/3.png: ")
    assert lines[2] == f"1 of the 16 images of {root / 'train'} could not be read"


def test_a_folder_without_classes_is_trained_on_and_told_why_there_are_no_neighbours(pictures, tmp_path, capsys):
    folder = tmp_path / "flat"
    folder.mkdir()
    for index, path in enumerate(sorted(pictures.rglob("*.png"))):
        shutil.copy(path, folder / f"{index}.png")
    assert fit(folder, tmp_path / "run", "--trainer.max_epochs=2") == 0
    assert len(logged(tmp_path / "run")) == 2 * 6
    assert not (tmp_path / "run/results.json").exists()
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "no kNN accuracy" in line]
    assert f"{folder}: contains no folder 'train'" in line


def test_pictures_of_all_kinds_train(tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (20, 24, 4), dtype=np.uint8)
    folder = tmp_path / "kinds"
    folder.mkdir()
    Image.fromarray(pixels[..., 0]).save(folder / "grey.png")
    Image.fromarray(pixels, "RGBA").save(folder / "transparent.png")
    Image.fromarray(pixels[..., 0] > 127).save(folder / "bits.png")
    Image.fromarray(pixels[..., :3]).quantize(8).save(folder / "palette.gif")
    Image.frombytes("CMYK", (24, 20), pixels.tobytes()).save(folder / "print.jpg")
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(folder / "deep.png")
    Image.fromarray(pixels[:2, :2, :3]).save(folder / "tiny.bmp")
    Image.fromarray(np.zeros((20, 24, 3), np.uint8)).save(folder / "black.webp")
    assert fit(folder, tmp_path / "run", "--trainer.max_epochs=2", "--data.augmentation.colour=Full") == 0
    losses = logged(tmp_path / "run")
    assert len(losses) == 2 * 2 and np.isfinite(losses).all()


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--data.root=EMPTY"], "EMPTY: contains no image"),
        (["--data.root=nowhere"], "nowhere: no such folder"),
        (["--data.source=pictures"], "unknown source 'pictures'"),
        (["--data.source=builtin"], "leave root out"),
        (
            ["--data.batch_size=17"],
            "16 samples are fewer than a batch of 17 in each of 1 processes; lower data.batch_size",
        ),
        (["--data.batch_size=1"], "batch_size 1"),
        (["--data.size=4"], "size 4"),
        (["--data.workers=-1"], "workers -1"),
        (["--data.augmentation.bins=-1"], "bins -1"),
        (["--data.augmentation.bins=0"], "bins 0: must be at least 1, or null for no quantization"),
        (["--data.augmentation.crop=RCC"], "data.augmentation.crop 'RCC': available: CR, RRC"),
        (["--trainer.max_epochs=0"], "trainer.max_epochs 0: set the number of epochs"),
        (["--trainer.max_epochs=-1", "--trainer.max_steps=3"], "trainer.max_epochs -1: set the number of epochs"),
        (["--model.optimization.warmup_epochs=2"], "warmup_epochs 2: must be below trainer.max_epochs 2"),
        (["--model.optimization.learning_rate=0"], "learning_rate 0"),
        (["--model.optimization.momentum=1.5"], "momentum 1.5"),
        (["--model.heads.hidden=0"], "hidden 0"),
        (["--model.heads.temperature=0"], "temperature 0"),
        (["--model.framework=simclr"], "model.framework 'simclr': available: mocov3, byol"),
        (["--model.encoder.name=resnet11"], "unknown encoder 'resnet11'"),
        (["--model.encoder.width=0"], "width 0"),
        ([*DACL, "--model.baseline.alpha=0.2"], "DACL alpha 0.2"),
        (["--model.baseline=pcrq.ssl.MSF"], "choose BYOL"),
        ([*MSF, "--model.baseline.memory=3"], "raise memory"),
        (["--knn.every_n_epochs=-1"], "knn.every_n_epochs -1"),
        (["--seed=-1"], "seed -1"),
        (["--seed=false"], "seed"),
        (["--trainer.precision=bf16-true"], "trainer.precision bf16-true: choose 32-true, 16-mixed, bf16-mixed"),
        (["--knn.neighbours=0"], "knn.neighbours 0"),
        ([f"--resume={__file__}"], "test_image_pretrain.py"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_options_are_named_in_one_line(pictures, tmp_path, monkeypatch, capsys, options, word):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "EMPTY").mkdir()
    assert_refused(
        capsys,
        "pcrq pretrain images",
        word,
        lambda: fit(pictures, tmp_path / "run", "--trainer.max_epochs=2", *options),
    )


def test_without_a_number_of_epochs_nothing_is_trained(pictures, tmp_path, capsys):
    assert fit(pictures, tmp_path / "run") == 2
    assert "trainer.max_epochs -1: set the number of epochs" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_an_encoder_that_does_not_fit_the_images_is_named(pictures, tmp_path, capsys):
    vit = ["--model.encoder.name=torchvision.models.vit_b_16", "--model.encoder.arguments={image_size: 32}"]
    assert fit(pictures, tmp_path, "--trainer.max_epochs=2", encoder=vit) == 2
    assert "VisionTransformer: fails on images of 16×16 pixels" in capsys.readouterr().err

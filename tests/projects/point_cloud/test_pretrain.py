"""Pretraining as a user runs it: reproducible, resumable, on several processes, and safe with bad input."""

import os
import pickle
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml
from refusals import assert_refused
from run_folder import assert_equal_ends, logged, saved

from octree.pretrained import load_pretrained
from pcrq.stores.shape_store import ShapeStoreWriter
from projects.point_cloud.pretrain import PROGRAM, main
from projects.training.run import Run

pytestmark = pytest.mark.medium

SMALL = [
    *("--data.workers=0", "--data.batch_size=3", "--model.network={depth: 4, full_depth: 1, width: 16, blocks: 1}"),
    *("--model.network.nempty=true", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"),
    *("--trainer.log_every_n_steps=1", "--knn.every_n_epochs=2"),
]


def fit(store: Path, run: Path, *options: str) -> int:
    return main([f"--data.store={store}", f"--out={run}", *SMALL, *options])


def test_the_same_seed_gives_identical_losses(store_path, tmp_path):
    for run in ("a", "b"):
        assert fit(store_path, tmp_path / run, "--trainer.max_epochs=2") == 0
    assert len(logged(tmp_path / "a")) == 2 * 3
    assert logged(tmp_path / "a") == logged(tmp_path / "b")


def test_another_seed_gives_other_losses(store_path, tmp_path):
    for seed in (0, 1):
        fit(store_path, tmp_path / str(seed), "--trainer.max_epochs=1", f"--seed={seed}")
    assert logged(tmp_path / "0") != logged(tmp_path / "1")


def test_the_progress_bar_waits_for_the_device_no_more_often_than_the_log(store_path, tmp_path):
    command = [f"--data.store={store_path}", f"--out={tmp_path}", *SMALL, "--trainer.max_epochs=1"]
    parser = PROGRAM.parser()
    words = [*command, "--trainer.enable_progress_bar=true", "--trainer.log_every_n_steps=7"]
    trainer = Run(PROGRAM, parser, parser.parse_args(words)).make_trainer()
    assert trainer.progress_bar_callback.refresh_rate == 7


def test_quantization_makes_the_octree_smaller(store_path, tmp_path):
    for bins in (0, 4):
        fit(store_path, tmp_path / str(bins), "--trainer.max_epochs=1", f"--model.quantization.bins={bins or 'null'}")
    assert logged(tmp_path / "4", "nodes_depth_4")[0] < 0.7 * logged(tmp_path / "0", "nodes_depth_4")[0]


@pytest.mark.parametrize("steps_before_stop", [3, 4], ids=["between epochs", "within an epoch"])
def test_a_resumed_run_equals_an_uninterrupted_one(store_path, tmp_path, steps_before_stop):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    checkpoints = ("--checkpoint.every_n_train_steps=1", "--checkpoint.save_top_k=1")
    fit(store_path, whole, "--trainer.max_epochs=3", *checkpoints)
    fit(store_path, parts, "--trainer.max_epochs=3", f"--trainer.max_steps={steps_before_stop}", *checkpoints)
    fit(store_path, parts, "--trainer.max_epochs=3", "--resume=last", *checkpoints)
    assert logged(parts, version=0) + logged(parts, version=1) == logged(whole)
    assert_equal_ends(whole, parts)


def test_banks_in_half_precision_train_and_resume_exactly(store_path, tmp_path):
    options = ("--trainer.max_epochs=2", "--model.memory_dtype=float16", "--checkpoint.every_n_train_steps=1")
    fit(store_path, tmp_path / "full", "--trainer.max_epochs=2")
    fit(store_path, tmp_path / "whole", *options)
    fit(store_path, tmp_path / "parts", *options, "--trainer.max_steps=4")
    fit(store_path, tmp_path / "parts", *options, "--resume=last")
    assert saved(tmp_path / "whole")["state_dict"]["loss.patch_memory.memory"].dtype == torch.float16
    assert_equal_ends(tmp_path / "whole", tmp_path / "parts")
    assert fit(store_path, tmp_path / "parts", "--trainer.max_epochs=3", "--resume=last") == 0  # in full precision
    half, full = logged(tmp_path / "whole"), logged(tmp_path / "full")
    assert half[0] == pytest.approx(full[0], rel=1e-3) and half == pytest.approx(full, rel=0.1)


def test_accumulated_gradients_resume_exactly_too(store_path, tmp_path):
    options = ("--trainer.max_epochs=2", "--trainer.accumulate_grad_batches=2", "--checkpoint.every_n_train_steps=1")
    fit(store_path, tmp_path / "whole", *options)
    fit(store_path, tmp_path / "parts", *options, "--trainer.max_steps=2")
    fit(store_path, tmp_path / "parts", *options, "--resume=last")
    assert saved(tmp_path / "whole")["global_step"] == saved(tmp_path / "parts")["global_step"] == 4
    assert_equal_ends(tmp_path / "whole", tmp_path / "parts")


def test_checkpoints_within_epochs_do_not_leave_out_the_end(store_path, tmp_path):
    fit(store_path, tmp_path, "--trainer.max_epochs=1", "--checkpoint.every_n_train_steps=2")  # 3 steps
    assert saved(tmp_path)["global_step"] == 3
    assert [file.name for file in (tmp_path / "checkpoints").iterdir()] == ["last.ckpt"]


def test_bfloat16_trains_with_unit_banks_in_full_precision(store_path, tmp_path):
    assert fit(store_path, tmp_path, "--trainer.max_epochs=2", "--trainer.precision=bf16-mixed") == 0
    assert all(0 < loss < 30 for loss in logged(tmp_path))
    bank = saved(tmp_path)["state_dict"]["loss.shape_memory.memory"]
    assert bank.dtype == torch.float32
    torch.testing.assert_close(bank.norm(dim=1), torch.ones(len(bank)))


def test_a_folder_that_holds_a_run_is_not_started_in_again(store_path, tmp_path, capsys):
    fit(store_path, tmp_path, "--trainer.max_epochs=1")
    before = (tmp_path / "checkpoints/last.ckpt").read_bytes()
    assert fit(store_path, tmp_path, "--trainer.max_epochs=1") == 2
    assert "--resume last" in capsys.readouterr().err
    assert (tmp_path / "checkpoints/last.ckpt").read_bytes() == before


def test_a_moved_run_goes_on(store_path, tmp_path):
    fit(store_path, tmp_path / "here", "--trainer.max_epochs=1")
    (tmp_path / "here").rename(tmp_path / "there")
    fit(store_path, tmp_path / "there", "--trainer.max_epochs=2", "--resume=last")
    assert [file.name for file in (tmp_path / "there/checkpoints").iterdir()] == ["last.ckpt"]
    assert saved(tmp_path / "there")["epoch"] == 1


def test_resuming_a_run_that_has_no_checkpoint_yet_starts_it(store_path, tmp_path):
    assert fit(store_path, tmp_path, "--trainer.max_epochs=1", "--resume=last") == 0
    assert len(logged(tmp_path)) == 3


def test_knn_can_be_switched_off_and_needs_categories(store_path, make_shape, tmp_path):
    fit(store_path, tmp_path / "off", "--trainer.max_epochs=1", "--knn.every_n_epochs=0")
    unlabelled = tmp_path / "unlabelled.h5"
    with ShapeStoreWriter(unlabelled, classes=[], parts=["x", "y"], parameters={"patches": 10}) as writer:
        for index in range(6):
            writer.append(make_shape(index, category=-1))
    fit(unlabelled, tmp_path / "unlabelled", "--trainer.max_epochs=1")
    for run in ("off", "unlabelled"):
        assert logged(tmp_path / run) and not logged(tmp_path / run, "knn_accuracy")


def test_without_held_out_shapes_knn_leaves_each_out(store_path, tmp_path):
    fit(store_path, tmp_path, "--trainer.max_epochs=1", "--data.split=all")
    assert len(logged(tmp_path, "knn_accuracy")) == 2


def test_a_checkpoint_gives_back_its_network(store_path, tmp_path):
    fit(store_path, tmp_path, "--trainer.max_epochs=1")
    path = tmp_path / "checkpoints/last.ckpt"
    network = load_pretrained(path)
    saved = torch.load(path, weights_only=True)["state_dict"]
    assert network.config.depth == 4
    quantization = {"bins": 30, "p": 1.0, "random_edges": True, "random_values": True}
    assert network.pretraining == {**quantization, "epochs": 1, "store": "toy.h5", "shapes": 8, "seed": 0}
    assert all(torch.equal(value, saved[f"network.{name}"]) for name, value in network.state_dict().items())


def test_no_shape_is_quantized_with_probability_zero(store_path, tmp_path):
    losses = []
    for name, option in (("never", "p=0"), ("without", "bins=null"), ("always", "p=1")):
        fit(store_path, tmp_path / name, "--trainer.max_epochs=1", f"--model.quantization.{option}")
        losses.append(logged(tmp_path / name, "loss"))
    assert losses[0] == losses[1] != losses[2]


def test_knn_accuracy_is_logged_before_and_during_training(store_path, tmp_path):
    fit(store_path, tmp_path, "--trainer.max_epochs=2")
    accuracies = logged(tmp_path, "knn_accuracy")
    assert len(accuracies) == 2
    assert all(0 <= accuracy <= 1 for accuracy in accuracies)


TWO_PROCESSES = """
import os, torch
from projects.point_cloud.pretrain import MIDPretraining, main

def keep(self):
    path = os.path.join(os.environ["RANK_FOLDER"], f"rank{self.global_rank}.pt")
    # The statistics of batch normalisation are each process's own.
    torch.save({name: tensor for name, tensor in self.state_dict().items() if "running" not in name}, path)

MIDPretraining.on_train_end = keep
main()
"""


@pytest.mark.slow
def test_two_processes_end_with_equal_banks(store_path, tmp_path):
    script = tmp_path / "two.py"
    script.write_text(TWO_PROCESSES)
    options = [f"--data.store={store_path}", *SMALL, "--trainer.max_epochs=2"]
    options += ["--trainer.devices=2", "--trainer.strategy=ddp", f"--out={tmp_path / 'run'}"]
    environment = {**os.environ, "RANK_FOLDER": str(tmp_path), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, script, *options], check=True, env=environment, timeout=240)
    ranks = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]
    assert {"loss.shape_memory.memory", "loss.patch_memory.memory"} <= ranks[0].keys()
    for name in ranks[0]:
        assert torch.equal(ranks[0][name], ranks[1][name]), name


def test_a_store_that_is_missing_is_one_line_and_status_2(tmp_path, capsys):
    assert fit(tmp_path / "nowhere.h5", tmp_path / "run") == 2
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith("pcrq pretrain shapes: error: ")


class _Evil:
    def __reduce__(self):
        return (os.mkdir, (os.environ["EVIL_FOLDER"],))


def test_code_in_a_checkpoint_is_refused_and_not_run(store_path, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("EVIL_FOLDER", str(tmp_path / "executed"))
    evil = tmp_path / "evil.ckpt"
    torch.save({"state_dict": {}, "extra": _Evil()}, evil)
    assert fit(store_path, tmp_path / "run", f"--resume={evil}") == 2
    assert "could run code" in capsys.readouterr().err
    assert not (tmp_path / "executed").exists()
    assert pickle.dumps(_Evil())  # the object is a working attack


def test_resuming_with_another_store_is_refused(store_path, make_shape, tmp_path, capsys):
    other = tmp_path / "other.h5"
    with ShapeStoreWriter(other, classes=["a", "b"], parts=["x", "y"], parameters={"patches": 10}) as writer:
        for index in range(20, 28):
            writer.append(make_shape(index))
    fit(store_path, tmp_path / "run", "--trainer.max_epochs=1")
    assert fit(other, tmp_path / "run", "--trainer.max_epochs=2", "--resume=last") == 2
    assert "another store" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--data.split=all", "another split"),
        ("--data.batch_size=4", "another batch_size"),
        ("--model.network.blocks=2", "another network.blocks (1); resume"),
        ("--model.network.bn_momentum=0.01", "another network.bn_momentum (0.1); resume"),
    ],
)
def test_resuming_with_other_options_is_refused(store_path, tmp_path, capsys, option, words):
    fit(store_path, tmp_path, "--trainer.max_epochs=1")
    assert fit(store_path, tmp_path, "--trainer.max_epochs=2", "--resume=last", option) == 2
    assert words in capsys.readouterr().err


def test_a_run_of_an_earlier_version_resumes(store_path, tmp_path):
    fit(store_path, tmp_path, "--trainer.max_epochs=1")
    checkpoint = saved(tmp_path)
    for name in ("bn_momentum", "bn_eps", "init"):
        del checkpoint["resume"]["network"][name]
    torch.save(checkpoint, tmp_path / "checkpoints/last.ckpt")
    assert fit(store_path, tmp_path, "--trainer.max_epochs=2", "--resume=last") == 0


def test_patches_beyond_the_parameters_of_the_store_are_refused(make_shape, tmp_path, capsys):
    path = tmp_path / "store.h5"
    with ShapeStoreWriter(path, classes=["a", "b"], parts=["x", "y"], parameters={"patches": 5}) as writer:
        for index in range(4):
            writer.append(make_shape(index, patches=10))
    assert fit(path, tmp_path / "run", "--trainer.max_epochs=1") == 2
    assert "patch 9" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "word"),
    [
        ("--model.quantization.bins=-1", "bins"),
        ("--model.network.depth=2", "depth"),
        ("--data.batch_size=0", "batch_size"),
        ("--data.split=validation", "split"),
        ("--knn.every_n_epochs=-1", "knn"),
        ("--data.workers=-1", "workers"),
        ("--data.batchsize=3", "batchsize"),
        ("--trainer.max_epochs=-5", "max_epochs"),
        ("--model.quantization.bins=x", "bins"),
        ("--config=nowhere.yaml", "nowhere.yaml"),
        (f"--config={__file__}", "test_pretrain.py"),
        (f"--resume={__file__}", "test_pretrain.py"),
    ],
)
def test_bad_options_are_named(store_path, tmp_path, capsys, option, word):
    assert_refused(capsys, "pcrq pretrain shapes", word, lambda: fit(store_path, tmp_path / "run", option))


CONFIGS = Path(__file__).parents[3] / "projects/point_cloud/configs"


def test_the_tiny_configuration_runs(store_path, tmp_path):
    options = ["--data.workers=0", "--trainer.max_epochs=1", "--trainer.enable_progress_bar=false"]
    command = ["--config", str(CONFIGS / "tiny.yaml"), f"--data.store={store_path}", f"--out={tmp_path}"]
    assert main([*command, *options, "--trainer.accelerator=cpu"]) == 0
    assert load_pretrained(tmp_path / "checkpoints/last.ckpt").config.nempty


@pytest.mark.slow
@pytest.mark.parametrize(("name", "bins"), [("shapenet_rq", 30), ("shapenet_mid", None)])
def test_the_configurations_of_the_paper_hold_its_values_and_run(store_path, tmp_path, name, bins):
    values = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
    assert values["model"]["quantization"] == {"bins": bins}
    assert values["model"]["optimization"] == {"learning_rate": 0.03, "milestones": [200, 300], "weight_decay": 5e-4}
    assert (values["data"]["batch_size"], values["trainer"]["max_epochs"]) == (32, 400)
    command = ["--config", str(CONFIGS / f"{name}.yaml"), f"--data.store={store_path}", f"--out={tmp_path}"]
    small = ["--data.workers=0", "--data.batch_size=2", "--trainer.max_steps=1", "--trainer.accelerator=cpu"]
    assert main([*command, *small, "--trainer.enable_progress_bar=false", "--knn.every_n_epochs=0"]) == 0
    checkpoint = saved(tmp_path)
    sizes = {"depth": 6, "full_depth": 2, "width": 128, "blocks": 3, "shape_channels": 128, "point_channels": 64}
    tensorflow = {"bn_momentum": 0.01, "bn_eps": 1e-3, "init": "xavier"}
    assert checkpoint["midnet"]["config"] == {**sizes, "nempty": False, **tensorflow}
    optimizer = checkpoint["optimizer_states"][0]["param_groups"][0]
    assert (optimizer["lr"], optimizer["momentum"], optimizer["weight_decay"]) == (0.03, 0.9, 5e-4)


def test_ctrl_c_says_how_to_go_on_and_going_on_works(store_path, tmp_path):
    command = [sys.executable, "-m", "projects.point_cloud.pretrain", f"--data.store={store_path}"]
    command += [f"--out={tmp_path / 'run'}", *SMALL, "--trainer.max_epochs=100000"]
    # A shell without job control starts background commands with SIGINT ignored, which children inherit.
    listen = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=listen)
    try:
        end = time.monotonic() + 120
        while not (tmp_path / "run/checkpoints/last.ckpt").exists():
            assert time.monotonic() < end and run.poll() is None
            time.sleep(0.2)
        os.killpg(run.pid, signal.SIGINT)
        _, error = run.communicate(timeout=60)
    finally:
        run.kill()
    assert run.returncode == 130
    assert "--resume last" in error and "Traceback" not in error
    epoch = saved(tmp_path / "run")["epoch"]
    assert fit(store_path, tmp_path / "run", "--resume=last", f"--trainer.max_epochs={epoch + 3}") == 0

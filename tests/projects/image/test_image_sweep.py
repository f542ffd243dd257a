"""A sweep of images: one line for a shell and one set of processes for every encoder, whatever it trains on."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from projects.image.pretrain import main as pretrain_images
from projects.image.sweep import main
from projects.training.records import read_records

pytestmark = pytest.mark.medium

ROOT = Path(__file__).parents[3]
TWO_DEVICES = ["--trainer.devices=2", "--trainer.strategy=ddp"]


@pytest.fixture
def table(pictures, tmp_path):
    """The words of a table with one encoder, which is pretrained for an epoch; further options can follow."""
    data = {"source": "folder", "root": str(pictures), "size": 8, "batch_size": 4, "workers": 0}
    trainer = {"max_epochs": 1, "accelerator": "cpu", "devices": 1}
    network = {"encoder": {"name": "resnet10", "width": 4}, "heads": {"hidden": 8, "out": 4}}
    model = {**network, "optimization": {"warmup_epochs": 0}}
    base = {"data": data, "model": model, "trainer": trainer, "knn": {"neighbours": 2}}
    for name, values in {"base": base, "probe": {"data": data, "trainer": trainer}}.items():
        (tmp_path / f"{name}.yaml").write_text(json.dumps(values))
    return [
        *(f"--pretrain=[{tmp_path / 'base.yaml'}]", "--variants=[rrc_rq]"),
        *(f"--probe={tmp_path / 'probe.yaml'}", f"--out={tmp_path / 'out'}", "--seeds=[3]"),
    ]


def printed(capsys, *words: str) -> list[str]:
    """The lines of --list_only."""
    capsys.readouterr()
    assert main([*words, "--list_only=true"]) == 0
    return capsys.readouterr().out.splitlines()


def test_a_line_pretrains_an_encoder_and_then_probes_it(table, tmp_path, capsys):
    lines = printed(capsys, *table, "--seeds=[0,1]")
    assert [[shlex.split(half)[2] for half in line.split(" && ")] for line in lines] == [
        ["projects.image.pretrain", "projects.image.linear_probe"]
    ] * 2
    assert all(f"seed{seed}/checkpoints/last.ckpt" in line for seed, line in enumerate(lines))


@pytest.mark.slow
def test_a_line_is_a_command_that_a_shell_runs(table, tmp_path, capsys):
    (line,) = printed(capsys, *table)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    subprocess.run(line, shell=True, check=True, cwd=ROOT, env=environment, timeout=120, capture_output=True)
    assert len(list((tmp_path / "out").rglob("results.json"))) == 2
    assert printed(capsys, *table) == []


def test_an_encoder_that_is_pretrained_is_only_probed(table, tmp_path, capsys):
    (line,) = printed(capsys, *table)
    pretraining, probe = line.split(" && ")
    assert pretrain_images(shlex.split(pretraining)[3:]) == 0
    assert printed(capsys, *table) == [probe]


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="needs gloo")
def test_runs_on_two_devices_are_run_once(table, tmp_path):
    options = [f"--options={json.dumps(TWO_DEVICES)}", f"--probe_options={json.dumps(TWO_DEVICES)}"]
    command = [sys.executable, "-m", "projects.image.sweep", *table, *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, cwd=ROOT, env=environment, timeout=240, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("1 of 1 runs are recorded") == 1  # one process swept
    folder = tmp_path / "out/base/rrc_rq/seed3"
    for run, protocol in {folder: "kNN", folder / "linear": "linear probe"}.items():
        log = (run / "log.txt").read_text()
        assert log.count("python -m projects.image") == log.count("recorded in") == 1
        assert {record.protocol for record in read_records(run / "results.json")} == {protocol}
        assert len(list((run / "logs").glob("version_*"))) == 1
    (record,) = read_records(folder / "results.json")
    assert record.config["pretraining"]["batch_size"] == 8  # the joint one of two processes


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seeds=[3,3]"], "seeds [3, 3]: a value appears twice"),
        (["--seeds=[]"], "seeds: name at least one"),
        (["--options=[--trainer.num_nodes=2]"], "trainer.num_nodes 2: a sweep runs on one node at a time"),
        (["--probe_options=[--trainer.num_nodes=2]"], "--list_only true"),
    ],
)
def test_what_would_fail_later_is_refused_before_anything_runs(table, tmp_path, capsys, words, message):
    assert main([*table, *words]) == 2
    assert message in capsys.readouterr().err
    assert not list((tmp_path / "out").rglob("log.txt"))


def test_runs_on_several_nodes_are_listed(table, capsys):
    (line,) = printed(capsys, *table, "--options=[--trainer.num_nodes=2]", "--probe_options=[--trainer.num_nodes=2]")
    assert line.count("--trainer.num_nodes=2") == 2

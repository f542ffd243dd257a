"""Sweeps over a table: every cell once, resumable, and the command lines that they stand for."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml

from octree.midnet import MIDNet, MIDNetConfig
from octree.pretrained import describe, load_pretrained
from pcrq.checkpoint import weights_digest
from pcrq.stores.shape_store import ShapeStoreWriter
from projects.cli import main as pcrq
from projects.point_cloud.classify import Classification
from projects.point_cloud.sweep import CLASSIFY, SEGMENT, _Pretraining
from projects.training import sweep
from projects.training.records import read_records

pytestmark = pytest.mark.medium

NETWORK = {"depth": 4, "full_depth": 1, "width": 16, "blocks": 1, "nempty": True}
CONFIGS = Path(__file__).parents[3] / "projects/point_cloud/configs"
classify, segment = CLASSIFY.main, SEGMENT.main


@pytest.fixture
def table(parts_path, pretrained_path, tmp_path):
    """The words that describe a small table; further options can follow."""
    fit = {
        "data": {"workers": 0, "batch_size": 4},
        "model": {"network": NETWORK, "schedule": {"iterations": 4}},
        "trainer": {"accelerator": "cpu"},
    }
    (tmp_path / "fit.yaml").write_text(yaml.safe_dump(fit))
    (tmp_path / "lin.yaml").write_text(yaml.safe_dump({"schedule": {"iterations": 20}, "device": "cpu"}))
    return [
        *(f"--store={parts_path}", f"--out={tmp_path / 'out'}", f"--pretrained.Ours={pretrained_path}"),
        *("--ratios=[0.1,1.0]", "--seeds=[0,1]", f"--protocols.scratch={tmp_path / 'fit.yaml'}"),
        f"--protocols.ft={tmp_path / 'fit.yaml'}",
    ]


def with_lin(table, tmp_path):
    return [*table, f"--protocols.lin={tmp_path / 'lin.yaml'}"]


def recorded(out):
    records = [record for file in sorted(out.rglob("results.json")) for record in read_records(file)]
    return sorted((r.protocol, r.method, r.ratio, r.seed, r.config.get("category", "")) for r in records)


def test_every_cell_is_recorded_once_and_checkpoints_go(table, tmp_path):
    assert classify(with_lin(table, tmp_path)) == 0
    rows = [("ft", "Ours"), ("kNN", "Ours"), ("lin", "Ours"), ("scratch", "scratch")]
    expected = [(*row, ratio, seed, "") for row in rows for ratio in (0.1, 1.0) for seed in (0, 1)]
    assert recorded(tmp_path / "out") == sorted(expected)
    assert not list((tmp_path / "out").rglob("*.ckpt"))


def test_what_is_recorded_is_not_run_again_and_a_table_can_grow(table, tmp_path, monkeypatch):
    classify(table)
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "out").rglob("results.json")}
    ran = []
    monkeypatch.setattr(sweep, "run_cell", lambda cell, *_: ran.append(cell.folder) or "not run")
    assert classify(table) == 0 and not ran
    assert classify([*table, "--seeds=[0,1,2]"]) == 1
    assert len(ran) == 4 and all(folder.name == "seed2" for folder in ran)
    assert {file: file.stat().st_mtime_ns for file in before} == before


@pytest.fixture
def pretraining(tmp_path):
    """A small config of 'pcrq pretrain shapes'."""
    config = {
        "data": {"workers": 0, "batch_size": 4},
        "model": {"network": NETWORK},
        "trainer": {"accelerator": "cpu", "max_epochs": 1},
        "knn": {"every_n_epochs": 0},
    }
    (tmp_path / "pre.yaml").write_text(yaml.safe_dump(config))
    return tmp_path / "pre.yaml"


def test_a_network_is_pretrained_for_every_seed_before_it_is_evaluated(table, pretraining, tmp_path, monkeypatch):
    words = [*with_lin(table, tmp_path), f"--pretrain.New={pretraining}", "--ratios=[1.0]"]
    assert classify([*words, "--keep_checkpoints=true"]) == 0
    networks = [tmp_path / f"out/pretrain/new/seed{seed}/checkpoints/last.ckpt" for seed in (0, 1)]
    digests = [weights_digest(load_pretrained(path)) for path in networks]
    records = [r for file in (tmp_path / "out").rglob("results.json") for r in read_records(file)]
    found = {(r.protocol, r.method, r.seed): r.config.get("weights") for r in records}
    assert [found["lin", "New", seed] for seed in (0, 1)] == digests and digests[0] != digests[1]
    assert {("ft", "New", 0), ("ft", "New", 1), ("ft", "Ours", 0), ("scratch", "scratch", 0)} <= set(found)

    ran = []
    monkeypatch.setattr(sweep, "run_cell", lambda cell, *_: ran.append(cell.folder))
    assert classify(words) == 0 and not ran
    networks[1].unlink()  # of a measured network: not needed any more
    assert classify(words) == 0 and not ran


@pytest.mark.parametrize(("epochs", "is_done"), [(2, True), (3, False)])
def test_a_pretraining_is_done_after_its_last_epoch(tmp_path, epochs, is_done):
    cell = _Pretraining(tmp_path, "projects.point_cloud.pretrain", (), (), 1, epochs=epochs)
    assert not cell.is_recorded
    (tmp_path / "checkpoints").mkdir()
    torch.save({"epoch": 1}, tmp_path / "checkpoints/last.ckpt")
    assert cell.is_recorded == is_done


def test_the_commands_of_a_pretrained_network_are_one_line(table, pretraining, tmp_path, capsys):
    words = [*table, f"--pretrain.New={pretraining}", "--pretrained={}", "--list_only=true", "--seeds=[0]"]
    assert classify(words) == 0
    *scratch, line = capsys.readouterr().out.splitlines()
    modules = [shlex.split(command)[2].rpartition(".")[2] for command in line.split(" && ")]
    assert modules == ["pretrain", "classify", "classify"] and len(scratch) == 2


def test_a_name_stands_for_one_network(table, pretraining, capsys):
    assert classify([*table, f"--pretrain.Ours={pretraining}"]) == 2
    assert "'Ours'" in capsys.readouterr().err


def test_a_longer_list_of_ratios_reaches_the_run_that_measures_all_of_them(table, tmp_path):
    words = [*with_lin(table, tmp_path), "--seeds=[0]"]
    classify([*words, "--ratios=[1.0]"])
    assert classify([*words, "--ratios=[0.5,1.0]"]) == 0
    assert {row[2] for row in recorded(tmp_path / "out") if row[0] == "lin"} == {0.5, 1.0}


def test_two_at_once_train_the_same_networks_as_one_after_the_other(table, tmp_path):
    options = ["--seeds=[0]", "--keep_checkpoints=true"]
    classify([*table, *options])
    classify([*table, *options, "--jobs=2", f"--out={tmp_path / 'two'}"])
    one, two = (sorted((tmp_path / out).rglob("*.ckpt")) for out in ("out", "two"))
    assert len(one) == len(two) == 4
    for first, second in zip(one, two, strict=True):
        first, second = (torch.load(path, weights_only=True)["state_dict"] for path in (first, second))
        assert all(torch.equal(first[name], second[name]) for name in first)


def test_processes_are_spread_over_the_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    for name, visible, gpu in (("LokyProcess-6", "", "2"), ("LokyProcess-2", "5,7", "5"), ("MainProcess", "", "")):
        sweep._choose_gpu.cache_clear()
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        monkeypatch.setattr(sweep.multiprocessing.current_process(), "_name", name)
        sweep._choose_gpu()
        assert os.environ["CUDA_VISIBLE_DEVICES"] == gpu
    sweep._choose_gpu.cache_clear()


@pytest.mark.parametrize(
    ("words", "gpus", "alone"),
    [
        (["--config=one.yaml"], 8, True),
        (["--config=one.yaml", "--trainer.devices=2"], 0, False),
        (["--config=one.yaml", "--trainer.devices", "2"], 0, False),
        (["--config=one.yaml", "--trainer={devices: 2}"], 0, False),
        (["--trainer.devices=2", "--config=one.yaml"], 0, True),  # the later word counts
        (["--config", "eight.yaml"], 8, False),
        (["--config=eight.yaml", "--config=one.yaml"], 8, True),
        (["--config=one.yaml", "--config=eight.yaml"], 8, False),
        (["--config=eight.yaml", "--trainer.devices=1"], 8, True),
        (["--config=neither.yaml"], 8, False),  # Lightning takes all
        (["--config=neither.yaml"], 1, True),
        (["--config=neither.yaml", "--trainer.accelerator=cpu"], 8, True),
        (["--config=one.yaml", "--trainer.devices=auto"], 8, False),
        (["--config=one.yaml", "--trainer.devices=-1"], 8, False),
        (["--config=one.yaml", "--trainer.max_epochs=["], 8, True),
    ],
)
def test_runs_on_one_device_stay_in_the_process(words, gpus, alone, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, devices in {"one": {"devices": 1}, "eight": {"devices": 8, "strategy": "ddp"}, "neither": {}}.items():
        Path(f"{name}.yaml").write_text(yaml.safe_dump({"trainer": {"max_epochs": 1, **devices}}))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    places = []
    monkeypatch.setattr(sweep, "run_in_own_process", lambda *_: places.append("apart") or 0)
    module = SimpleNamespace(main=len)
    monkeypatch.setattr(sweep.importlib, "import_module", lambda _: places.append("here") or module)
    with (tmp_path / "log.txt").open("w") as file:
        sweep.run_here(sweep.Cell(tmp_path, "some.module", tuple(words), (), 1), file)
    assert places == ["here" if alone else "apart"]


def test_a_segmentation_table_has_a_network_per_category(table, tmp_path):
    assert segment([*table, "--ratios=[1.0]", "--seeds=[0]"]) == 0
    rows = [("ft", "Ours"), ("scratch", "scratch")]
    expected = [(*row, 1.0, 0, name) for row in rows for name in ("flat", "tall") for _metric in range(2)]
    assert recorded(tmp_path / "out") == sorted(expected)


def test_a_cell_that_fails_is_named_and_does_not_stop_the_others(table, tmp_path, monkeypatch, capsys):
    original = Classification.training_step

    def failing(self, batch, batch_idx):
        if self.start.protocol == "ft" and self.seed == 1:
            raise RuntimeError("the coffee is cold")
        return original(self, batch, batch_idx)

    monkeypatch.setattr(Classification, "training_step", failing)
    assert classify([*table, "--ratios=[1.0]"]) == 1
    error = capsys.readouterr().err
    assert "ft/ours/ratio1.0/seed1: RuntimeError: the coffee is cold" in error.replace("\n", " ")
    assert len(recorded(tmp_path / "out")) == 3
    assert "Traceback" in (tmp_path / "out/ft/ours/ratio1.0/seed1/log.txt").read_text()
    monkeypatch.setattr(Classification, "training_step", original)
    assert classify([*table, "--ratios=[1.0]"]) == 0
    assert len(recorded(tmp_path / "out")) == 4


def test_an_interrupted_sweep_goes_on(table, tmp_path, monkeypatch):
    original, steps = Classification.training_step, []

    def interrupted(self, batch, batch_idx):
        steps.append(batch_idx)
        if len(steps) == 6:
            raise KeyboardInterrupt
        return original(self, batch, batch_idx)

    monkeypatch.setattr(Classification, "training_step", interrupted)
    assert classify([*table, "--ratios=[1.0]", "--seeds=[0]"]) == 130
    assert len(recorded(tmp_path / "out")) == 1
    assert classify([*table, "--ratios=[1.0]", "--seeds=[0]"]) == 0
    assert len(recorded(tmp_path / "out")) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["--jobs=1"],
        ["--jobs=2"],
        pytest.param(
            ["--options=['--trainer.devices=2', '--trainer.strategy=ddp', '--model.schedule.iterations=1000000']"],
            marks=pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="needs gloo"),
        ),
    ],
    ids=["one", "two at once", "on two devices"],
)
def test_sigterm_ends_a_sweep_with_all_its_processes(table, tmp_path, words):
    command = [sys.executable, "-m", "projects.cli", "sweep", "classify", *table, "--ratios=[1.0]", "--seeds=[0]"]
    command += ["--options=['--model.schedule.iterations=1000000']", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    expected = 2 if "--jobs=2" in words else 1
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        wait_until(lambda: len(list((tmp_path / "out").rglob("config.yaml"))) == expected)
        process.terminate()
        assert "interrupted; " in process.communicate(timeout=60)[1] and process.returncode == 130
        wait_until(lambda: not is_alive(process.pid))
    finally:
        if is_alive(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
    assert len(list((tmp_path / "out").rglob("log.txt"))) == expected


def wait_until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def is_alive(group):
    """Whether a group of processes has any."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_the_listed_commands_are_the_cells(table, tmp_path, capsys):
    assert classify([*table, "--ratios=[1.0]", "--seeds=[0]", "--list_only=true"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and not list((tmp_path / "out").rglob("results.json"))
    python, *words = shlex.split(lines[0])
    assert python == "python"
    subprocess.run([sys.executable, *words], check=True, timeout=120, capture_output=True)
    assert [row[0] for row in recorded(tmp_path / "out")] == ["scratch"]
    assert classify([*table, "--ratios=[1.0]", "--seeds=[0]", "--list_only=true"]) == 0
    assert capsys.readouterr().out.splitlines() == lines[1:]


def test_another_network_or_configuration_in_the_same_folder_is_refused(table, tmp_path, capsys):
    classify([*table, "--ratios=[1.0]", "--seeds=[0]"])
    fit = yaml.safe_load((tmp_path / "fit.yaml").read_text())
    fit["model"]["schedule"]["iterations"] = 5
    (tmp_path / "fit.yaml").write_text(yaml.safe_dump(fit))
    assert classify(table) == 2
    assert "another config of" in capsys.readouterr().err


def test_every_seed_can_have_its_own_pretraining(table, pretrained_path, tmp_path, capsys):
    options = ["--list_only=true", f"--pretrained={{'Ours': '{pretrained_path.parent}/{{seed}}.ckpt'}}"]
    assert classify([*table, *options]) == 2
    assert f"{pretrained_path.parent}/0.ckpt" in capsys.readouterr().err
    for seed in (0, 1):
        (pretrained_path.parent / f"{seed}.ckpt").write_bytes(pretrained_path.read_bytes())
    assert classify([*table, *options]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "pretrained" in line]
    assert all(("0.ckpt" in line) == ("--seed=0" in line) for line in lines) and len(lines) == 4


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--ratios=[0]"], "ratio 0"),
        (["--seeds=[]"], "seeds"),
        (["--jobs=0"], "jobs"),
        (["--seeds=[0,1,0]"], "seeds [0, 1, 0]"),
        (["--ratios=[0.1,1,1.0]"], "ratios [0.1, 1.0, 1.0]"),
        (["--options=['--trainer.num_nodes=2']"], "--list_only true"),
        (["--options=['--trainer.devices=4', '--trainer.accelerator=gpu']", "--jobs=2"], "every run gets one GPU"),
        (["--protocols.lin=nowhere.yaml"], "nowhere.yaml"),
        (["--protocols.probe=nowhere.yaml"], "protocols"),
        (["--pretrained.Ours=nowhere.ckpt"], "nowhere.ckpt"),
        (["--store=nowhere.h5"], "nowhere.h5"),
        (["--pretrained={}"], "pretrained"),
        (["--pretrained={'30 bins': 'x.ckpt', '30-bins': 'y.ckpt'}"], "pretrained"),
        ([f"--protocols.lin={CONFIGS / 'modelnet40.yaml'}"], "a config of a training, not of an evaluation"),
    ],
)
def test_bad_options_are_named_before_anything_runs(table, tmp_path, capsys, monkeypatch, options, word):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    try:
        status = classify([*table, *options])
    except SystemExit as stop:
        status = stop.code
    assert status == 2
    error = capsys.readouterr().err.splitlines()
    assert error[-1].startswith("pcrq sweep classify: error: ") and word in error[-1]
    assert not list((tmp_path / "out").rglob("results.json"))


def test_a_category_without_shapes_is_no_part_of_the_table(table, make_shape, tmp_path, capsys):
    path = tmp_path / "one.h5"
    with ShapeStoreWriter(path, classes=["a", "b"], parts=["a/x", "a/y", "b/x"]) as writer:
        for index in range(4):
            writer.append(make_shape(index, category=0, split="train" if index < 2 else "test"))
    assert segment([*table, f"--store={path}", "--ratios=[1.0]", "--seeds=[0]", "--list_only=true"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and all("--data.category=a" in line for line in lines)


@pytest.mark.parametrize("content", ["[1]", "{", "7"])
def test_a_damaged_note_of_a_sweep_is_named(table, tmp_path, capsys, content):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/sweep.json").write_text(content)
    assert classify(table) == 2
    assert "sweep.json" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["table6", "table7"])
def test_the_tables_of_the_paper_name_configurations_that_exist(name):
    values = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
    assert values["ratios"] == [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0]
    assert set(values["pretrained"]) == {"MID", "MID + quantization"}
    for name in values["protocols"].values():
        assert (CONFIGS / f"{name}.yaml").exists()


@pytest.mark.parametrize("name", ["tiny_table6", "tiny_table7", "modelnet10"])
def test_the_small_tables_run_by_name_from_any_folder(name, parts_path, tmp_path, monkeypatch):
    """The config as it is, on a few shapes and with a network of its architecture."""
    monkeypatch.chdir(tmp_path)
    network = MIDNet(MIDNetConfig(depth=5, width=32, blocks=1, nempty=True))
    weights = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    torch.save({"midnet": describe(network), "state_dict": weights}, tmp_path / "last.ckpt")
    options = [f"--store={parts_path}", f"--out={tmp_path / 'out'}", "--seeds=[0]", "--ratios=[1.0]", "--jobs=1"]
    options += [f"--pretrained={{'MID': '{tmp_path}/last.ckpt'}}"]
    options += [] if name == "tiny_table7" else ["--pretrain={}"]
    options += ["--options=['--trainer.max_steps=1', '--trainer.accelerator=cpu', '--data.batch_size=2']"]
    assert pcrq(["sweep", "--config", name, *options]) == 0
    nearest = set() if name == "tiny_table7" else {"kNN"}
    assert {row[0] for row in recorded(tmp_path / "out")} == {"scratch", "lin", "ft"} | nearest


@pytest.mark.slow
def test_a_dask_cluster_gives_the_same_results(table, tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed")
    words = [*table, "--ratios=[1.0]", "--seeds=[0]"]
    classify(words)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    options = {"n_workers": 2, "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": None}
    with distributed.LocalCluster(**options, local_directory=tmp_path / "dask") as cluster:
        address = cluster.scheduler_address.replace("tcp", "dask")
        assert classify([*words, f"--out={tmp_path / 'cluster'}", f"--scheduler={address}"]) == 0
    for file in sorted((tmp_path / "out").rglob("results.json")):
        (here,) = read_records(file)
        (there,) = read_records(tmp_path / "cluster" / file.relative_to(tmp_path / "out"))
        assert (here.key, here.value) == (there.key, there.value)
    assert len(recorded(tmp_path / "cluster")) == 2

"""Classification as a user runs it: protocols, few labels, resuming, records, and bad input."""

import json
import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from refusals import assert_refused
from run_folder import assert_equal_ends, saved
from sklearn.metrics import accuracy_score

from octree.pretrained import load_pretrained
from pcrq.evaluation.linear_probe import LabelledFeatures, sgd_probe
from pcrq.stores.shape_store import Shape, ShapeStore, ShapeStoreWriter
from projects.point_cloud import evaluate
from projects.point_cloud.classify import Classification, classification_data, main
from projects.point_cloud.fine_tuning import Schedule
from projects.training.records import read_records

pytestmark = pytest.mark.medium

NETWORK = "--model.network={depth: 4, full_depth: 1, width: 16, blocks: 1, nempty: true}"
SMALL = [
    *("--data.workers=0", "--data.batch_size=4", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"),
    *("--model.schedule.iterations=20", "--trainer.log_every_n_steps=1"),
]
CONFIGS = Path(__file__).parents[3] / "projects/point_cloud/configs"


def fit(store, run, *options):
    return main([f"--data.store={store}", f"--out={run}", *SMALL, *options])


def scratch(store, run, *options):
    return fit(store, run, "--model.protocol=scratch", NETWORK, *options)


def test_flat_and_tall_ellipsoids_are_learned_and_recorded(parts_path, tmp_path, capsys):
    assert scratch(parts_path, tmp_path) == 0
    (record,) = read_records(tmp_path / "results.json")
    assert record.value == 1.0
    assert (record.task, record.method, record.protocol) == ("shape classification", "scratch", "scratch")
    assert (record.train_samples, record.test_samples, record.ratio) == (12, 8, 1.0)
    assert record.digest == ShapeStore(parts_path).digest
    assert record.config["steps"] == 20 and record.config["weights"] == ""
    error = capsys.readouterr().err
    assert "accuracy: 100.0 %" in error and f"next: pcrq report {tmp_path}" in error


def test_fine_tuning_starts_from_the_pretrained_network_and_names_it(parts_path, pretrained_path, tmp_path):
    fit(parts_path, tmp_path, f"--model.pretrained={pretrained_path}", "--model.schedule.learning_rate=1e-12")
    (record,) = read_records(tmp_path / "results.json")
    assert (record.method, record.protocol) == ("MID + quantization", "ft")
    backbone = load_pretrained(pretrained_path).backbone.state_dict()
    trained = saved(tmp_path)["state_dict"]
    for name, tensor in backbone.items():
        if "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(trained[f"network.backbone.{name}"], tensor)


def test_batch_normalization_is_that_of_the_pretrained_network_or_of_the_options(parts_path, pretrained_path, tmp_path):
    given = f"--model.network={{{NETWORK.split('{')[1][:-1]}, bn_momentum: 0.01, bn_eps: 1.0e-3}}"
    for run, options in {"its": [], "given": [given]}.items():
        fit(parts_path, tmp_path / run, f"--model.pretrained={pretrained_path}", "--trainer.max_steps=3", *options)
    networks = [read_records(tmp_path / run / "results.json")[0].config["network"] for run in ("its", "given")]
    assert [(found["bn_momentum"], found["bn_eps"]) for found in networks] == [(0.1, 1e-5), (0.01, 1e-3)]
    start = load_pretrained(pretrained_path).backbone.front_leaves.bn.running_mean
    moved = [
        (saved(tmp_path / run)["state_dict"]["network.backbone.front_leaves.bn.running_mean"] - start).norm()
        for run in ("its", "given")
    ]
    assert moved[1] < 0.15 * moved[0]  # three steps: 1 - 0.99³ = 0.03 of the way, against 1 - 0.9³ = 0.27


def test_what_is_pretrained_learns_with_a_tenth_of_the_rate(parts_path, pretrained_path, tmp_path):
    rates = {}
    for name, options in {
        "ft": [f"--model.pretrained={pretrained_path}"],
        "scratch": ["--model.protocol=scratch", NETWORK],
    }.items():
        fit(parts_path, tmp_path / name, *options, "--model.schedule.milestones=[]")
        groups = saved(tmp_path / name)["optimizer_states"][0]["param_groups"]
        rates[name] = [(len(group["params"]), group["lr"]) for group in groups]
    (new, rate), (old, slow) = rates["ft"]
    assert (new, rate) == (2, 0.1)  # weight and bias of the linear layer
    assert slow == pytest.approx(0.01) and old > 10
    assert rates["scratch"] == [(2, 0.1), (old, 0.1)]


def test_with_few_labels_only_the_head_is_trained_and_shapes_are_shifted_further(parts_path, pretrained_path, tmp_path):
    fit(parts_path, tmp_path, f"--model.pretrained={pretrained_path}", "--data.ratio=0.05")
    (record,) = read_records(tmp_path / "results.json")
    assert record.train_samples == 2 and record.config["head_only"] and record.config["augmentation"]["shift"] == 0.25
    before, after = load_pretrained(pretrained_path), saved(tmp_path)["state_dict"]
    for name, weight in before.backbone.named_parameters():
        assert torch.equal(after[f"network.backbone.{name}"], weight), name
    for name, weight in before.shape_head.fc1.named_parameters():
        assert not torch.equal(after[f"network.head.fc1.{name}"], weight), name


def test_a_checkpoint_of_an_earlier_version_is_resumed(parts_path, tmp_path):
    scratch(parts_path, tmp_path, "--trainer.max_steps=4")
    path = tmp_path / "checkpoints/last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    augmentation = checkpoint["fine_tuning"].pop("augmentation")
    checkpoint["fine_tuning"]["view"] = {name: augmentation[name] for name in ("angle", "shift", "scale")}
    for name in ("bn_momentum", "bn_eps", "init"):
        del checkpoint["fine_tuning"]["network"][name]
    torch.save(checkpoint, path)
    assert scratch(parts_path, tmp_path, "--trainer.max_steps=4", "--resume=last") == 0
    assert len(read_records(tmp_path / "results.json")) == 1


@pytest.mark.parametrize("stop", [4, 7])
def test_an_interrupted_run_goes_on_and_equals_an_uninterrupted_one(parts_path, tmp_path, monkeypatch, stop):
    options = ("--checkpoint.every_n_train_steps=1", "--trainer.max_steps=12")
    scratch(parts_path, tmp_path / "whole", *options)
    original, steps = Classification.training_step, []

    def interrupted(self, batch, batch_idx):
        steps.append(batch.index.tolist())
        if len(steps) == stop:
            raise KeyboardInterrupt
        return original(self, batch, batch_idx)

    monkeypatch.setattr(Classification, "training_step", interrupted)
    assert scratch(parts_path, tmp_path / "parts", *options) == 130
    assert not (tmp_path / "parts/results.json").exists()
    assert scratch(parts_path, tmp_path / "parts", *options, "--resume=last") == 0
    assert len(steps) == 12 + 1 and steps[stop] == steps[stop - 1]
    assert_equal_ends(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize(
    ("option", "word"),
    [
        ("--model.augmentation.shift=0.5", "augmentation"),
        ("--seed=1", "seed"),
        ("--data.ratio=0.9", "ratio"),
        ("--data.store=other.h5", "store"),
        ("--trainer.precision=bf16-mixed", "precision"),
        ("--data.batch_size=3", "batch_size"),
    ],
)
def test_resuming_in_another_way_is_refused(parts_path, make_shape, tmp_path, monkeypatch, capsys, option, word):
    monkeypatch.chdir(tmp_path)
    with ShapeStoreWriter("other.h5", classes=["a", "b"], parts=["x", "y"]) as writer:
        for index in range(4):
            writer.append(make_shape(index, split="train" if index < 2 else "test"))
    steps = "--trainer.max_steps=10"
    scratch(parts_path, tmp_path, steps)
    before = (tmp_path / "results.json").read_bytes()
    assert scratch(parts_path, tmp_path, steps, "--resume=last", option) == 2
    assert f"another {word}" in capsys.readouterr().err
    assert (tmp_path / "results.json").read_bytes() == before


def test_a_run_that_stops_early_is_not_recorded(parts_path, tmp_path, capsys):
    assert scratch(parts_path, tmp_path, "--trainer.max_time=00:00:00:00") == 2
    assert "of 20 steps" in capsys.readouterr().err
    assert not (tmp_path / "results.json").exists()


def test_the_rate_drops_at_parts_of_the_run(parts_path, tmp_path, monkeypatch):
    original, rates = Classification.training_step, []

    def watched(self, batch, batch_idx):
        rates.append(self.optimizers().param_groups[0]["lr"])
        return original(self, batch, batch_idx)

    monkeypatch.setattr(Classification, "training_step", watched)
    scratch(parts_path, tmp_path)
    assert rates == pytest.approx(8 * [0.1] + 4 * [0.01] + 4 * [1e-3] + 4 * [1e-4])


def test_a_linear_layer_on_features_equals_the_probe(parts_path, pretrained_path, tmp_path):
    options = ["--schedule.iterations=200", "--ratios=[0.1,1.0]", "--seed=3", "--device=cpu"]
    command = [f"--store={parts_path}", f"--checkpoint={pretrained_path}", f"--out={tmp_path}", *options]
    assert evaluate.main(command) == 0
    records = read_records(tmp_path / "results.json")
    assert [(r.ratio, r.protocol) for r in records] == [(0.1, "kNN"), (0.1, "lin"), (1.0, "kNN"), (1.0, "lin")]
    _, few, neighbors, all_labels = records
    assert (few.train_samples, all_labels.train_samples) == (2, 12)
    assert (few.config["steps"], all_labels.config["steps"]) == (40, 200)
    assert (few.method, few.protocol, few.seed) == ("MID + quantization", "lin", 3)

    from octree import embed

    store, network = ShapeStore(parts_path), load_pretrained(pretrained_path)
    train, test = (
        LabelledFeatures(embed(network, store, indices).numpy(), store.category[indices])
        for indices in (store.indices("train"), store.indices("test"))
    )
    expected = sgd_probe(
        train, test, classes=2, steps=200, milestones=(2 / 3,), learning_rate=1.0, weight_decay=5e-7, seed=3
    )
    assert all_labels.value == expected
    assert (neighbors.metric, neighbors.train_samples) == ("kNN accuracy", 12)
    before = (tmp_path / "results.json").read_bytes()
    assert evaluate.main(command) == 0
    assert (tmp_path / "results.json").read_bytes() == before


def test_the_five_nearest_labelled_shapes_vote(parts_path, pretrained_path, tmp_path, monkeypatch):
    table, store = np.random.default_rng(2).normal(size=(24, 4)).astype(np.float32), ShapeStore(parts_path)
    monkeypatch.setattr("projects.point_cloud.evaluate.embed", lambda *args, **_: torch.from_numpy(table[args[2]]))
    options = ["--schedule.iterations=2", "--ratios=[1.0]", "--device=cpu"]
    assert (
        evaluate.main([f"--store={parts_path}", f"--checkpoint={pretrained_path}", f"--out={tmp_path}", *options]) == 0
    )
    unit = table / np.linalg.norm(table, axis=1, keepdims=True)
    train, test = store.indices("train"), store.indices("test")
    correct = {1: 0, 5: 0}
    for k, query in product(correct, test):
        cosine = unit[train] @ unit[query]
        nearest = np.argsort(-cosine)[:k]
        votes = np.bincount(store.category[train][nearest], np.exp(cosine[nearest] / 0.1), minlength=2)
        correct[k] += votes.argmax() == store.category[query]
    assert correct[1] != correct[5], "the features distinguish the two"
    assert read_records(tmp_path / "results.json")[0].value == correct[5] / len(test)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ([], "--model.pretrained"),
        (["--model.pretrained=nowhere.ckpt"], "nowhere.ckpt"),
        (["--model.protocol=scratch", "--data.ratio=0"], "ratio"),
        (["--model.protocol=scratch", "--data.ratio=1.5"], "ratio"),
        (["--model.protocol=lin"], "lin"),
        (["--model.protocol=other"], "protocol"),
        (["--model.protocol=scratch", "--data.store=nowhere.h5"], "nowhere.h5"),
        (["--model.protocol=scratch", "--model.schedule.iterations=0"], "iterations"),
        (["--model.protocol=scratch", "--model.schedule.milestones=[2]"], "milestones"),
        (["--model.protocol=scratch", "--model.schedule.multiples=[[0.1, 2], [0.02, 4]]"], "multiples"),
        (["--model.protocol=scratch", "--model.augmentation.scale=2"], "scale"),
        (["--model.protocol=scratch", "--trainer.max_steps=0"], "max_steps"),
        ([f"--config={CONFIGS / 'table6.yaml'}"], "table6.yaml: a config of a sweep, not of a training"),
    ],
)
def test_bad_options_are_named_in_one_line(parts_path, tmp_path, capsys, options, word):
    assert_refused(capsys, "pcrq classify", word, lambda: fit(parts_path, tmp_path, *options))


def test_a_checkpoint_of_another_architecture_is_refused(parts_path, pretrained_path, tmp_path, capsys):
    wide = NETWORK.replace("16", "32")
    assert fit(parts_path, tmp_path, f"--model.pretrained={pretrained_path}", wide) == 2
    assert "'width': 16" in capsys.readouterr().err


def test_a_store_without_test_shapes_is_refused(make_shape, tmp_path, capsys):
    path = tmp_path / "store.h5"
    with ShapeStoreWriter(path, classes=["a", "b"], parts=["x", "y"]) as writer:
        for index in range(4):
            writer.append(make_shape(index, split="train"))
    assert scratch(path, tmp_path / "run") == 2
    assert "no shapes of the split 'test'" in capsys.readouterr().err


def test_the_configuration_of_the_paper_holds_its_values_and_runs(parts_path, tmp_path):
    path = CONFIGS / "modelnet40.yaml"
    assert yaml.safe_load(path.read_text())["data"]["batch_size"] == 32
    options = ["--data.workers=0", "--data.batch_size=2", "--trainer.max_steps=1", "--trainer.accelerator=cpu"]
    command = ["--config", "modelnet40", f"--data.store={parts_path}", f"--out={tmp_path}", "--data.ratio=0.2"]
    assert main([*command, *options, "--trainer.enable_progress_bar=false"]) == 0
    config = read_records(tmp_path / "results.json")[0].config
    sizes = {"depth": 6, "full_depth": 2, "width": 128, "blocks": 3, "nempty": False}
    tensorflow = {"bn_momentum": 0.01, "bn_eps": 1e-3, "init": "xavier"}
    assert config["network"] == {**sizes, "shape_channels": 128, "point_channels": 64, **tensorflow}
    assert config["augmentation"] == {"angle": 5, "shift": 0.125, "scale": 0.25, "uniform_scale": True}
    optimizer = saved(tmp_path)["optimizer_states"][0]["param_groups"][0]
    assert (optimizer["momentum"], optimizer["weight_decay"]) == (0.9, 5e-4)


def test_steps_follow_the_published_schedules():
    ratios = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0]  # of O-CNN's run_cls_cmd.py, with its multiples
    fine_tuning = [int(100_000 * ratio * m) for ratio, m in zip(ratios, [4, 4, 2, 1, 1, 1, 1], strict=True)]
    linear = [int(300_000 * ratio * m) for ratio, m in zip(ratios, [4, 4, 2, 2, 1, 1, 1], strict=True)]
    schedule = Schedule(**yaml.safe_load((CONFIGS / "modelnet40.yaml").read_text())["model"]["schedule"])
    lin = yaml.safe_load((CONFIGS / "modelnet40_lin.yaml").read_text())["schedule"]
    assert [schedule.steps(ratio) for ratio in ratios] == fine_tuning
    assert [Schedule(**lin).steps(ratio) for ratio in ratios] == linear
    assert [evaluate.LINEAR_SCHEDULE.steps(ratio) for ratio in ratios] == linear
    assert Schedule(iterations=100, least_iterations=30).steps(0.1) == 30


def test_the_help_lists_the_options(capsys):
    assert main(["--help"]) == 0
    assert "--model.pretrained" in capsys.readouterr().out
    assert evaluate.main(["--help"]) == 0
    assert "--checkpoint" in capsys.readouterr().out


def test_results_are_json_that_other_programs_read(parts_path, tmp_path):
    scratch(parts_path, tmp_path, "--trainer.max_steps=1")
    assert json.loads((tmp_path / "results.json").read_text())["records"][0]["metric"] == "accuracy"


def test_the_recorded_accuracy_is_that_of_scikit_learn(parts_path, tmp_path, monkeypatch):
    original, labels, guesses = Classification.test_step, [], []

    def watched(self, batch, batch_idx):
        labels.extend(batch.category.tolist())
        guesses.extend(self.network(batch).argmax(dim=1).tolist())
        return original(self, batch, batch_idx)

    monkeypatch.setattr(Classification, "test_step", watched)
    scratch(parts_path, tmp_path, "--data.batch_size=3", "--trainer.max_steps=2", "--data.ratio=0.1")
    assert len(labels) == 8
    assert read_records(tmp_path / "results.json")[0].value == pytest.approx(accuracy_score(labels, guesses))


def test_a_store_with_the_classes_of_modelnet40_gives_the_published_subsets(tmp_path):
    """9,843 training shapes give 4,932 for one half; O-CNN's 4,931 is of the 9,842 that its preparation kept."""
    sizes = [626, 106, 515, 173, 572, 335, 64, 197, 889, 167, 79, 138, 200, 109, 200, 149, 171, 155, 145, 124]
    sizes += [149, 284, 465, 200, 88, 231, 240, 104, 115, 128, 680, 124, 90, 392, 163, 344, 267, 475, 87, 103]
    up = np.array([[0.0, 1.0, 0.0]])
    with ShapeStoreWriter(tmp_path / "m40.h5", classes=[str(c) for c in range(40)], patches=False) as writer:
        for category, size in enumerate(sizes):
            for number in range(size):
                writer.append(Shape(up, up, f"{category}/{number:04d}", category, "train"))
        writer.append(Shape(up, up, "test", 0, "test"))
    published = {0.01: 116, 0.02: 214, 0.05: 511, 0.1: 1000, 0.2: 1980, 0.5: 4932, 1.0: 9843}
    for ratio, count in published.items():
        data = classification_data(tmp_path / "m40.h5", ratio)
        assert len(data.train) == count
        chosen = {data.store.id[index] for index in data.train}
        first = {
            f"{c}/{number:04d}" for c, size in enumerate(sizes) for number in range(math.ceil(ratio * size - 1e-9))
        }
        assert chosen == first

"""Segmentation as a user runs it: protocols, subsets, records, and bad input."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from sklearn.metrics import jaccard_score

from octree import PartSegmenter, load_pretrained
from pcrq.stores.shape_store import ShapeStore, ShapeStoreWriter
from projects.point_cloud.segment import main, segmentation_data
from projects.training.records import read_records

pytestmark = pytest.mark.medium

NETWORK = "--model.network={depth: 4, full_depth: 1, width: 16, blocks: 1, nempty: true}"
SMALL = [
    *("--data.workers=0", "--data.batch_size=4", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"),
    *("--model.schedule.iterations=25", "--trainer.log_every_n_steps=1"),
]
CONFIGS = Path(__file__).parents[3] / "projects/point_cloud/configs"


def fit(store, run, *options, category="tall"):
    return main([f"--data.store={store}", f"--data.category={category}", f"--out={run}", *SMALL, *options])


def scratch(store, run, *options, **names):
    return fit(store, run, "--model.protocol=scratch", NETWORK, *options, **names)


def test_halves_of_ellipsoids_are_learned_and_recorded(parts_path, tmp_path):
    assert scratch(parts_path, tmp_path) == 0
    present, all_parts = read_records(tmp_path / "results.json")
    assert 0.8 < present.value <= 1
    assert (present.metric, all_parts.metric) == ("mIoU", "mIoU, absent parts count 1")
    assert (present.task, present.protocol) == ("part segmentation", "scratch")
    assert (present.train_samples, present.test_samples) == (8, 4)  # half of 12 + 4, and of 8
    assert (present.config["category"], present.config["categories"]) == ("tall", 2)


def test_the_recorded_iou_is_that_of_scikit_learn(parts_path, tmp_path, monkeypatch):
    original, shapes = PartSegmenter.forward, []

    def watched(self, batch):
        logits = original(self, batch)
        if not self.training:
            for shape in range(batch.batch_size):
                mine = batch.batch_id == shape
                label, guess = batch.labels[mine].numpy(), logits.argmax(dim=1)[mine].numpy()
                shapes.append(jaccard_score(label, guess, labels=np.unique(label), average="macro"))
        return logits

    monkeypatch.setattr(PartSegmenter, "forward", watched)
    scratch(parts_path, tmp_path, "--data.batch_size=3", "--trainer.max_steps=4")
    assert len(shapes) == 4
    assert read_records(tmp_path / "results.json")[0].value == pytest.approx(np.mean(shapes), abs=1e-6)


@pytest.mark.parametrize("protocol", ["lin", "ft"])
def test_lin_freezes_the_backbone_and_ft_does_not(parts_path, pretrained_path, tmp_path, protocol):
    fit(parts_path, tmp_path, f"--model.protocol={protocol}", f"--model.pretrained={pretrained_path}")
    before = load_pretrained(pretrained_path).backbone
    after = torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    same = [torch.equal(after[f"network.backbone.{name}"], weight) for name, weight in before.named_parameters()]
    assert all(same) if protocol == "lin" else not any(same)
    assert after["network.head.out.weight"].shape == (2, 32)  # two parts of this category, not four of the store
    assert read_records(tmp_path / "results.json")[0].method == "MID + quantization"


@pytest.mark.parametrize("ratio", [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0])
def test_labels_are_the_first_of_the_training_and_then_the_validation_list(parts_path, ratio):
    data = segmentation_data(parts_path, "flat", ratio)
    lists = [index for index in range(16) if index % 2 == 0]  # flat ones, 0 to 11 train, 12 to 15 val
    assert data.train.tolist() == lists[: math.ceil(ratio * 8)]
    assert data.test.tolist() == [16, 18, 20, 22]


def test_validation_shapes_come_after_all_training_shapes_wherever_they_stand(make_shape, tmp_path):
    path = tmp_path / "store.h5"
    with ShapeStoreWriter(path, classes=["a"], parts=["a/x", "a/y"]) as writer:
        for index, split in enumerate(["val", "train", "test", "train"]):
            writer.append(make_shape(index, category=0, split=split))
    assert segmentation_data(path, "a").train.tolist() == [1, 3, 0]
    assert segmentation_data(path, "a", ratio=0.5).train.tolist() == [1, 3]


@pytest.mark.parametrize(
    ("options", "category", "word"),
    [
        (["--model.protocol=scratch"], "round", "flat, tall"),
        (["--model.protocol=lin"], "tall", "--model.pretrained"),
        (["--model.protocol=scratch", "--data.ratio=2"], "tall", "ratio"),
        (["--model.protocol=scratch", "--data.store=nowhere.h5"], "tall", "nowhere.h5"),
    ],
)
def test_bad_options_are_named_in_one_line(parts_path, tmp_path, capsys, options, category, word):
    assert fit(parts_path, tmp_path, *options, category=category) == 2
    error = capsys.readouterr().err.splitlines()
    assert error[-1].startswith("pcrq segment: error: ") and word in error[-1]
    assert not any("Traceback" in line for line in error)


def test_a_store_without_parts_of_categories_is_refused(store_path, tmp_path, capsys):
    assert scratch(store_path, tmp_path) == 2  # its parts are called "low" and "high"
    assert "category/part" in capsys.readouterr().err


@pytest.mark.parametrize("workers", [0, 1])
def test_a_point_with_a_part_of_another_category_is_named_in_one_line(make_shape, tmp_path, capsys, workers):
    path = tmp_path / "store.h5"
    with ShapeStoreWriter(path, classes=["a", "b"], parts=["a/x", "a/y", "b/x"]) as writer:
        for index, split in enumerate(["train", "train", "test"]):
            shape = make_shape(index, category=0, split=split)
            writer.append(replace(shape, labels=shape.labels + (index == 1)))
    assert scratch(path, tmp_path / "run", f"--data.workers={workers}", category="a") == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith(f"pcrq segment: error: {path}: shape1 is of category 'a', but a point has the part 'b/x'")


def test_the_configuration_of_the_paper_holds_its_values_and_runs(parts_path, tmp_path):
    options = ["--data.workers=0", "--data.batch_size=2", "--trainer.max_steps=1", "--trainer.accelerator=cpu"]
    command = ["--config", "shapenet_part", f"--data.store={parts_path}", f"--out={tmp_path}"]
    assert main([*command, *options, "--trainer.enable_progress_bar=false", "--data.category=flat"]) == 0
    config = read_records(tmp_path / "results.json")[0].config
    assert config["augmentation"] == {"angle": 5, "shift": 0.125, "scale": 0.125, "uniform_scale": True}
    assert (config["network"]["depth"], config["network"]["width"], config["network"]["nempty"]) == (6, 128, False)
    tensorflow = {"bn_momentum": 0.01, "bn_eps": 1e-3, "init": "xavier"}
    assert {name: config["network"][name] for name in tensorflow} == tensorflow


def test_the_steps_of_every_category_are_the_published_ones(parts_path, tmp_path, monkeypatch):
    values = yaml.safe_load((CONFIGS / "shapenet_part.yaml").read_text())["model"]
    names = "airplane bag cap car chair earphone guitar knife lamp laptop motorbike mug pistol rocket skateboard table"
    published = [20, 3, 3, 10, 20, 3, 10, 5, 10, 5, 5, 5, 5, 3, 5, 20]  # thousands, of O-CNN's run_seg_shapenet_cmd.py
    default = values["schedule"]["iterations"]
    found = [values["category_iterations"].get(name, default) for name in names.split()]
    assert found == [1000 * thousands for thousands in published]
    options = ["--model.category_iterations={tall: 40}", "--data.ratio=0.05", "--model.schedule.multiples=[[0.05, 2]]"]
    scratch(parts_path, tmp_path, *options)
    assert read_records(tmp_path / "results.json")[0].config["steps"] == 4  # 40 · 0.05 · 2


def test_opening_the_data_reads_no_points(parts_path):
    assert ShapeStore(parts_path).parts == ["flat/low", "flat/high", "tall/low", "tall/high"]
    assert segmentation_data(parts_path, "tall").classes == ["tall/low", "tall/high"]

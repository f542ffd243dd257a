"""The linear probe as a user runs it: what it measures, on which encoders, and that the encoder stays as it was."""

import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from refusals import assert_refused
from run_folder import assert_equal_ends, saved
from torch import nn

from pcrq import InputError
from projects.cli import main as pcrq
from projects.image.augmentation import Augmentation
from projects.image.encoder import KEY, Encoder, describe, load_encoder
from projects.image.evaluation import method_name
from projects.image.image_source import IMAGENET_MEAN, IMAGENET_STD
from projects.image.linear_probe import LinearProbe, main
from projects.report.tables import TABLES
from projects.training.records import Record, read_records

pytestmark = pytest.mark.medium

SMALL = [
    *("--data.workers=0", "--data.size=16", "--data.batch_size=4", "--trainer.accelerator=cpu"),
    *("--trainer.enable_progress_bar=false", "--trainer.log_every_n_steps=1"),
]
COLOUR = ["--model.encoder.name=networks_to_probe.MeanColour", "--model.learning_rate=30"]
EPOCHS = "--trainer.max_epochs=3"
STEPS = 4  # an epoch: sixteen pictures, four at a time


class MeanColour(nn.Module):
    """An encoder whose features tell the classes apart: the mean of every colour channel."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=(2, 3))


class Nothing(nn.Module):
    """An encoder whose features are all the same."""

    def __init__(self, feature: float):
        super().__init__()
        self.feature = feature

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.full((len(images), 3), self.feature)


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """This file under a name that an import path can have."""
    monkeypatch.setitem(sys.modules, "networks_to_probe", sys.modules[__name__])


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory) -> Path:
    """A checkpoint that says it was pretrained by BYOL with quantization."""
    torch.manual_seed(0)
    encoder = Encoder("resnet10", 8, "small")
    told = {"framework": "BYOL", "augmentation": vars(Augmentation()), "baseline": "", "epochs": 12}
    state = {f"framework.encoder.{name}": tensor for name, tensor in encoder.build().state_dict().items()}
    path = tmp_path_factory.mktemp("pretrained") / "last.ckpt"
    torch.save({KEY: describe(encoder, IMAGENET_MEAN, IMAGENET_STD, told), "state_dict": state}, path)
    return path


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """A ResNet-18 as moco-v3 publishes its checkpoints."""
    torch.manual_seed(0)
    state = {f"module.base_encoder.{k}": tensor for k, tensor in Encoder("resnet18").build().state_dict().items()}
    path = tmp_path_factory.mktemp("published") / "rrc_randomized_quantization_300ep.pth.tar"
    torch.save({"epoch": 300, "arch": "resnet18", "state_dict": state}, path)
    return path


def fit(root: Path, run: Path, *options: str) -> int:
    return main(["--data.source=folder", f"--data.root={root}", f"--out={run}", *SMALL, EPOCHS, *options])


def only_record(run: Path) -> Record:
    (record,) = read_records(run / "results.json")
    return record


def places(record: Record) -> set[tuple[str, str, str]]:
    """Number, row and column of the paper's tables."""
    found = ((number, table.find(record)) for number, table in TABLES.items())
    return {(number, place.row, place.column) for number, place in found if place is not None}


# --- what is measured -------------------------------------------------------------------------------------------------


def test_colours_are_told_apart_by_an_encoder_of_colours(write_pictures, tmp_path, capsys):
    root = write_pictures(tmp_path / "pictures", classes=4)
    assert fit(root, tmp_path / "run", *COLOUR, "--trainer.max_epochs=5") == 0
    record = only_record(tmp_path / "run")
    assert record.value == 1.0
    assert (record.task, record.protocol, record.metric) == ("image classification", "linear probe", "accuracy")
    assert (record.train_samples, record.test_samples, record.ratio, record.seed) == (32, 16, 1.0, 0)
    assert (record.method, record.config["pretraining"]) == ("untrained", {})
    assert record.config["epochs"] == 5 and record.config["batch_size"] == 4 and record.config["learning_rate"] == 30
    assert record.config["encoder"]["name"] == "networks_to_probe.MeanColour"
    assert "accuracy: 100.0 %" in capsys.readouterr().err


def test_built_in_images_are_probed_and_colour_tells_little_of_them(tmp_path):
    options = ["--data.batch_size=512", "--trainer.max_epochs=1", *COLOUR]
    assert main(["--data.source=builtin", f"--out={tmp_path}", *SMALL, *options]) == 0
    accuracy, top5 = read_records(tmp_path / "results.json")
    assert (accuracy.metric, top5.metric) == ("accuracy", "top-5 accuracy")
    assert 0.03 < accuracy.value < 0.2 and 0.25 < top5.value < 0.6  # of sixteen classes


@pytest.mark.parametrize("classes", [2, 7])
def test_accuracies_are_those_of_counting(write_pictures, tmp_path, monkeypatch, classes):
    original, answers = LinearProbe.test_step, []

    def watched(self, batch, batch_idx):
        answers.extend(zip(self(batch[0]).tolist(), batch[1].tolist(), strict=True))
        return original(self, batch, batch_idx)

    monkeypatch.setattr(LinearProbe, "test_step", watched)
    root = write_pictures(tmp_path / "pictures", classes, train=2, test=5)
    fit(root, tmp_path / "run", *COLOUR, "--data.batch_size=3", "--model.learning_rate=1e-6")  # it learns nothing
    assert [label for _, label in answers] == [label for label in range(classes) for _ in range(5)]
    places = [sorted(scores, reverse=True).index(scores[label]) for scores, label in answers]
    counted = {"accuracy": sum(place < 1 for place in places) / len(places)}
    if classes > 5:
        counted["top-5 accuracy"] = sum(place < 5 for place in places) / len(places)
        assert counted["accuracy"] < counted["top-5 accuracy"] < 1
    measured = {record.metric: record.value for record in read_records(tmp_path / "run/results.json")}
    assert measured == pytest.approx(counted)


@pytest.mark.parametrize("feature", ["0.0", ".nan"], ids=["equal", "not numbers"])
def test_features_that_tell_nothing_have_the_accuracy_of_chance(pictures, tmp_path, feature):
    nothing = ["--model.encoder.name=networks_to_probe.Nothing", f"--model.encoder.arguments={{feature: {feature}}}"]
    fit(pictures, tmp_path, *nothing)
    assert only_record(tmp_path).value == 0.5


def test_test_images_that_cannot_be_read_do_not_count(pictures, tmp_path, capsys):
    """Of the blue ones two are red in truth, and all but one of the red ones are damaged: 3 of 5 are right."""
    root = shutil.copytree(pictures, tmp_path / "pictures")
    for index in (0, 1):
        shutil.copy(root / f"train/red/{index}.png", root / f"test/blue/{index}.png")
    for index in (0, 1, 2):
        (root / f"test/red/{index}.png").write_bytes(b"no image")
    fit(root, tmp_path / "run", *COLOUR, "--trainer.max_epochs=5")
    assert only_record(tmp_path / "run").value == pytest.approx(3 / 5)
    assert f"3 of the 8 images of {root / 'test'} could not be read" in capsys.readouterr().err


def test_the_order_of_work_changes_nothing(pictures, tmp_path):
    for workers in (0, 1):
        fit(pictures, tmp_path / str(workers), *COLOUR, f"--data.workers={workers}")
    ends = [saved(tmp_path / run)["state_dict"]["layer.weight"] for run in "01"]
    assert torch.equal(*ends)


TWO_PROCESSES = f"""
import sys
sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[2] / "support")]!r}
import test_linear_probe
sys.modules["networks_to_probe"] = test_linear_probe

def count(self, batch, batch_idx, original=test_linear_probe.LinearProbe.test_step):
    with open(f"tested_by_{{self.global_rank}}", "a") as file:
        print(*batch[1].tolist(), file=file)
    original(self, batch, batch_idx)

test_linear_probe.LinearProbe.test_step = count
raise SystemExit(test_linear_probe.main())
"""


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="needs gloo")
def test_two_processes_are_one_with_the_joint_batch(write_pictures, tmp_path):
    """Seven classes with three test pictures each: one process has eleven of them, the other ten."""
    root = write_pictures(tmp_path / "pictures", classes=7, train=4, test=3, noise=250)
    (tmp_path / "two.py").write_text(TWO_PROCESSES)
    options = ["--data.source=folder", f"--data.root={root}", *SMALL, *COLOUR, EPOCHS, "--data.batch_size=2"]
    options += ["--trainer.devices=2", "--trainer.strategy=ddp", f"--out={tmp_path / 'two'}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, tmp_path / "two.py", *options]
    ended = subprocess.run(command, cwd=tmp_path, env=environment, timeout=240, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("recorded in") == 2  # accuracy and top-5 accuracy, by one process
    tested = [(tmp_path / f"tested_by_{rank}").read_text().split() for rank in (0, 1)]
    assert list(map(len, tested)) == [11, 10]
    assert sorted(map(int, tested[0] + tested[1])) == [label for label in range(7) for _ in range(3)]
    fit(root, tmp_path / "one", *COLOUR)
    two, one = (read_records(tmp_path / run / "results.json") for run in ("two", "one"))
    assert [(record.metric, record.value) for record in two] == [(record.metric, record.value) for record in one]
    assert (two[0].test_samples, two[0].config) == (21, one[0].config)
    for name, tensor in saved(tmp_path / "one")["state_dict"].items():
        torch.testing.assert_close(saved(tmp_path / "two")["state_dict"][name], tensor)


# --- the protocol of moco-v3 ------------------------------------------------------------------------------------------


def test_the_encoder_stays_as_it_is_and_is_not_saved_again(pictures, pretrained, tmp_path, monkeypatch):
    original, probes = LinearProbe.on_test_epoch_end, []

    def watched(self):
        probes.append(self)
        original(self)

    monkeypatch.setattr(LinearProbe, "on_test_epoch_end", watched)
    fit(pictures, tmp_path, f"--model.checkpoint={pretrained}")
    (probe,) = probes
    assert not any(module.training for module in probe.loaded.network.modules())
    before = load_encoder(pretrained)
    assert probe.loaded.digest == before.digest == only_record(tmp_path).config["weights"]
    assert saved(tmp_path)["state_dict"].keys() == {"layer.weight", "layer.bias"}
    trained = saved(tmp_path)["optimizer_states"][0]["param_groups"][0]
    assert len(trained["params"]) == 2 and (trained["momentum"], trained["weight_decay"]) == (0.9, 0)


def test_the_rate_follows_a_cosine_from_epoch_to_epoch(pictures, tmp_path, monkeypatch):
    original, rates = LinearProbe.training_step, []

    def watched(self, batch, batch_idx):
        rates.append(self.optimizers().param_groups[0]["lr"])
        return original(self, batch, batch_idx)

    monkeypatch.setattr(LinearProbe, "training_step", watched)
    fit(pictures, tmp_path, *COLOUR, "--model.learning_rate=0.1", "--trainer.max_epochs=4")
    of_epochs = [0.1 * 4 / 256 * 0.5 * (1 + math.cos(math.pi * epoch / 4)) for epoch in range(4)]
    assert rates == pytest.approx([rate for rate in of_epochs for _ in range(STEPS)])


def test_the_layer_begins_small_and_features_are_of_normalised_images(pictures, tmp_path, monkeypatch):
    original, seen = LinearProbe.training_step, []

    def watched(self, batch, batch_idx):
        if not seen:
            weight, bias = self.layer.weight.detach().clone(), self.layer.bias.detach().clone()
            seen.extend([batch[0].clone(), weight, bias, self(batch[0]).detach()])
        return original(self, batch, batch_idx)

    monkeypatch.setattr(LinearProbe, "training_step", watched)
    fit(pictures, tmp_path, *COLOUR)
    views, weight, bias, logits = seen
    assert 0.003 < weight.std() < 0.03 and not bias.any()
    colour = (views[:, 0] / 255).mean(dim=(2, 3))
    features = (colour - torch.tensor(IMAGENET_MEAN)) / torch.tensor(IMAGENET_STD)
    torch.testing.assert_close(logits, features @ weight.t())


@pytest.mark.parametrize("stop", [STEPS + 1, STEPS + 3], ids=["between epochs", "within an epoch"])
def test_an_interrupted_run_goes_on_and_equals_an_uninterrupted_one(pictures, tmp_path, monkeypatch, stop):
    options = (*COLOUR, "--checkpoint.every_n_train_steps=1")
    fit(pictures, tmp_path / "whole", *options)
    original, steps = LinearProbe.training_step, []

    def interrupted(self, batch, batch_idx):
        steps.append(batch[1].tolist())
        if len(steps) == stop:
            raise KeyboardInterrupt
        return original(self, batch, batch_idx)

    monkeypatch.setattr(LinearProbe, "training_step", interrupted)
    assert fit(pictures, tmp_path / "parts", *options) == 130
    assert not (tmp_path / "parts/results.json").exists()
    assert fit(pictures, tmp_path / "parts", *options, "--resume=last") == 0
    assert len(steps) == 3 * STEPS + 1 and steps[stop] == steps[stop - 1]
    assert_equal_ends(tmp_path / "whole", tmp_path / "parts")
    assert only_record(tmp_path / "whole").value == only_record(tmp_path / "parts").value


@pytest.mark.parametrize(
    ("option", "word"),
    [
        ("--model.learning_rate=1", "learning_rate"),
        ("--data.size=12", "size"),
        ("--data.batch_size=8", "batch_size"),
        ("--trainer.max_epochs=4", "epochs"),
        ("--trainer.precision=bf16-mixed", "precision"),
        ("--seed=1", "seed"),
    ],
)
def test_resuming_in_another_way_is_refused(pictures, tmp_path, capsys, option, word):
    fit(pictures, tmp_path, *COLOUR, EPOCHS)
    before = (tmp_path / "results.json").read_bytes()
    assert fit(pictures, tmp_path, *COLOUR, "--resume=last", option) == 2
    assert f"trained with another {word}" in capsys.readouterr().err
    assert (tmp_path / "results.json").read_bytes() == before


def test_a_finished_run_that_goes_on_records_nothing_new(pictures, tmp_path):
    fit(pictures, tmp_path, *COLOUR)
    before = (tmp_path / "results.json").read_bytes()
    assert fit(pictures, tmp_path, *COLOUR, "--resume=last") == 0
    assert (tmp_path / "results.json").read_bytes() == before


@pytest.mark.parametrize(("steps", "done"), [(STEPS, 1), (STEPS + 1, 1), (3 * STEPS - 1, 2)])
def test_a_run_that_stops_early_is_not_recorded(pictures, tmp_path, capsys, steps, done):
    assert fit(pictures, tmp_path, *COLOUR, f"--trainer.max_steps={steps}") == 2
    assert f"stopped after {done} of 3 epochs" in capsys.readouterr().err
    assert not (tmp_path / "results.json").exists()


# --- the report -------------------------------------------------------------------------------------------------------


def test_an_encoder_of_ours_has_its_place_in_the_report(pictures, pretrained, tmp_path, capsys):
    fit(pictures, tmp_path, f"--model.checkpoint={pretrained}")
    record = only_record(tmp_path)
    assert (record.method, record.config["encoder"]["width"]) == ("RRC+RQ", 8)
    assert ("3", "RRC + Ours", "BYOL") in places(record)
    assert pcrq(["report", str(tmp_path)]) == 0
    assert f"{100 * record.value:.1f} (1)" in capsys.readouterr().out


def test_a_published_checkpoint_wants_a_name_and_gets_its_row(pictures, published, tmp_path, capsys):
    checkpoint = f"--model.checkpoint={published}"
    assert fit(pictures, tmp_path, checkpoint) == 2
    error = capsys.readouterr().err
    assert published.name in error and "--model.method" in error and "--model.pretraining" in error
    assert fit(pictures, tmp_path / "told", checkpoint, "--model.pretraining.epochs=300", "--trainer.max_epochs=1") == 0
    assert ("2", "MoCo-v3", "300-ep") in places(only_record(tmp_path / "told"))
    crop = ["--model.pretraining.augmentation={crop: RRC, bins: null}", "--model.pretraining.framework=BYOL"]
    assert fit(pictures, tmp_path / "crop", checkpoint, *crop, "--trainer.max_epochs=1") == 0
    assert ("4", "RRC", "BYOL") in places(only_record(tmp_path / "crop"))


def test_a_published_checkpoint_can_have_any_name(pictures, published, tmp_path):
    assert (
        fit(pictures, tmp_path, f"--model.checkpoint={published}", "--model.method=theirs", "--trainer.max_epochs=1")
        == 0
    )
    record = only_record(tmp_path)
    assert record.method == "theirs" and places(record) == set()


# --- bad input --------------------------------------------------------------------------------------------------------


def test_a_class_without_test_images_is_named(pictures, tmp_path, capsys):
    root = shutil.copytree(pictures, tmp_path / "pictures")
    shutil.rmtree(root / "test/red")
    assert fit(root, tmp_path / "run", *COLOUR) == 2
    assert "1 of the 2 classes" in (error := capsys.readouterr().err) and "'red'" in error


def test_test_images_of_which_none_can_be_read(pictures, tmp_path, capsys):
    root = shutil.copytree(pictures, tmp_path / "pictures")
    for path in (root / "test").rglob("*.png"):
        path.write_bytes(b"no image")
    assert fit(root, tmp_path / "run", *COLOUR) == 2
    assert f"{root / 'test'}: " in capsys.readouterr().err
    assert not (tmp_path / "run/results.json").exists()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ([], "model.checkpoint is missing"),
        (["--model.checkpoint=nowhere.ckpt"], "nowhere.ckpt: no such checkpoint file"),
        (["--model.checkpoint=PRETRAINED", "--model.encoder.name=resnet10"], "leave the encoder out"),
        (["--model.checkpoint=PRETRAINED", "--model.pretraining.epochs=3"], "describes its pretraining itself"),
        ([*COLOUR, "--model.pretraining.epochs=3"], "model.pretraining: describes a checkpoint"),
        ([*COLOUR, "--model.pretraining.epochs=0"], "epochs 0"),
        ([*COLOUR, "--model.pretraining.framework=SimCLR"], "framework"),
        (["--model.encoder.name=resnet11"], "unknown encoder 'resnet11'"),
        (["--model.encoder.name=networks_to_probe.Missing"], "networks_to_probe.Missing: cannot be imported"),
        ([*COLOUR, "--model.learning_rate=0"], "learning_rate 0"),
        ([*COLOUR, "--trainer.max_epochs=0"], "trainer.max_epochs 0: set the number of epochs"),
        (
            [*COLOUR, "--trainer.max_epochs=-1", "--trainer.max_steps=3"],
            "trainer.max_epochs -1: set the number of epochs",
        ),
        ([*COLOUR, "--data.batch_size=0"], "batch_size 0"),
        ([*COLOUR, "--data.smallest_crop=0"], "smallest_crop 0"),
        ([*COLOUR, "--data.root=nowhere"], "nowhere: no such folder"),
        ([*COLOUR, "--resume=PRETRAINED"], "not a checkpoint of 'pcrq evaluate images'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_options_are_named_in_one_line(pictures, pretrained, tmp_path, monkeypatch, capsys, options, word):
    monkeypatch.chdir(tmp_path)
    assert_refused(
        capsys,
        "pcrq evaluate images",
        word,
        lambda: fit(pictures, tmp_path / "run", *[option.replace("PRETRAINED", str(pretrained)) for option in options]),
    )


def test_an_accuracy_of_some_test_images_is_none(pictures, tmp_path, capsys):
    assert fit(pictures, tmp_path, *COLOUR, "--data.batch_size=2", "--trainer.limit_test_batches=1") == 2
    assert "limit_test_batches" in capsys.readouterr().err
    assert not (tmp_path / "results.json").exists()


def test_parts_of_epochs_are_not_recorded(pictures, tmp_path, capsys):
    assert fit(pictures, tmp_path, *COLOUR, "--data.batch_size=2", "--trainer.limit_train_batches=1") == 0
    assert "nothing is recorded" in capsys.readouterr().err
    assert not (tmp_path / "results.json").exists()


def test_an_augmentation_of_another_version_is_named():
    with pytest.raises(InputError, match="another augmentation"):
        method_name({"augmentation": {"crop": "RRC", "swirl": 3}})


def test_without_a_number_of_epochs_nothing_is_trained(pictures, tmp_path, capsys):
    command = ["--data.source=folder", f"--data.root={pictures}", f"--out={tmp_path / 'run'}", *SMALL, *COLOUR]
    assert main(command) == 2
    assert "trainer.max_epochs -1: set the number of epochs" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()

"""The configurations of images: every arm trains, the paper's values stand in them, and the sweeps make the tables."""

import json
from pathlib import Path

import pytest
import yaml
from PIL import Image

from projects.image.augmentation import Augmentation, arm
from projects.image.pretrain.cli import main
from projects.run_record import read_records

CONFIGS = Path(__file__).parents[3] / "projects/image/configs"
ARMS = sorted((CONFIGS / "arms").glob("*.yaml"))
RUNNABLE = [arm for arm in ARMS if arm.stem != "msf"]  # msf_small is the same with less than 300 MB of memory
BYOL_TOO = [arm for arm in RUNNABLE if not arm.stem[-1].isdigit() and "midpoint" not in arm.stem]
ONE_STEP = [
    *("--trainer.limit_train_batches=1", "--trainer.max_epochs=1", "--model.optimization.warmup_epochs=0"),
    *("--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--knn.every_n_epochs=0"),
    *("--data.batch_size=16", "--model.encoder.width=8", "--trainer.logger=false"),
]


def fit(*words: str) -> int:
    return main(["fit", *words, *ONE_STEP])


@pytest.mark.parametrize(
    ("framework", "arm"),
    [*(("tiny", arm) for arm in RUNNABLE), *(("tiny_byol", arm) for arm in BYOL_TOO)],
    ids=lambda value: getattr(value, "stem", value),
)
def test_every_arm_trains_in_miniature(framework, arm, tmp_path, capsys):
    status = fit(f"--config={CONFIGS / framework}.yaml", f"--config={arm}", f"--run_dir={tmp_path}")
    assert status == 0, capsys.readouterr().err


def printed(capsys, *words: str) -> dict:
    with pytest.raises(SystemExit):
        main(["fit", *words, "--print_config"])
    return yaml.safe_load(capsys.readouterr().out)


def test_the_papers_values_for_imagenet(capsys):
    for framework, momentum in {"mocov3": 0.99, "byol": 0.996}.items():
        base = f"--config={CONFIGS / f'imagenet_{framework}'}.yaml"
        config = printed(capsys, base)
        data, model, trainer = config["data"], config["model"], config["trainer"]
        assert model["framework"] == framework and model["encoder"]["name"] == "resnet50"
        assert data["batch_size"] * trainer["devices"] * trainer["num_nodes"] == 4096
        assert Augmentation(**data["augmentation"]) == arm("RRC+RQ")
        assert (trainer["max_epochs"], trainer["sync_batchnorm"], trainer["precision"]) == (100, True, "16-mixed")
        assert model["heads"] == {"hidden": 4096, "out": 256, "temperature": 1.0}
        options = model["optimization"]
        assert (options["learning_rate"], options["weight_decay"]) == (0.6, 1e-6)
        assert (options["warmup_epochs"], options["momentum"]) == (10, 0.99)
        for epochs in (300, 800):
            longer = printed(capsys, base, f"--config={CONFIGS / f'longer/{framework}_{epochs}'}.yaml")
            assert longer["trainer"]["max_epochs"] == epochs
            assert longer["model"]["optimization"]["learning_rate"] == 0.3
            assert longer["model"]["optimization"]["momentum"] == momentum


def test_bins_of_the_arms():
    bins = {arm.stem: yaml.safe_load(arm.read_text())["data"]["augmentation"]["bins"] for arm in ARMS}
    for name, number in bins.items():
        last = name.rpartition("_")[2]
        expected = int(last) if last.isdigit() else 8 if "rq" in name or "uniform" in name or "midpoint" in name else 0
        assert number == expected, name


SWEEPS = sorted(path for path in CONFIGS.glob("*.yaml") if "variants" in yaml.safe_load(path.read_text()))


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_sweeps_list_a_pretraining_and_a_probe_for_every_run(path, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(CONFIGS.parents[2])
    assert main(["sweep", f"--config={path}", f"--out={tmp_path}", "--list_only=true"]) == 0
    lines = capsys.readouterr().out.splitlines()
    config = yaml.safe_load(path.read_text())
    runs = len(config["pretrain"]) * len(config["variants"]) * len(config["seeds"])
    assert len(lines) == 2 * runs == len(set(lines))
    assert sum("projects.image.linear_probe" in line for line in lines) == runs


def test_at_least_one_sweep_for_every_table():
    assert len(SWEEPS) == 6 + 7


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """``sweep(*words)``: two variants of a tiny configuration, one seed."""
    monkeypatch.chdir(CONFIGS.parents[2])
    base = {
        "data": {"source": "folder", "root": str(_folder(tmp_path)), "size": 8, "batch_size": 4, "workers": 0},
        "model": {
            "encoder": {"name": "resnet10", "width": 4},
            "heads": {"hidden": 8, "out": 4},
            "optimization": {"warmup_epochs": 0},
        },
        "trainer": {"max_epochs": 1},
        "knn": {"neighbours": 2},
    }
    probe = {"data": {**base["data"], "batch_size": 4}, "trainer": {"max_epochs": 1}}
    for name, values in {"base": base, "probe": probe}.items():
        (tmp_path / f"{name}.yaml").write_text(json.dumps(values))

    def run(*words: str) -> int:
        variants = [str(CONFIGS / f"arms/{name}.yaml") for name in ("rrc", "rrc_rq")]
        return main(
            [
                *("sweep", f"--pretrain=[{tmp_path / 'base.yaml'}]", f"--variants={json.dumps(variants)}"),
                *(f"--probe={tmp_path / 'probe.yaml'}", f"--out={tmp_path / 'out'}", "--seeds=[0]"),
                *('--options=["--trainer.accelerator=cpu"]', '--probe_options=["--trainer.accelerator=cpu"]', *words),
            ]
        )

    return run


def _folder(root: Path) -> Path:
    """Plain images of two colours, laid out as ImageNet."""
    for split, count in {"train": 4, "test": 2}.items():
        for name, colour in {"red": (200, 0, 0), "blue": (0, 0, 200)}.items():
            folder = root / "images" / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                Image.new("RGB", (8, 8), colour).save(folder / f"{index}.png")
    return root / "images"


def test_a_sweep_pretrains_probes_and_goes_on(sweep, tmp_path, capsys):
    assert sweep() == 0
    folders = [tmp_path / "out/base" / name / "seed0" for name in ("rrc", "rrc_rq")]
    for folder, name in zip(folders, ("RRC", "RRC+RQ"), strict=True):
        (knn,) = read_records(folder / "results.json")
        (linear,) = read_records(folder / "linear/results.json")
        assert (knn.arm, knn.protocol, linear.arm, linear.protocol) == (name, "kNN", name, "linear probe")
        assert knn.digest == linear.digest
        assert knn.config["weights"] == linear.config["weights"]
        assert not (folder / "checkpoints").exists()  # the encoder was probed
    logs = [(folder / "log.txt").read_text() for folder in folders]
    assert sweep() == 0
    assert [(folder / "log.txt").read_text() for folder in folders] == logs  # nothing ran again
    capsys.readouterr()
    assert sweep("--list_only=true") == 0
    assert capsys.readouterr().out == ""


def test_a_failing_pretraining_is_named_and_not_probed(sweep, tmp_path, capsys):
    assert sweep('--options=["--data.batch_size=1000"]') == 1
    error = capsys.readouterr().err
    assert "rrc/seed0" in error and "fewer than a batch of 1000" in error
    assert not (tmp_path / "out/base/rrc/seed0/linear").exists()


def test_another_configuration_in_the_same_folder_is_refused(sweep, tmp_path, capsys):
    assert sweep("--list_only=true") == 0
    values = json.loads((tmp_path / "base.yaml").read_text())
    values["trainer"]["max_epochs"] = 2
    (tmp_path / "base.yaml").write_text(json.dumps(values))
    assert sweep() == 2
    assert "base" in capsys.readouterr().err


def test_a_sweep_needs_the_knn_accuracy(sweep, tmp_path, capsys):
    values = json.loads((tmp_path / "base.yaml").read_text())
    values["knn"]["every_n_epochs"] = 0
    (tmp_path / "base.yaml").write_text(json.dumps(values))
    assert sweep() == 2
    assert "every_n_epochs" in capsys.readouterr().err

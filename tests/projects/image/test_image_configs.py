"""Image configs: every variant trains, they hold the paper's values, and the sweeps cover the tables."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from pydoc import locate

import pytest
import yaml
from PIL import Image

from projects.cli import main as pcrq
from projects.image.augmentation import Augmentation
from projects.image.encoder import Encoder
from projects.image.evaluation import method_name
from projects.image.linear_probe import main as linear_probe
from projects.image.pretrain import FRAMEWORKS, main
from projects.image.sweep import main as sweep_images
from projects.report.tables import FIGURE_5, TABLES, Table
from projects.training.records import Record, read_records
from projects.training.run import find_config

CONFIGS = Path(__file__).parents[3] / "projects/image/configs"
ARM_FILES = sorted((CONFIGS / "variants").glob("*.yaml"))
RUNNABLE = [
    variant for variant in ARM_FILES if variant.stem != "msf"
]  # msf_small is the same with less than 2.1 GB of memory
BYOL_TOO = [variant for variant in RUNNABLE if not variant.stem[-1].isdigit() and "midpoint" not in variant.stem]
ONE_STEP = [
    *("--trainer.limit_train_batches=1", "--trainer.max_epochs=1", "--model.optimization.warmup_epochs=0"),
    *("--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--knn.every_n_epochs=0"),
    *("--data.batch_size=16", "--model.encoder.width=8", "--trainer.logger=false"),
]


def fit(*words: str) -> int:
    return main([*words, *ONE_STEP])


@pytest.mark.parametrize(
    ("framework", "variant"),
    [*(("tiny", variant) for variant in RUNNABLE), *(("tiny_byol", variant) for variant in BYOL_TOO)],
    ids=lambda value: getattr(value, "stem", value),
)
def test_every_variant_trains_in_miniature(framework, variant, tmp_path, capsys):
    status = fit(f"--config={CONFIGS / framework}.yaml", f"--config={variant}", f"--out={tmp_path}")
    assert status == 0, capsys.readouterr().err


def read(path: Path) -> dict:
    return yaml.safe_load(path.read_text())


def laid_over(base: dict, values: dict) -> dict:
    """A configuration, and another one after it."""
    common = {key: laid_over(base[key], values[key]) for key in values if isinstance(base.get(key), dict)}
    return base | values | common


def augmentation(config: dict) -> Augmentation:
    return Augmentation(**config["data"].get("augmentation", {}))


def pretraining(config: dict) -> dict:
    """What the run of a configuration tells of itself, as far as the report asks."""
    baseline = config["model"].get("baseline")
    return {
        "framework": FRAMEWORKS[config["model"]["framework"]][0],
        "augmentation": asdict(augmentation(config)),
        "baseline": locate(baseline["class_path"]).name if baseline else "",
        "epochs": config["trainer"]["max_epochs"],
    }


# --- variants ---

CR = Augmentation("CR", "none", flip=False, bins=None, random_edges=True, random_values=True, p=1.0)
RRC = Augmentation("RRC", "none", flip=False, bins=None, random_edges=True, random_values=True, p=1.0)
DACL, IMIX, SSQL = ({"model": {"baseline": {"class_path": f"pcrq.ssl.{name}"}}} for name in ("DACL", "IMix", "SSQL"))


def mean_shift(out: int, memory: int) -> dict:
    """BYOL with a constant momentum, whose targets are the five nearest features of a memory."""
    baseline = {"class_path": "pcrq.ssl.MSF", "init_args": {"out": out, "memory": memory, "neighbours": 5}}
    momentum = {"momentum": 0.99, "final_momentum": 0.99}
    return {"model": {"framework": "byol", "heads": {"out": out}, "baseline": baseline, "optimization": momentum}}


INPUTMIX = {"model": {"baseline": {**IMIX["model"]["baseline"], "init_args": {"inputmix": 2}}}}

VARIANTS = {  # by file: what the report calls it, how its views are made, and all else that it sets
    "cr": ("CR", CR, {}),
    "cr_dacl": ("CR + DACL", CR, DACL),
    "cr_imix": ("CR + i-Mix", CR, INPUTMIX),
    "cr_ssql": ("CR + SSQL", CR, SSQL),
    "cr_rq": ("CR+RQ", replace(CR, bins=8), {}),
    "rrc": ("RRC", RRC, {}),
    "rrc_dacl": ("RRC + DACL", RRC, DACL),
    "rrc_imix": ("RRC + i-Mix", RRC, IMIX),
    "rrc_ssql": ("RRC + SSQL", RRC, SSQL),
    "rrc_rq": ("RRC+RQ", replace(RRC, bins=8), {}),
    "rrc_uniform_midpoint": ("RRC+RQ", replace(RRC, bins=8, random_edges=False, random_values=False), {}),
    "rrc_uniform_random": ("RRC+RQ", replace(RRC, bins=8, random_edges=False, random_values=True), {}),
    "rrc_random_midpoint": ("RRC+RQ", replace(RRC, bins=8, random_edges=True, random_values=False), {}),
    **{f"rrc_rq_{bins}": ("RRC+RQ", replace(RRC, bins=bins), {}) for bins in (2, 3, 5, 10, 15, 20, 30)},
    "rrc_cj": ("RRC+CJ", replace(RRC, colour="CJ"), {}),
    "full": ("Full", replace(RRC, colour="Full", flip=True), {}),
    "msf": ("MSF", replace(RRC, flip=True), mean_shift(512, 1_024_000) | {"trainer": {"max_epochs": 200}}),
    "msf_small": ("MSF", replace(RRC, flip=True), mean_shift(128, 4_096)),
}


def test_every_variant_has_a_row_here():
    assert sorted(VARIANTS) == [path.stem for path in ARM_FILES]


@pytest.mark.parametrize("framework", ["imagenet_mocov3", "imagenet_byol", "tiny", "tiny_byol"])
@pytest.mark.parametrize("path", ARM_FILES, ids=lambda path: path.stem)
def test_every_variant_is_what_its_name_says(framework, path):
    name, views, others = VARIANTS[path.stem]
    values = read(path)
    config = laid_over(read(CONFIGS / f"{framework}.yaml"), values)
    assert augmentation(config) == views
    assert method_name(pretraining(config)) == name
    del values["data"]["augmentation"]
    assert values == {"data": {}, **others}


# --- the paper's numbers ----------------------------------------------------------------------------------------------


@pytest.fixture
def printed(capsys):
    """``printed(main, *words)``: what Lightning and we make of configurations, defaults and all."""

    def parse(main: Callable[[list[str]], int], *names: str) -> dict:
        with pytest.raises(SystemExit):
            main([*(f"--config={CONFIGS / name}.yaml" for name in names), "--print_config"])
        config = yaml.safe_load(capsys.readouterr().out)
        trainer = config["trainer"]
        assert (trainer["accumulate_grad_batches"], trainer["gradient_clip_val"]) == (1, None)
        config["joint batch"] = config["data"]["batch_size"] * trainer["devices"] * trainer["num_nodes"]
        return config

    return parse


@pytest.mark.parametrize(("framework", "momentum"), [("mocov3", 0.99), ("byol", 0.996)])
def test_the_papers_values_for_imagenet(printed, framework, momentum):
    config = printed(main, f"imagenet_{framework}")
    data, model, trainer = config["data"], config["model"], config["trainer"]
    assert (model["framework"], model["baseline"], config["joint batch"], data["size"]) == (framework, None, 4096, 224)
    assert Encoder(**model["encoder"]) == Encoder("resnet50", 64, "imagenet")
    assert augmentation(config) == replace(RRC, bins=8)
    assert (trainer["max_epochs"], trainer["sync_batchnorm"], trainer["precision"]) == (100, True, "16-mixed")
    assert model["heads"] == {"hidden": 4096, "out": 256, "temperature": 1.0}
    common = {"optimizer": "lars", "weight_decay": 1e-6, "warmup_epochs": 10, "final_momentum": 1.0}
    assert model["optimization"] == {**common, "learning_rate": 0.6, "momentum": 0.99}
    for epochs in (300, 800):
        longer = printed(main, f"imagenet_{framework}", f"longer/{framework}_{epochs}")
        assert longer["trainer"].pop("max_epochs") == epochs
        assert longer["model"].pop("optimization") == {**common, "learning_rate": 0.3, "momentum": momentum}
        same = {key: value for key, value in trainer.items() if key != "max_epochs"}
        assert (longer["trainer"], longer["data"]) == (same, data)


def test_the_papers_values_for_mean_shift(printed):
    config = printed(main, "imagenet_byol", "variants/msf")
    assert (config["model"]["framework"], config["joint batch"], config["trainer"]["max_epochs"]) == ("byol", 4096, 200)
    # the command line of UMBCvision/MSF's run_msf.sh: --topk 5 --momentum 0.99 --mem_bank_size 1024000
    assert config["model"]["baseline"] == mean_shift(512, 1_024_000)["model"]["baseline"]
    assert config["model"]["heads"]["out"] == 512
    optimization = config["model"]["optimization"]
    assert (optimization["momentum"], optimization["final_momentum"]) == (0.99, 0.99)


def test_the_papers_values_for_the_linear_probe(printed):
    config = printed(linear_probe, "imagenet_linear")
    data = config["data"]
    assert (config["joint batch"], data["size"], data["smallest_crop"], data["source"]) == (1024, 224, 0.08, "folder")
    assert (config["model"]["learning_rate"], config["trainer"]["max_epochs"]) == (0.1, 90)


# --- the sweeps -------------------------------------------------------------------------------------------------------

SWEEPS = sorted(path for path in CONFIGS.glob("*.yaml") if "variants" in read(path))


def cells(*sweeps: str, table: Table) -> list[tuple[str, str] | None]:
    """Row and column of every run in a table of the report; None where it has no place there."""
    found = []
    for sweep in sweeps:
        config = read(CONFIGS / f"{sweep}.yaml")
        kind = "tiny" if sweep.startswith(("tiny", "flowers")) else "imagenet"
        assert (config["sweep"], config["probe"]) == ("images", f"{kind}_linear")
        for base, variant in product(config["pretrain"], config["variants"]):
            assert base.startswith(kind)
            told = pretraining(laid_over(read(find_config(base, CONFIGS)), read(find_config(variant, CONFIGS))))
            record = Record(
                method=method_name(told),
                protocol="linear probe",
                metric="accuracy",
                value=0.5,
                ratio=1.0,
                seed=0,
                store="images",
                digest="",
                train_samples=1,
                test_samples=50_000 if kind == "imagenet" else 4_096,
                task="image classification",
                config={"pretraining": told},
            )
            place = table.find(record)
            found.append(None if place is None else (place.row, place.column))
    return found


def papers(table: Table) -> list[tuple[str, str]]:
    """Row and column of every number that the paper prints."""
    places = product(table.paper_rows, table.columns)
    return [(row, column) for row, column in places if table.paper(table.blocks[0], row, column) is not None]


@pytest.mark.parametrize("number", ["1", "3", "4"])
@pytest.mark.parametrize("kind", ["", "tiny_"])
def test_a_sweep_makes_every_number_of_its_table_once(number, kind):
    assert Counter(cells(f"{kind}table{number}", table=TABLES[number])) == Counter(papers(TABLES[number]))


def test_table_2_is_made_by_two_sweeps():
    assert Counter(cells("table2_mocov3", "table2_byol", table=TABLES["2"])) == Counter(papers(TABLES["2"]))


def test_table_5_is_made_with_the_lengths_of_table_2():
    made = cells("table5_msf", "table2_mocov3", table=TABLES["5"])
    assert Counter(made) == Counter([*papers(TABLES["5"]), ("Ours", "800-ep")])


def test_lengths_in_miniature():
    lengths = [(framework, f"{epochs}-ep") for framework in ("MoCo-v3", "BYOL") for epochs in (8, 16, 32)]
    assert Counter(cells("tiny_table2", table=TABLES["2"])) == Counter(lengths)
    assert Counter(cells("tiny_table5", table=TABLES["5"])) == Counter([("MSF w/w", "16-ep"), ("Ours", "16-ep")])


@pytest.mark.parametrize("sweep", ["figure5", "tiny_figure5"])
def test_figure_5_is_a_curve_around_its_peak(sweep):
    columns = ["no bins", *(f"{bins} bins" for bins in (2, 3, 5, 8, 10, 15, 20, 30))]
    assert Counter(cells(sweep, table=FIGURE_5)) == Counter(("MoCo-v3", column) for column in columns)


def test_photos_of_flowers_are_compared_as_in_table_1():
    assert Counter(cells("flowers", table=TABLES["1"])) == Counter(cells("tiny_table1", table=TABLES["1"]))
    config = read(CONFIGS / "flowers.yaml")
    for options in (config["options"], config["probe_options"]):
        assert {"--data.source=folder", "--data.root=flowers", "--data.test_every=5"} <= set(options)


def test_every_sweep_is_looked_at_here():
    names = [f"{kind}{name}" for kind in ("", "tiny_") for name in ("table1", "table3", "table4", "figure5")]
    names += ["flowers", "table2_mocov3", "table2_byol", "table5_msf", "tiny_table2", "tiny_table5"]
    assert sorted(names) == [path.stem for path in SWEEPS]


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_sweeps_list_a_pretraining_and_a_probe_for_every_run(path, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert pcrq(["sweep", f"--config={path.stem}", f"--out={tmp_path}", "--list_only=true"]) == 0
    commands = [command for line in capsys.readouterr().out.splitlines() for command in line.split(" && ")]
    config = read(path)
    runs = len(config["pretrain"]) * len(config["variants"]) * len(config["seeds"])
    assert len(commands) == 2 * runs == len(set(commands))
    assert sum("projects.image.linear_probe" in command for command in commands) == runs


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """``sweep(*words)``: two variants of a tiny configuration, one seed."""
    monkeypatch.chdir(tmp_path)
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
        return sweep_images(
            [
                *(f"--pretrain=[{tmp_path / 'base.yaml'}]", "--variants=[rrc, rrc_rq]"),
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
        assert (knn.method, knn.protocol, linear.method, linear.protocol) == (name, "kNN", name, "linear probe")
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

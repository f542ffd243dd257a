"""Table 9 by one command: which runs, in which folders, and nothing twice."""

import json
import shlex
from collections import Counter
from pathlib import Path

import pytest
import yaml

from projects.audio import evaluate, pretrain
from projects.audio.sweep import main
from projects.cli import main as pcrq
from projects.training.records import read_records
from projects.training.run import find_config

pytestmark = pytest.mark.medium

CONFIGS = Path(__file__).parents[3] / "projects/audio/configs"
SMALL = ["--data.batch_size=8", "--model.dimension=16", "--model.hidden=16", "--model.out=8"]
SMALL += ["--trainer.max_epochs=1", "--knn.every_n_epochs=0"]


@pytest.fixture
def table(sounds, tmp_path):
    """The words of a small table; further options can follow."""
    evaluation = ["--seconds=1.0", "--dimension=16", "--epochs=3"]
    return [
        *("--pretrain=tiny", "--variants=[rrc_mixup, rrc_rq]", "--evaluation=tiny_evaluation"),
        f"--tasks={json.dumps([str(sounds)])}",
        *(
            f"--options={json.dumps([*SMALL, f'--data.store={sounds}'])}",
            f"--evaluation_options={json.dumps(evaluation)}",
        ),
        *("--seeds=[0]", f"--out={tmp_path / 'out'}"),
    ]


def recorded(out: Path) -> list[tuple]:
    records = [record for file in out.rglob("results.json") for record in read_records(file)]
    return sorted((record.method, record.protocol, record.seed) for record in records)


def test_every_encoder_is_evaluated_once_and_checkpoints_go(table, tmp_path, capsys):
    assert main(table) == 0
    expected = [(method, "linear evaluation", 0) for method in ("RRC+Mixup", "RRC+RQ", "scratch")]
    assert recorded(tmp_path / "out") == expected
    assert not list((tmp_path / "out").rglob("*.ckpt"))
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "out").rglob("results.json")}
    assert main(table) == 0
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert "3 of 3 evaluations are recorded" in capsys.readouterr().err
    assert pcrq(["report", str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split("|")[1].strip() for line in lines if "(1) |" in line} == {"", "scratch"}  # the paper's two rows


def test_a_table_grows_by_seeds_and_every_seed_has_encoders_of_its_own(table, tmp_path):
    assert main([*table, "--keep_checkpoints=true"]) == 0
    assert main([*table, "--seeds=[0,3]"]) == 0
    records = [r for file in (tmp_path / "out").rglob("results.json") for r in read_records(file)]
    assert sorted({record.seed for record in records}) == [0, 3] and len(records) == 6
    assert len({record.config["weights"] for record in records}) == 6
    told = {(r.method, r.seed): r.config["pretraining"].get("seed", r.seed) for r in records}
    assert all(seed == own for (_, seed), own in told.items())
    assert {path.parent.parent.name for path in (tmp_path / "out").rglob("*.ckpt")} == {"seed0"}


def test_repeats_are_recorded_under_seeds_that_no_other_encoder_has(table, tmp_path, capsys):
    """Of a configuration, unless an option says otherwise; the report counts all of them."""
    configuration = tmp_path / "thrice.yaml"
    configuration.write_text((CONFIGS / "tiny_evaluation.yaml").read_text().replace("repeats: 1", "repeats: 3"))
    words = [*table, "--variants=[rrc_rq]", f"--evaluation={configuration}", "--seeds=[0,1]"]
    assert main([*words, "--scratch=false"]) == 0
    records = [record for file in (tmp_path / "out").rglob("results.json") for record in read_records(file)]
    seeds = {(record.config["pretraining"]["seed"], record.seed) for record in records}
    assert seeds == {(0, 0), (0, 1), (0, 2), (1, 3), (1, 4), (1, 5)} and len(records) == 6
    assert pcrq(["report", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "(6) |" in out and "none of them is counted" not in out
    options = json.dumps(["--seconds=1.0", "--dimension=16", "--epochs=1", "--repeats=2"])
    again = [*words, f"--evaluation_options={options}", f"--out={tmp_path / 'again'}", "--list_only=true"]
    assert main(again) == 0
    lines = [shlex.split(line) for line in capsys.readouterr().out.splitlines()]
    chosen = [[word for word in words if word.startswith(("--repeats", "--seed="))] for words in lines]
    evaluations = [["--repeats=2", f"--seed={seed}"] for seed in (0, 2)]
    assert chosen == [["--seed=0", *evaluations[0]], ["--seed=1", *evaluations[1]], *evaluations]


def test_an_interrupted_evaluation_is_not_taken_for_done(table, tmp_path, monkeypatch):
    original, trained = evaluate.train_classifier, []

    def interrupted(*arguments):
        if len(trained) == 1:
            raise KeyboardInterrupt
        trained.append(original(*arguments))
        return trained[-1]

    options = json.dumps(["--seconds=1.0", "--dimension=16", "--epochs=3", "--repeats=2"])
    table = [*table, f"--evaluation_options={options}"]
    with monkeypatch.context() as patch:
        patch.setattr(evaluate, "train_classifier", interrupted)
        assert main(table) == 130
    assert len(trained) == 1 and main(table) == 0
    expected = [(method, "linear evaluation", seed) for method in ("RRC+Mixup", "RRC+RQ", "scratch") for seed in (0, 1)]
    assert recorded(tmp_path / "out") == expected


def test_the_listed_commands_are_the_runs(table, tmp_path, capsys):
    assert main([*table, "--list_only=true"]) == 0
    lines = [[shlex.split(run) for run in line.split(" && ")] for line in capsys.readouterr().out.splitlines()]
    programs = {"projects.audio.pretrain": pretrain, "projects.audio.evaluate": evaluate}
    pretrained = ["projects.audio.pretrain", "projects.audio.evaluate"]
    assert [[words[2] for words in line] for line in lines] == [pretrained, pretrained, pretrained[1:]]
    assert not list((tmp_path / "out").rglob("results.json"))
    for words in (words for line in lines for words in line):
        assert words[:2] == ["python", "-m"]
        assert programs[words[2]].main(words[3:]) == 0
    capsys.readouterr()
    assert len(recorded(tmp_path / "out")) == 3
    assert main([*table, "--list_only=true"]) == 0
    assert capsys.readouterr().out == ""
    assert main(table) == 0
    assert len(list((tmp_path / "out").rglob("*.ckpt"))) == 2  # a sweep removes only those of runs that it finishes


def test_all_evaluations_of_an_encoder_follow_its_pretraining(table, sounds, tmp_path, capsys):
    other = tmp_path / "other.h5"
    other.symlink_to(sounds)
    assert main([*table, f"--tasks={json.dumps([str(sounds), str(other)])}", "--list_only=true"]) == 0
    lines = capsys.readouterr().out.splitlines()
    kinds = [[shlex.split(run)[2].rpartition(".")[2] for run in line.split(" && ")] for line in lines]
    assert kinds == [["pretrain", "evaluate", "evaluate"]] * 2 + [["evaluate", "evaluate"]]


def test_a_pretraining_that_fails_is_named_and_the_others_are_evaluated(table, tmp_path, monkeypatch, capsys):
    BYOLA = pretrain.BYOLA
    original = BYOLA.training_step

    def failing(self, batch, batch_idx):
        if self.augmentation.mixup:
            raise RuntimeError("the tea is cold")
        return original(self, batch, batch_idx)

    monkeypatch.setattr(BYOLA, "training_step", failing)
    assert main(table) == 1
    assert "rrc_mixup/seed0: RuntimeError: the tea is cold" in capsys.readouterr().err.replace("\n", " ")
    assert [method for method, _, _ in recorded(tmp_path / "out")] == ["RRC+RQ", "scratch"]
    monkeypatch.setattr(BYOLA, "training_step", original)
    assert main(table) == 0
    assert len(recorded(tmp_path / "out")) == 3


def test_the_small_table_runs(sounds, tmp_path, monkeypatch):
    """The config as it is, from any folder, with smaller networks on fewer sounds."""
    monkeypatch.chdir(tmp_path)
    options = [f"--tasks={json.dumps([str(sounds)])}", f"--options={json.dumps([*SMALL, f'--data.store={sounds}'])}"]
    options += ["--evaluation_options=['--dimension=16']", "--seeds=[0]", "--jobs=1", f"--out={tmp_path / 'out'}"]
    assert pcrq(["sweep", "--config", "tiny_table9", *options]) == 0
    assert [method for method, _, _ in recorded(tmp_path / "out")] == ["RRC+Mixup", "RRC+RQ", "scratch"]


@pytest.mark.parametrize("name", ["table9", "tiny_table9"])
def test_tables_name_configurations_that_exist_and_the_papers_methods(name):
    values = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
    assert values["sweep"] == "sounds" and values["variants"] == ["rrc_mixup", "rrc_rq"]
    for config in (values["pretrain"], values["evaluation"], *values["variants"]):
        assert find_config(config, CONFIGS).is_relative_to(CONFIGS)


@pytest.mark.parametrize(("name", "seconds", "steps"), [("digits", 1.0, 186), ("esc10", 5.0, 144)])
def test_sweeps_of_public_sounds_compare_crops_mixup_and_quantization(
    name, seconds, steps, sounds, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Path(f"{name}.h5").symlink_to(sounds)
    assert pcrq(["sweep", "--config", name, "--list_only=true"]) == 0
    lines = [[shlex.split(run) for run in line.split(" && ")] for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 12 and len({tuple(line[-1]) for line in lines}) == 12  # 3 variants and random, 3 seeds
    assert all(f"--seconds={seconds}" in line[-1] for line in lines)
    trained = [line[0] for line in lines if len(line) == 2]
    augmentations = Counter()
    for words in trained:
        with pytest.raises(SystemExit, match="0"):
            pretrain.main([*words[3:], "--print_config"])
        config = yaml.safe_load(capsys.readouterr().out)
        augmentation, data = config["model"]["augmentation"], config["data"]
        augmentations[augmentation["mixup"], augmentation["bins"]] += 1
        assert data["store"] == f"{name}.h5"
        clips = {"digits": 3000, "esc10": 400}[name]
        assert config["trainer"]["max_epochs"] * (clips // data["batch_size"]) == steps
    assert augmentations == {(0.0, None): 3, (0.4, None): 3, (0.0, 5): 3}


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--seeds=[]"], "seeds: name at least one"),
        (["--seeds=[0,0]"], "seeds [0, 0]: a value appears twice"),
        (["--tasks=[]"], "tasks: name at least one file"),
        (["--tasks=[nowhere.h5]"], "nowhere.h5: no such file"),
        (["--tasks=[a/x.h5, b/x.h5]"], "two files have the same name"),
        (["--variants=[nowhere.yaml]"], "config nowhere.yaml: no such file or config name"),
        (["--variants=[scratch.yaml]"], "rename the config"),
        (["--pretrain=tiny_evaluation"], "a config of an evaluation, not of a training"),
        (["--evaluation=tiny"], "a config of a training, not of an evaluation"),
        (["--jobs=0"], "jobs 0"),
        (["--evaluation_options=['--rounds=3']"], "--rounds=3"),
        (["--evaluation_options=['--repeats=x']"], "repeats"),
    ],
)
def test_bad_options_are_named_before_anything_runs(table, tmp_path, monkeypatch, capsys, options, word):
    monkeypatch.chdir(tmp_path)
    Path("scratch.yaml").write_text("model: {}")
    try:
        status = main([*table, *options])
    except SystemExit as stop:
        status = stop.code
    assert status == 2
    error = capsys.readouterr().err.splitlines()
    assert error[-1].startswith("pcrq sweep sounds: error: ") and word in error[-1]
    assert not list((tmp_path / "out").rglob("results.json"))


def test_other_settings_in_the_same_folder_are_refused(table, tmp_path, capsys, write_sounds):
    assert main([*table, "--list_only=true"]) == 0
    (tmp_path / "elsewhere").mkdir()
    other = write_sounds(tmp_path / "elsewhere/sounds.h5", ["train", "train", "test"] * 2)
    assert main([*table, f"--tasks={json.dumps([str(other)])}"]) == 2
    assert "another task sounds" in capsys.readouterr().err


def test_a_table_grows_by_tasks(table, sounds, tmp_path, capsys, write_sounds):
    assert main(table) == 0
    other = write_sounds(tmp_path / "other.h5", ["train"] * 8 + ["test"] * 4)
    assert main([*table, f"--tasks={json.dumps([str(sounds), str(other)])}"]) == 0
    records = [record for file in (tmp_path / "out").rglob("results.json") for record in read_records(file)]
    told = sorted((record.method, record.config["task"]) for record in records)
    assert told == [
        (method, task) for method in ("RRC+Mixup", "RRC+RQ", "scratch") for task in ("other.h5", "sounds.h5")
    ]

"""The command line of a training: configs by name, options, errors of one line, and what is written where."""

import logging
from pathlib import Path

import pytest
import yaml
from lightning.pytorch.loggers import CSVLogger
from run_folder import assert_equal_ends

from pcrq import InputError
from projects.point_cloud.pretrain import PROGRAM, main
from projects.training.run import Run, find_config, read_config, resolve_configs

CONFIGS = PROGRAM.configs
SMALL = [
    *("--data.workers=0", "--data.batch_size=3", "--trainer.max_epochs=1", "--trainer.accelerator=cpu"),
    *(
        "--model.network.depth=4",
        "--model.network.full_depth=1",
        "--model.network.width=16",
        "--model.network.blocks=1",
    ),
    *("--model.network.nempty=true", "--trainer.enable_progress_bar=false", "--knn.every_n_epochs=0"),
]


def options(*words):
    parser = PROGRAM.parser()
    return parser, parser.parse_args(list(words))


@pytest.fixture
def folder(tmp_path):
    """Configs with a name, a name in a subfolder, and a name twice."""
    for name in ("tiny", "variants/rq", "variants/twice", "longer/twice"):
        path = tmp_path / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text("data: {batch_size: 7}\n")
    return tmp_path


@pytest.mark.parametrize("name", ["tiny", "variants/rq", "rq", "longer/twice"])
def test_configs_are_found_by_name(folder, name):
    assert find_config(name, folder).stem == Path(name).name


def test_a_path_is_a_config_too(folder, tmp_path):
    assert find_config(folder / "tiny.yaml", CONFIGS) == folder / "tiny.yaml"


@pytest.mark.parametrize(("name", "words"), [("tinny", "tiny"), ("twice", "longer/twice or variants/twice")])
def test_other_names_are_refused_with_those_available(folder, name, words):
    with pytest.raises(InputError, match=words):
        find_config(name, folder)


@pytest.fixture
def kinds(folder):
    """Configs of several kinds besides those of trainings."""
    (folder / "table6.yaml").write_text("protocols: {}\n")
    (folder / "lin.yaml").write_text("repeats: 1\n")
    (folder / "longer/rq.yaml").write_text("variants: []\n")
    return folder


@pytest.mark.parametrize(
    ("name", "kind", "available"),
    [
        ("tabel", "sweep", "table6"),
        ("rqq", "training", "rq, tiny"),
        ("x", "evaluation", "lin"),
        ("x", None, "lin, table6, tiny"),
    ],
)
def test_names_of_the_wanted_kind_are_suggested_similar_ones_first(kinds, name, kind, available):
    with pytest.raises(InputError, match=f"config {name}: no such file or .*; available: {available}$"):
        find_config(name, kinds, kind)


def test_of_two_configs_that_of_the_wanted_kind_is_found(kinds):
    assert find_config("rq", kinds, "sweep") == kinds / "longer/rq.yaml"
    assert find_config("rq", kinds, "training") == kinds / "variants/rq.yaml"


def test_every_config_is_replaced_by_its_path(folder):
    words = resolve_configs(["--config", "tiny", "--seed=3", "-c=rq", "--config=variants/twice"], folder, "training")
    expected = [f"--config={folder / name}.yaml" for name in ("tiny", "variants/rq", "variants/twice")]
    assert words == [expected[0], "--seed=3", *expected[1:]]


def test_a_config_without_a_name_is_an_error(folder):
    with pytest.raises(InputError, match="--config"):
        resolve_configs(["--seed", "1", "--config"], folder, "training")


def test_a_config_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text("protocols: {}\n")
    with pytest.raises(InputError, match="config of a sweep, not of a training"):
        read_config(path, "training")


@pytest.mark.parametrize(
    ("words", "value"),
    [([], False), (["--trainer.barebones"], True), (["--trainer.barebones", "--seed=1"], True)]
    + [(["--trainer.barebones", "false"], False), (["--trainer.barebones=true"], True)],
)
def test_a_flag_may_be_without_a_value(words, value):
    _, parsed = options("--data.store=shapes.h5", *words)
    assert parsed.trainer.barebones is value


def test_options_cannot_be_abbreviated(store_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main([f"--data.store={store_path}", "--trainer.max_step=3"])
    assert stop.value.code == 2
    assert "max_step" in capsys.readouterr().err


WRONG_VALUES = {
    "--model.network.depth=x": "model.network.depth 'x': must be an integer",
    "--model.network.nempty=x": "model.network.nempty 'x': must be true or false",
    "--model.quantization.bins=x": "model.quantization.bins 'x': must be an integer or null",
    "--trainer.callbacks=x": "trainer.callbacks 'x': must be the name or import path of a Callback or null",
    "--trainer.logger={class_path: CSVLogger, init_args: {x: 1}}": "CSVLogger: Option 'x' is not accepted",
}


@pytest.mark.parametrize(("option", "words"), WRONG_VALUES.items())
def test_a_value_of_another_type_is_an_error_of_one_line(option, words, capsys):
    with pytest.raises(SystemExit):
        main(["--data.store=nowhere.h5", option])
    (error,) = capsys.readouterr().err.splitlines()
    assert words in error and "subtypes" not in error


def test_without_options_the_missing_one_is_named(capsys):
    with pytest.raises(SystemExit) as stop:
        main([])
    error = capsys.readouterr().err.splitlines()
    assert stop.value.code == 2 and len(error) == 1
    assert error[0].startswith("pcrq pretrain shapes: error: ") and "data.store" in error[0]


def test_a_run_says_what_it_does_and_what_to_do_next(store_path, tmp_path, capsys):
    assert main([f"--data.store={store_path}", f"--out={tmp_path}", *SMALL, "--knn.every_n_epochs=1"]) == 0
    lines = capsys.readouterr().err.splitlines()
    lines = [line for line in lines if "epoch" not in line]
    assert lines[0].startswith("pretrain shapes: 8 shapes of ") and "on cpu" in lines[0] and str(tmp_path) in lines[0]
    checkpoint = tmp_path / "checkpoints/last.ckpt"
    assert lines[1] == f"checkpoint: {checkpoint}" and lines[2].startswith("kNN accuracy: ")
    assert lines[3].startswith("next: pcrq ") and str(checkpoint) in lines[3]


def test_the_options_of_a_run_are_kept_and_run_again(store_path, tmp_path):
    assert main([f"--data.store={store_path}", f"--out={tmp_path / 'a'}", *SMALL]) == 0
    config = tmp_path / "a/logs/version_0/config.yaml"
    assert yaml.safe_load(config.read_text())["data"]["batch_size"] == 3
    assert main([f"--config={config}", f"--out={tmp_path / 'b'}"]) == 0
    assert_equal_ends(tmp_path / "a", tmp_path / "b")


def test_a_logger_of_ones_own_does_not_replace_the_csv(store_path, tmp_path):
    words = [f"--data.store={store_path}", f"--out={tmp_path}", *SMALL]
    logger = {"class_path": "CSVLogger", "init_args": {"save_dir": str(tmp_path / "other")}}
    parser, parsed = options(*words, f"--trainer.logger={logger}")
    trainer = Run(PROGRAM, parser, parsed).make_trainer()
    folders = [Path(one.save_dir) for one in trainer.loggers if isinstance(one, CSVLogger)]
    assert folders == [tmp_path, tmp_path / "other"]


def test_logging_is_as_before_after_a_command():
    before = list(logging.getLogger("projects").handlers)
    assert main(["--help"]) == 0
    assert logging.getLogger("projects").handlers == before


def test_debug_shows_the_traceback_of_an_error(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        main(["--debug", f"--data.store={tmp_path / 'nowhere.h5'}", f"--out={tmp_path}"])

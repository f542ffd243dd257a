"""Results files: appended to as a whole, and nothing else passes for one."""

import json

import pytest

from pcrq import InputError
from projects.training.records import Record, append_records, code_version, read_records


def record(**changes):
    values = {"method": "MID", "protocol": "linear", "metric": "accuracy", "value": 0.5, "ratio": 0.1, "seed": 0}
    about = {"store": "s.h5", "digest": "abc", "train_samples": 10, "test_samples": 5, "config": {"bins": 30}}
    return Record(**{**values, **about, **changes})


def test_records_are_appended_in_order(tmp_path):
    path = tmp_path / "results.json"
    append_records(path, [record()])
    append_records(path, [record(seed=1, value=0.25), record(seed=2)])
    assert [r.seed for r in read_records(path)] == [0, 1, 2]
    assert read_records(path)[1] == record(seed=1, value=0.25)
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]


def test_what_is_already_recorded_is_left_as_it_is(tmp_path):
    """A run that resumes after its last epoch measures again."""
    path = tmp_path / "results.json"
    append_records(path, [record()])
    append_records(path, [record(value=0.75, seconds=3.0), record(seed=1)])
    assert read_records(path) == [record(), record(seed=1)]


def test_a_key_names_what_was_measured_and_not_what_came_out():
    assert record(value=0.1, seconds=3).key == record(value=0.9).key
    for change in (
        {"task": "t"},
        {"method": "x"},
        {"ratio": 0.2},
        {"seed": 5},
        {"digest": "y"},
        {"config": {"bins": 8}},
    ):
        assert record(**change).key != record().key


def test_a_file_from_before_tasks_is_read(tmp_path):
    path = tmp_path / "results.json"
    append_records(path, [record()])
    content = json.loads(path.read_text())
    del content["records"][0]["task"]
    path.write_text(json.dumps(content))
    assert read_records(path) == [record(task="")]


VERSION_1 = """{"format": "pcrq-results", "version": 1, "records": [{
 "arm": "MID", "protocol": "linear", "metric": "accuracy", "value": 0.5, "ratio": 0.1, "seed": 0, "store": "s.h5",
 "digest": "abc", "train_shapes": 10, "test_shapes": 5, "task": "t", "config": {"bins": 30}, "seconds": 2.5, "code": ""
}]}"""


def test_a_file_of_version_1_is_read_and_rewritten_in_the_current_version(tmp_path):
    """It calls its samples shapes, and its method an arm."""
    path = tmp_path / "results.json"
    path.write_text(VERSION_1)
    (old,) = read_records(path)
    assert old == record(task="t", seconds=2.5) and (old.train_samples, old.test_samples) == (10, 5)
    append_records(path, [record(seed=1)])
    assert json.loads(path.read_text())["version"] == 3
    assert read_records(path) == [old, record(seed=1)]


def test_a_file_of_version_2_is_read(tmp_path):
    path = tmp_path / "results.json"
    text = VERSION_1.replace('"version": 1', '"version": 2').replace("_shapes", "_samples")
    pretraining = '{"rival": "DACL", "rival_options": {"alpha": 0.9}}'
    path.write_text(text.replace('{"bins": 30}', f'{{"pretraining": {pretraining}}}'))
    (old,) = read_records(path)
    assert old.method == "MID"
    assert old.config["pretraining"] == {"baseline": "DACL", "baseline_options": {"alpha": 0.9}}


@pytest.mark.parametrize("place", ['{"bins": 0}', '{"augmentation": {"bins": 0}}'])
def test_0_bins_of_version_2_mean_no_quantization(tmp_path, place):
    path = tmp_path / "results.json"
    text = VERSION_1.replace('"version": 1', '"version": 2').replace("_shapes", "_samples")
    path.write_text(text.replace('{"bins": 30}', f'{{"pretraining": {place}}}'))
    (old,) = read_records(path)
    assert old.config["pretraining"] == json.loads(place.replace("0", "null"))


def test_the_augmentation_of_a_file_of_version_2_has_its_current_name(tmp_path):
    path = tmp_path / "results.json"
    view = '{"view": {"angle": 5, "shift": 0.125, "scale": 0.25}}'
    text = VERSION_1.replace('"version": 1', '"version": 2').replace("_shapes", "_samples")
    path.write_text(text.replace('{"bins": 30}', view))
    (old,) = read_records(path)
    assert old.config == {"augmentation": {"angle": 5, "shift": 0.125, "scale": 0.25, "uniform_scale": True}}


def test_options_that_a_file_lacks_have_the_values_they_had_before(tmp_path):
    """So that a run that goes on, or the same run of today, has the same key."""
    added, path = {"bn_momentum": 0.1, "bn_eps": 1e-5, "init": "default"}, tmp_path / "results.json"
    old = [{"network": {"full_depth": 2}}, {"full_depth": 2}, {"pretraining": {"optimization": {"momentum": 0.9}}}]
    append_records(path, [record(config=config) for config in old])
    assert [r.config for r in read_records(path)] == [
        {"network": {"full_depth": 2, **added}},
        {"full_depth": 2, **added},
        {"pretraining": {"optimization": {"momentum": 0.9, "optimizer": "lars", "final_momentum": 1.0}}},
    ]


def test_names_of_one_version_are_refused_in_the_other(tmp_path):
    path = tmp_path / "results.json"
    path.write_text(VERSION_1.replace('"version": 1', '"version": 2'))
    with pytest.raises(InputError, match="train_shapes"):
        read_records(path)


def test_a_file_of_a_later_version_is_not_guessed_at(tmp_path):
    path = tmp_path / "results.json"
    path.write_text(VERSION_1.replace('"version": 1', '"version": 4'))
    with pytest.raises(InputError, match="version 4, not 1 to 3"):
        append_records(path, [record()])


@pytest.mark.parametrize("change", [{"value": "high"}, {"seed": 0.5}, {"config": "bins 30"}, {"method": None}])
def test_a_record_whose_fields_have_other_types_is_refused(tmp_path, change):
    path = tmp_path / "results.json"
    append_records(path, [record(**change)])
    with pytest.raises(InputError, match=f"results.json.*{next(iter(change))}"):
        read_records(path)


@pytest.mark.parametrize(
    "content",
    [
        *("", "[]", "{}", "[" * 100_000, json.dumps({"format": "other"}), '{"format": "pcrq-results"}'),
        '{"format": "pcrq-results", "version": 2, "records": [7]}',
    ],
)
def test_other_files_are_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "results.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"results\.json"):
        append_records(path, [record()])
    assert path.read_text() == content


def test_the_code_version_names_the_release():
    assert code_version().startswith("0.")

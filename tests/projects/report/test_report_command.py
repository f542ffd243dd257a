"""``pcrq report`` as a user meets it."""

import json

import pytest

from projects.cli import main
from projects.training.records import Record, append_records


def classification(value, seed=0, **changes):
    about = {"store": "m.h5", "digest": "d1", "train_samples": 5, "test_samples": 50, "task": "shape classification"}
    return Record("MID", "ft", "accuracy", value, 0.01, seed, **{**about, **changes})


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Runs of classification in two folders, one run of another kind, and bad things."""
    for seed, value in enumerate((0.5, 0.75)):
        run = tmp_path / f"runs/deep/seed{seed}"
        run.mkdir(parents=True)
        append_records(run / "results.json", [classification(value, seed)])
    (tmp_path / "other").mkdir()
    append_records(tmp_path / "other/results.json", [classification(0.5, task="")])
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged/results.json").write_text((tmp_path / "other/results.json").read_text()[:-20])
    (tmp_path / "typed").mkdir()
    content = json.loads((tmp_path / "other/results.json").read_text())
    content["records"][0]["value"] = "high"
    (tmp_path / "typed/results.json").write_text(json.dumps(content))
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_folders_are_searched_and_seeds_come_together(folder, capsys):
    assert main(["report", "runs", "other"]) == 0
    text = capsys.readouterr().out
    assert "62.5 ± 17.7 (2)" in text
    assert "1 of 3 results belong to none of the tables (ft, accuracy: 1)." in text
    assert "Table 7" not in text, "nothing of it was measured"


def test_a_file_named_twice_is_read_once(folder, capsys):
    assert main(["report", "runs", "runs/deep", "runs/deep/seed0/results.json"]) == 0
    assert "62.5 ± 17.7 (2)" in capsys.readouterr().out


def test_out_holds_the_report_with_its_picture_and_numbers(folder, capsys):
    append_records(folder / "runs/results.json", [classification(0.25, store="n.h5", digest="d2")])
    assert main(["report", "runs", "--out", "new"]) == 0
    names = sorted(path.name for path in (folder / "new").iterdir())
    assert names == ["report.md", "table6-2.png", "table6.csv", "table6.png"]
    text, printed = (folder / "new/report.md").read_text(), capsys.readouterr().out
    assert text.count("](table6.png)") == text.count("](table6-2.png)") == 1
    assert [line for line in text.splitlines() if line.startswith("|")] == [
        line for line in printed.splitlines() if line.startswith("|")
    ]
    assert len((folder / "new/table6.csv").read_text().splitlines()) == 1 + 2 * 5 * 6  # header; stores, rows, columns


def test_the_report_explains_itself(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["report", "--help"])
    assert stop.value.code == 0 and "6 shape classification" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("command", "culprit"),
    [
        ("nowhere", "nowhere"),
        ("empty", "empty: no results.json"),
        ("damaged", "damaged/results.json"),
        ("typed", "typed/results.json: not a results file of pcrq (value 'high'"),
        ("other", "other: none of the 1 results belongs to a table"),
        ("runs --table 7", "--table 7"),
        ("runs --table 3", "--table 3: none of the 2 results"),
        ("runs --table 11", "--table"),
        ("runs --out other/results.json", "--out other/results.json"),
        ("runs --out a/b", "--out a/b"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(folder, capsys, command, culprit):
    before = sorted(folder.rglob("*"))
    try:
        status = main(["report", *command.split()])
    except SystemExit as stop:
        status = stop.code
    out, err = capsys.readouterr()
    assert status == 2 and out == ""
    (error,) = [line for line in err.splitlines() if "error: " in line]
    assert culprit in error
    assert sorted(folder.rglob("*")) == before

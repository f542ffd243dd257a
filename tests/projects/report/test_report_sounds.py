"""The report on sounds: table 9, whose columns are data sets of their own."""

import csv
import statistics
from dataclasses import asdict

import pytest
from variants import AUDIO_VARIANTS as VARIANTS

from projects.audio.augmentation import Augmentation
from projects.cli import main
from projects.report.aggregate import FoundRecord, aggregate
from projects.report.render import markdown
from projects.report.tables import TABLES, Match
from projects.training.records import Record, append_records

TABLE_9 = TABLES["9"]
PAPER_ACCURACY = TABLE_9.blocks[0].paper
TASKS = ("NS", "US8K", "VC1", "VF", "SPCV2/12", "SPCV2")


def record(
    method="RRC+RQ", task="NS", value=0.5, seed=0, *, augmentation: Augmentation | None = None, **changes
) -> Record:
    """A linear evaluation as ``projects.audio`` records it."""
    augmentation = VARIANTS.get(method) if augmentation is None else augmentation
    pretraining = {} if augmentation is None else {"augmentation": asdict(augmentation)}
    about = {"method": method, "protocol": "linear evaluation", "metric": "accuracy", "value": value, "ratio": 1.0}
    about |= {"seed": seed, "store": f"{task}.h5", "digest": f"digest of {task}", "train_samples": 80}
    about |= {"test_samples": 20, "task": "sound classification"}
    return Record(**{**about, "config": {"task": task, "pretraining": pretraining, "weights": f"w{seed}"}, **changes})


def sheets(records):
    return aggregate(TABLE_9, [FoundRecord(one, "results.json") for one in records])


def test_the_papers_numbers_are_those_that_its_text_compares():
    """Section 5.3: better on four of six, on VoxCeleb1 by 5.6 points, on average by 1.8; averages are of the six."""
    ours, theirs = PAPER_ACCURACY["Ours"], PAPER_ACCURACY["BYOL-A"]
    assert sum(a > b for a, b in zip(ours[:6], theirs[:6], strict=True)) == 4
    assert ours[2] - theirs[2] == pytest.approx(5.6) and ours[6] - theirs[6] == pytest.approx(1.8)
    for row in ("Ours", "BYOL-A", "COLA, second row"):
        assert PAPER_ACCURACY[row][6] == pytest.approx(statistics.fmean(PAPER_ACCURACY[row][:6]), abs=0.051)


@pytest.mark.parametrize(
    ("method", "row"),
    [("RRC+RQ", "Ours"), ("RRC+Mixup", "BYOL-A"), ("BYOL-A", "BYOL-A"), ("RRC", "RRC"), ("scratch", "scratch")],
)
def test_every_method_has_its_row(method, row):
    assert TABLE_9.find(record(method, "VC1")) == Match(row, "VC1")


def test_other_readings_of_the_paper_have_rows_of_their_names_beside_ours():
    readings = [name for name in VARIANTS if name.startswith("RRC+RQ (")]
    assert len(readings) == 3
    assert [TABLE_9.find(record(name)).row for name in readings] == readings
    (sheet,) = sheets([record(name) for name in ("RRC+RQ", *readings)])
    assert all(("accuracy", row, "NS") in sheet.cells for row in ("Ours", *readings)) and not sheet.notes
    assert '"Ours" samples one quantizer per augmented spectrogram, after the crop' in markdown([sheet])


def test_published_weights_stand_beside_the_own_byol_a():
    def published(file: str) -> Record:
        return record("BYOL-A", config={"task": "NS", "pretraining": {"weights of": file}, "weights": file}, value=0.7)

    files = [f"AudioNTT2020-BYOLA-64x96d{dimension}.pth" for dimension in (512, 2048)]
    (sheet,) = sheets([record("RRC+Mixup"), *(published(file) for file in files)])
    means = {row: cell.mean for (_, row, _), cell in sheet.cells.items()}
    rows = {"BYOL-A": 50, "BYOL-A, published 512-d": 70, "BYOL-A, published 2048-d": 70}
    assert means == pytest.approx(rows) and not sheet.notes
    assert TABLE_9.find(published("AudioNTT2020-BYOLA.pth")).row == "BYOL-A, published (AudioNTT2020-BYOLA.pth)"


def test_what_differs_from_the_paper_has_a_row_that_says_so():
    assert TABLE_9.find(record(augmentation=Augmentation(bins=8))).row == "RRC+RQ (bins 8)"
    other = Augmentation(per_frequency=True, quantize_first=True)
    assert TABLE_9.find(record(augmentation=other)).row == "RRC+RQ (per frequency, before the crop)"
    fewer = Augmentation(bins=3, quantize_first=True)
    assert TABLE_9.find(record(fewer.name, augmentation=fewer)).row == "RRC+RQ (bins 3, before the crop)"
    assert (
        TABLE_9.find(record("RRC+Mixup", augmentation=Augmentation(mixup=0.2, bins=None))).row
        == "RRC+Mixup (mixup 0.2)"
    )


def test_records_of_other_tasks_and_protocols_are_not_here():
    assert TABLE_9.find(record(task="x", config={"task": None})) is None
    for changes in ({"protocol": "kNN"}, {"metric": "loss"}):
        assert TABLE_9.find(record(**changes)) is None
    assert TABLE_9.find(Record(**{**asdict(record()), "task": "image classification"})) is None
    assert all(table.find(record()) is None for number, table in TABLES.items() if number != "9")
    assert TABLE_9.find(record(config={"task": "NS", "pretraining": "a word"})) == Match("Ours", "NS")


def test_all_tasks_stand_in_one_table_though_their_data_differ():
    (sheet,) = sheets([record(task=task, value=0.1 * place) for place, task in enumerate(TASKS, 1)])
    assert [round(sheet.cells["accuracy", "Ours", task].mean) for task in TASKS] == [10, 20, 30, 40, 50, 60]
    assert sheet.cells["accuracy", "Ours", "Average"].mean == pytest.approx(35)
    text = markdown([sheet])
    assert "VC1.h5, digest digest of VC1; 80 training and 20 test sounds." in text and "are other data" not in text


def test_the_average_needs_all_six_tasks_and_is_taken_within_seeds():
    values = {task: [0.1 * place, 0.1 * place + 0.04] for place, task in enumerate(TASKS, 1)}
    records = [record(task=task, value=v, seed=seed) for task, both in values.items() for seed, v in enumerate(both)]
    (sheet,) = sheets(records)
    cell = sheet.cells["accuracy", "Ours", "Average"]
    assert cell.seeds == 2 and cell.mean == pytest.approx(37)
    assert cell.deviation == pytest.approx(statistics.stdev([35, 39]))
    (sheet,) = sheets([one for one in records if one.config["task"] != "VF"])
    assert ("accuracy", "Ours", "Average") not in sheet.cells
    (sheet,) = sheets([one for one in records if (one.config["task"], one.seed) != ("VF", 1)])
    assert sheet.cells["accuracy", "Ours", "Average"].seeds == 1


def test_another_version_of_a_task_opens_a_table_of_its_own():
    first, second = sheets([record(), record(task="US8K", value=0.2), record(value=0.9, digest="another")])
    means = [{column: cell.mean for (_, _, column), cell in sheet.cells.items()} for sheet in (first, second)]
    assert means == [{"NS": pytest.approx(90), "US8K": pytest.approx(20)}, {"NS": pytest.approx(50)}]


def test_other_sounds_have_a_column_and_a_sentence():
    (sheet,) = sheets([record(task="sounds.h5"), record(task="sounds.h5", protocol="kNN", metric="kNN accuracy")])
    assert sheet.columns == [*TASKS, "Average", "sounds.h5"]
    text = markdown([sheet])
    assert "are other data" in text and "### kNN accuracy" in text


def test_the_command_prints_it_and_the_files_name_the_data_of_every_column(tmp_path, capsys):
    append_records(tmp_path / "results.json", [record(), record(task="US8K", value=0.25)])
    assert main(["report", str(tmp_path), "--table", "9", "--out", str(tmp_path / "out")]) == 0
    assert "## Table 9" in capsys.readouterr().out
    rows = list(csv.DictReader((tmp_path / "out/table9.csv").open()))
    measured = {row["column"]: (row["mean"], row["digest"]) for row in rows if row["mean"]}
    assert measured == {"NS": ("50.0", "digest of NS"), "US8K": ("25.0", "digest of US8K")}
    assert all(row["digest"] == "" for row in rows if row["column"] == "VF")
    assert (tmp_path / "out/table9.png").stat().st_size > 10_000

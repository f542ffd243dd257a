"""The report: which record belongs to which cell of the paper's tables, and what is made of it."""

import csv
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pcrq import InputError
from projects.report.aggregate import FoundRecord, aggregate
from projects.report.plot import draw, save_png, series
from projects.report.render import markdown, save_csv
from projects.report.tables import TABLES, Block, Match, Table
from projects.training.records import Record

TABLE_6, TABLE_7 = TABLES["6"], TABLES["7"]

SIZES = {"Bag": 10, "Cap": 30, "Mug": 60}
OURS = "MID + quantization"


def record(value=0.5, method=OURS, protocol="lin", ratio=0.01, seed=0, metric="accuracy", **changes):
    about = {"store": "m.h5", "digest": "d1", "train_samples": 100, "test_samples": 50, "task": "shape classification"}
    about |= {"config": {"weights": "w1"}, "code": "0.1"}
    return Record(method, protocol, metric, value, ratio, seed, **{**about, **changes})


def segmentations(values, *, weights="w1", **changes):
    """One record for every category."""
    return [
        record(
            value,
            task="part segmentation",
            metric=changes.get("metric", "mIoU"),
            test_samples=SIZES[category],
            config={"category": category, "categories": 3, "weights": weights},
            **{name: change for name, change in changes.items() if name != "metric"},
        )
        for category, value in values.items()
    ]


def found(records, path="run/results.json"):
    return [FoundRecord(one, Path(path)) for one in records]


def sheet(table, records):
    (only,) = aggregate(table, found(records))
    return only


def grid(text, heading):
    """The first Markdown table below a heading, as rows of stripped cells, without the rule."""
    lines = text.split(f"### {heading}\n", 1)[1].split("\n#")[0].splitlines()
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines if line.startswith("|")]
    return [rows[0], *rows[2:]]


# The paper's numbers


def test_the_papers_numbers_are_those_that_its_text_compares():
    """Section 5.2: with 1 % of the labels, 5.2 and 4.0 points of accuracy; 4.4 and 1.9 of C.mIoU, over MID-FC."""
    for table, gains in ((TABLE_6, (5.2, 4.0)), (TABLE_7, (4.4, 1.9))):
        block = table.blocks[0]
        for protocol, gain in zip(("lin", "ft"), gains, strict=True):
            ours, base = (table.paper(block, f"{name} ({protocol})", 0.01) for name in ("Ours", "MID-FC"))
            assert ours - base == pytest.approx(gain)
    assert TABLE_6.paper(TABLE_6.blocks[0], "Scratch", 1.0) == 92.9
    assert TABLE_6.paper(TABLE_6.blocks[0], "FoldingNet (lin)", 1.0) is None
    assert TABLE_7.paper(TABLE_7.blocks[1], "Multi-Task (lin)", 0.05) == 80.7


# Cells


@pytest.mark.parametrize(
    ("method", "protocol", "row"),
    [
        ("MID", "lin", "MID-FC (lin)"),
        (OURS, "lin", "Ours (lin)"),
        ("MID", "ft", "MID-FC (ft)"),
        (OURS, "ft", "Ours (ft)"),
        ("scratch", "scratch", "Scratch"),
        ("scratch", "lin", "scratch (lin)"),
        ("mine", "ft", "mine (ft)"),
    ],
)
def test_every_pretraining_has_its_row(method, protocol, row):
    assert TABLE_6.find(record(method=method, protocol=protocol)) == Match(row, 0.01)


@pytest.mark.parametrize(
    "change",
    [{"task": ""}, {"task": "part segmentation"}, {"protocol": "linear, logistic regression"}, {"metric": "kNN"}],
)
def test_records_of_other_kinds_belong_to_no_table(change):
    assert TABLE_6.find(record(**change)) is None and TABLE_7.find(record(**change)) is None


def test_a_cell_is_the_mean_and_the_sample_deviation_over_seeds():
    values = [0.60, 0.64, 0.71]
    cell = sheet(TABLE_6, [record(v, seed=s) for s, v in enumerate(values)]).cells["accuracy", "Ours (lin)", 0.01]
    assert cell.mean == pytest.approx(100 * np.mean(values))
    assert cell.deviation == pytest.approx(100 * np.std(values, ddof=1))
    assert cell.seeds == 3


def test_one_seed_has_no_deviation():
    assert sheet(TABLE_6, [record()]).cells["accuracy", "Ours (lin)", 0.01].deviation is None


def test_means_over_categories_and_over_shapes():
    result = sheet(TABLE_7, segmentations({"Bag": 0.2, "Cap": 0.4, "Mug": 0.9}))
    assert result.cells["C.mIoU", "Ours (lin)", 0.01].mean == pytest.approx((20 + 40 + 90) / 3)
    assert result.cells["I.mIoU", "Ours (lin)", 0.01].mean == pytest.approx(0.1 * 20 + 0.3 * 40 + 0.6 * 90)
    assert not any("absent" in block for block, _, _ in result.cells)


def test_a_seed_without_all_categories_does_not_count_and_is_named():
    whole = segmentations({"Bag": 0.2, "Cap": 0.4, "Mug": 0.9}, protocol="ft")
    half = segmentations({"Bag": 1.0, "Cap": 1.0}, protocol="ft", seed=2)
    result = sheet(TABLE_7, whole + half)
    assert result.cells["C.mIoU", "Ours (ft)", 0.01].mean == pytest.approx(50)
    assert result.cells["C.mIoU", "Ours (ft)", 0.01].seeds == 1
    assert result.notes == ("Ours (ft), 1 %, seed 2: 2 of 3 categories",)
    assert result.part_cells["mIoU", "Ours (ft)", 0.01, "Bag"].mean == pytest.approx(60)


def test_the_other_convention_has_cells_of_its_own():
    values = {"Bag": 0.2, "Cap": 0.4, "Mug": 0.9}
    other = segmentations(dict.fromkeys(values, 1.0), metric="mIoU, absent parts count 1")
    cells = sheet(TABLE_7, segmentations(values) + other).cells
    assert cells["C.mIoU", "Ours (lin)", 0.01].mean == pytest.approx(50)
    assert cells["C.mIoU, absent parts count 1", "Ours (lin)", 0.01].mean == pytest.approx(100)


# What is never averaged


def test_the_same_result_found_twice_counts_once():
    result = sheet(TABLE_6, [record(0.5), record(0.5), record(0.7, seed=1)])
    assert result.cells["accuracy", "Ours (lin)", 0.01].seeds == 2
    assert not result.notes


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"config": {"weights": "w2"}}, "differ in weights (w1 / w2)"),
        ({"config": {"weights": "w1", "view": {"angle": 5}}}, "differ in view.angle (none / 5)"),
        ({}, "have the same config but not the same value"),
    ],
)
def test_two_results_for_one_seed_are_left_out_and_explained(change, why):
    baselines = found([record(0.5)], "a/results.json") + found([record(0.9, **change)], "b/results.json")
    (result,) = aggregate(TABLE_6, baselines + found([record(0.6, seed=1)]))
    assert result.cells["accuracy", "Ours (lin)", 0.01].mean == pytest.approx(60)
    (note,) = result.notes
    assert note.startswith("Ours (lin), 1 %, seed 0: several results") and why in note
    assert "a/results.json" in note and "b/results.json" in note


def test_a_note_names_only_what_differs_for_one_seed():
    """Iterations differ from ratio to ratio, as they should."""
    records = [
        record(0.5, ratio=ratio, config={"weights": weights, "iterations": 1000 * ratio})
        for ratio in (0.01, 0.02)
        for weights in ("w1", "w2")
    ]
    (note,) = sheet(TABLE_6, records).notes
    assert "1 %, 2 %" in note and "weights (w1 / w2)" in note and "iterations" not in note


def test_seeds_of_different_configs_are_averaged_with_a_note():
    result = sheet(TABLE_6, [record(seed=0), record(seed=1, config={"weights": "w2"})])
    assert result.cells["accuracy", "Ours (lin)", 0.01].seeds == 2
    assert result.notes == ("Ours (lin), 1 %: the seeds of a cell differ in weights too",)


def test_a_conflict_in_one_category_leaves_the_seed_incomplete():
    values = {"Bag": 0.2, "Cap": 0.4, "Mug": 0.9}
    result = sheet(TABLE_7, segmentations(values) + segmentations({"Cap": 0.5}, weights="w2"))
    assert not result.cells
    assert any("2 of 3" in note for note in result.notes) and any("weights" in note for note in result.notes)


def test_every_store_has_a_table_of_its_own():
    sheets = aggregate(TABLE_6, found([record(0.5, store="b.h5"), record(0.9, store="a.h5", digest="d2", seed=1)]))
    assert [(s.store, s.digest, s.cells["accuracy", "Ours (lin)", 0.01].mean) for s in sheets] == [
        ("a.h5", "d2", pytest.approx(90)),
        ("b.h5", "d1", pytest.approx(50)),
    ]


@pytest.mark.parametrize("change", [{"value": 66.7}, {"value": math.nan}, {"ratio": 0.0}, {"test_samples": 0}])
def test_numbers_that_cannot_be_are_refused(change):
    with pytest.raises(InputError, match=re.escape("run/results.json: MID + quantization, lin, seed 0: ")):
        aggregate(TABLE_6, found([record(**change)]))


# Markdown


def test_measured_numbers_stand_below_the_papers_and_the_rest_is_blank():
    records = [record(0.60), record(0.62, seed=1), record(0.5, method="a|b", ratio=0.5)]
    rows = grid(markdown([sheet(TABLE_6, records)]), "accuracy")
    assert rows[0] == ["", "", "1 %", "2 %", "5 %", "10 %", "20 %", "50 %", "100 %"]
    ours = next(i for i, row in enumerate(rows) if row[0] == "Ours (lin)")
    assert rows[ours] == ["Ours (lin)", "paper", "66.7", "74.3", "80.0", "84.5", "87.2", "", "90.5"]
    assert rows[ours + 1] == ["", "measured", "61.0 ± 1.4 (2)", "", "", "", "", "", ""]
    assert rows[1:3] == [["FoldingNet (lin)", "paper"] + [""] * 7, ["", "measured"] + [""] * 7]
    assert rows[-1] == [r"a\|b (lin)", "measured", "", "", "", "", "", "50.0 (1)", ""]


def test_the_bars_of_a_table_stand_below_each_other():
    text = markdown([sheet(TABLE_6, [record(), record(method="a long name of a network")])])
    assert len({len(line) for line in text.splitlines() if line.startswith("|")}) == 1


def test_categories_are_listed_at_the_ratio_where_most_are_measured():
    records = segmentations({"Bag": 0.2, "Cap": 0.4, "Mug": 0.9}, ratio=0.05) + segmentations({"Mug": 0.5}, ratio=1.0)
    rows = grid(markdown([sheet(TABLE_7, records)]), "mIoU of every category, 5 %")
    assert rows == [["category", "Ours (lin)"], ["Bag", "20.0 (1)"], ["Cap", "40.0 (1)"], ["Mug", "90.0 (1)"]]


def test_scratch_has_a_row_in_table_7_only_where_it_was_measured():
    values = {"Bag": 0.2, "Cap": 0.4, "Mug": 0.9}
    without = grid(markdown([sheet(TABLE_7, segmentations(values))]), "C.mIoU")
    scratch = segmentations(values, method="scratch", protocol="scratch")
    rows = grid(markdown([sheet(TABLE_7, segmentations(values) + scratch)]), "C.mIoU")
    assert rows == [*without, ["Scratch", "measured", "50.0 (1)", "", ""]]


def test_the_header_says_what_was_measured_on_what():
    config = {"network": {"depth": 5, "width": 32}, "iterations": 7}
    records = [
        record(method="MID", config={**config, "weights": "w1"}),
        record(config={**config, "weights": "w2"}, ratio=0.05, train_samples=1500),
        record(config={**config, "weights": "w2", "iterations": 9}, ratio=1.0, train_samples=9843, code="0.2"),
    ]
    text = markdown([sheet(TABLE_6, records)])
    assert "- Store: m.h5, digest d1; 50 test shapes." in text
    assert "- Training shapes: 100 (1 %), 1,500 (5 %), 9,843 (100 %)." in text
    assert "- Config of all methods: network: depth 5, width 32." in text
    assert "- MID-FC (lin): method MID, iterations 7, weights w1." in text
    assert "- Ours (lin): method MID + quantization, weights w2." in text
    assert "- Varies within a method: iterations." in text
    assert "- Code: 0.1, 0.2." in text


@pytest.mark.parametrize(("test_samples", "other"), [(50, True), (2468, False)])
def test_a_store_of_another_size_is_said_to_differ(test_samples, other):
    text = markdown([sheet(TABLE_6, [record(test_samples=test_samples)])])
    assert "The paper's numbers are from ModelNet40" in text
    assert ("This store differs from the paper's" in text) == other


def test_control_characters_do_not_reach_the_terminal():
    text = markdown([sheet(TABLE_6, [record(method="\x1b[31mred\nline", store="s\x07.h5")])])
    assert not re.search(r"[^\n\w\W ]|[\x00-\x09\x0b-\x1f]", text)
    assert re.search(r"^\| +\[31mred line \(lin\) +\|", text, flags=re.MULTILINE)


# CSV


def test_the_csv_file_has_a_row_per_cell(tmp_path):
    values = {"Bag": 0.2, "Cap": 0.4, "Mug": 0.9}
    records = segmentations(values) + segmentations({**values, "Mug": 0.6}, seed=1)
    save_csv([sheet(TABLE_7, records)], tmp_path / "table7.csv")
    with (tmp_path / "table7.csv").open(encoding="utf-8", newline="") as file:
        rows = {(r["metric"], r["row"], r["column"], r["part"]): r for r in csv.DictReader(file)}
    ours = rows["C.mIoU", "Ours (lin)", "0.01", ""]
    assert (ours["table"], ours["paper"], ours["seeds"], ours["store"], ours["digest"]) == (
        "7",
        "70.6",
        "2",
        "m.h5",
        "d1",
    )
    assert float(ours["mean"]) == pytest.approx((50 + 40) / 2, abs=1e-4)
    assert float(ours["std"]) == pytest.approx(10 / math.sqrt(2), abs=1e-4)
    unmeasured = rows["I.mIoU", "Ours (ft)", "1.0", ""]
    assert (unmeasured["paper"], unmeasured["mean"], unmeasured["std"], unmeasured["seeds"]) == ("85.5", "", "", "0")
    assert float(rows["mIoU", "Ours (lin)", "0.01", "Mug"]["mean"]) == pytest.approx(75)
    assert ("C.mIoU", "Multi-Task (lin)", "1.0", "") not in rows, "neither in the paper nor measured"


# Picture


def test_lines_hold_the_papers_and_the_measured_numbers():
    records = [record(0.6), record(0.7, seed=1), record(0.9, ratio=0.5), record(0.3, method="mine")]
    result = sheet(TABLE_6, records)
    lines = {(line.row, line.paper): line for line in series(result, TABLE_6.blocks[0])}
    assert lines["Ours (lin)", True].values == [66.7, 74.3, 80.0, 84.5, 87.2, 90.5]
    assert lines["Ours (lin)", True].columns == [0.01, 0.02, 0.05, 0.1, 0.2, 1.0]
    measured = lines["Ours (lin)", False]
    assert measured.columns == [0.01, 0.5] and measured.values == pytest.approx([65, 90])
    assert measured.deviations == pytest.approx([100 * np.std([0.6, 0.7], ddof=1), 0])
    assert ("mine (lin)", False) in lines and ("mine (lin)", True) not in lines
    assert not any(row.startswith("FoldingNet") for row, _ in lines)


def test_a_panel_for_every_protocol_with_dashes_for_the_paper_in_the_colour_of_the_method():
    nearest = record(0.5, protocol="kNN", metric="kNN accuracy")  # not in the paper, so not in the picture
    lin, ft = draw(sheet(TABLE_6, [record(0.4), record(0.6, protocol="ft"), nearest])).axes
    assert (lin.get_title(), ft.get_title(), lin.get_xscale()) == ("accuracy (lin)", "accuracy (ft)", "log")
    for axes, measured, paper in ((lin, 40, 66.7), (ft, 60, 71.3)):
        by_start = {round(float(line.get_ydata()[0]), 1): line for line in axes.lines if line.get_linestyle() != "None"}
        assert by_start[paper].get_linestyle() == "--" and by_start[measured].get_linestyle() == "-"
        assert by_start[paper].get_color() == by_start[measured].get_color()
        assert 58.5 in by_start, "Scratch is drawn beside both"
        assert len(by_start) == 4


def test_tables_colour_the_methods_they_share_alike():
    colours = []
    scratch = {"method": "scratch", "protocol": "scratch"}
    for result in (
        sheet(TABLE_6, [record(protocol="ft"), record(**scratch)]),
        sheet(TABLE_7, segmentations({"Bag": 0.2, "Cap": 0.4, "Mug": 0.9}, **scratch)),
    ):
        legend = draw(result).legends[0]
        keys = zip(legend.get_texts(), legend.get_lines(), strict=True)
        colours.append({text.get_text(): line.get_color() for text, line in keys})
    classes, parts = colours
    assert all(classes[method] == parts[method] for method in ("MID-FC", "Ours", "Scratch"))
    assert len({parts[method] for method in ("MID-FC", "Ours", "Scratch", "Multi-Task")}) == 4


def test_the_picture_is_a_png_whatever_the_names(tmp_path):
    save_png(sheet(TABLE_7, segmentations({"Bag": 0.2}, method=r"$\bad$", store="$x_$.h5")), tmp_path / "table7.png")
    save_png(sheet(TABLE_6, [record(method=r"$\bad$", store="$x_$.h5")]), tmp_path / "table6.png")
    for path in tmp_path.iterdir():
        assert path.read_bytes().startswith(b"\x89PNG\r\n")


# A table of another kind


def test_columns_may_be_data_sets_instead_of_label_ratios(tmp_path):
    paper = {"BYOL-A": (74.1, 79.1), "Ours": (74.2, None)}
    table = Table(
        "9",
        "audio",
        "from AudioSet",
        lambda one: {"method": "Ours", "data": one.store},
        columns=("NS", "US8K"),
        blocks=(Block("accuracy", "accuracy", paper),),
        row="method",
        column="data",
    )
    records = [record(0.5, store="US8K"), replace(record(0.6, store="VF"), seed=1)]
    result = sheet(table, records)
    rows = grid(markdown([result]), "accuracy")
    assert rows[0] == ["", "", "NS", "US8K", "VF"]
    assert rows[-1] == ["", "measured", "", "50.0 (1)", "60.0 (1)"]
    panels = draw(result).axes
    assert [axes.get_title() for axes in panels] == ["NS", "US8K", "VF"]
    assert [label.get_text() for label in panels[0].get_yticklabels()] == ["BYOL-A", "Ours"]


def test_the_title_of_a_picture_tells_the_measured_data_from_the_papers():
    """A store may be named as the paper's data and contain something else."""
    small, whole = (draw(sheet(TABLE_6, [record(store="modelnet40.h5", test_samples=n)])) for n in (50, 2468))
    assert small.get_suptitle() == "Table 6, shape classification: modelnet40.h5 (50 test shapes)"
    assert whole.get_suptitle() == "Table 6, shape classification: modelnet40.h5"

"""The report on images: which record belongs to which cells of tables 1 to 5, and what is said of its data."""

import re
from dataclasses import asdict, replace

import pytest
from variants import IMAGE_VARIANTS as VARIANTS

from projects.cli import main
from projects.image.augmentation import Augmentation
from projects.report.aggregate import FoundRecord, aggregate
from projects.report.plot import draw
from projects.report.render import markdown
from projects.report.tables import TABLES, Match
from projects.training.records import Record, append_records

OURS = VARIANTS["RRC+RQ"]


def record(augmentation: Augmentation = OURS, value=0.5, *, framework="MoCo v3", baseline="", epochs=12, **changes):
    """A linear probe of a pretrained encoder, as ``projects.image`` records it; not on ImageNet."""
    pretraining = {"framework": framework, "augmentation": asdict(augmentation), "baseline": baseline, "epochs": epochs}
    name = augmentation.name if baseline in ("", augmentation.name) else f"{augmentation.name} + {baseline}"
    about = {"seed": 0, "store": "built-in images test", "digest": "d1", "train_samples": 100, "test_samples": 50}
    about |= {"task": "image classification", "config": {"pretraining": pretraining, "weights": f"w{value}"}}
    probe = {"method": name, "protocol": "linear probe", "metric": "accuracy", "value": value, "ratio": 1.0}
    return Record(**{**probe, **about, **changes})


def recorded(augmentation: Augmentation, **changes) -> Record:
    """A record with other values of the augmentation than this version writes."""
    one = record(augmentation)
    pretraining = one.config["pretraining"]
    pretraining = {**pretraining, "augmentation": {**pretraining["augmentation"], **changes}}
    return replace(one, config={**one.config, "pretraining": pretraining})


def cells_of(one: Record) -> dict[str, tuple[str, str]]:
    """Row and column by number of the table."""
    found = {number: table.find(one) for number, table in TABLES.items()}
    return {number: (place.row, place.column) for number, place in found.items() if place is not None}


def sheet(number: str, records):
    (only,) = aggregate(TABLES[number], [FoundRecord(one, "results.json") for one in records])
    return only


def lines(text: str, heading: str) -> list[list[str]]:
    """The Markdown table below a heading, without the rule."""
    below = text.split(f"### {heading}\n", 1)[1].split("\n#")[0].splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in below if line.startswith("|")]
    return [rows[0], *rows[2:]]


# The paper's numbers


def paper(number: str, row: str) -> tuple:
    return TABLES[number].blocks[0].paper[row]


def test_the_papers_numbers_are_those_that_its_text_compares():
    """Section 4: 50.0 to 54.8 to 66.0 %, and 1.9 points more; 71.6 and 72.1 % with more epochs. Section 5.1: Ours with
    CR over DACL and i-Mix "by a large margin", with RRC by 10 points; 1 point below Full."""
    baseline, fixed, values, bins, both = (accuracy for (accuracy,) in TABLES["1"].blocks[0].paper.values())
    assert (baseline, fixed, bins) == (50.0, 54.8, 66.0)
    assert both - bins == pytest.approx(1.9) and fixed < values < bins
    assert paper("2", "MoCo-v3") == (67.9, 71.6, 72.1)
    assert paper("3", "CR + Ours")[0] == 42.9
    assert all(ours - dacl > 9 for ours, dacl in zip(paper("3", "RRC + Ours"), paper("3", "RRC + DACL"), strict=True))
    assert paper("4", "Full")[0] - paper("4", "RRC + Ours")[0] == pytest.approx(1.0)
    assert paper("5", "Ours")[0] - paper("5", "MSF w/w")[1] == pytest.approx(1.6)


def test_tables_agree_where_they_hold_the_same_network_but_for_one_digit():
    """RRC with BYOL is 49.3 in table 3 and 49.4 in table 4, as printed."""
    assert paper("1", "RRC")[0] == paper("3", "RRC")[0] == paper("4", "RRC")[0]
    assert paper("3", "CR + Ours") == paper("4", "Ours")
    assert paper("3", "RRC + Ours") == paper("4", "RRC + Ours") == (paper("2", "MoCo-v3")[0], paper("2", "BYOL")[0])
    assert paper("5", "Ours") == (paper("2", "MoCo-v3")[0], None, paper("2", "MoCo-v3")[1])
    assert (paper("3", "RRC")[1], paper("4", "RRC")[1]) == (49.3, 49.4)


# Rows and columns


def test_quantization_after_a_random_crop_is_in_all_five_tables():
    assert cells_of(record()) == {
        "1": ("+ random bins, random values", "MoCo-v3"),
        "2": ("MoCo-v3", "12-ep"),
        "3": ("RRC + Ours", "MoCo-v3"),
        "4": ("RRC + Ours", "MoCo-v3"),
        "5": ("Ours", "12-ep"),
    }
    assert cells_of(record(framework="BYOL")) == {
        "2": ("BYOL", "12-ep"),
        "3": ("RRC + Ours", "BYOL"),
        "4": ("RRC + Ours", "BYOL"),
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("CR", {"3": "CR"}),
        ("RRC", {"3": "RRC", "4": "RRC"}),
        ("RRC+CJ", {"4": "RRC + CJ"}),
        ("Full", {"4": "Full"}),
        ("CR+RQ", {"3": "CR + Ours", "4": "Ours"}),
        ("MSF", {}),  # the weak views without their method
    ],
)
def test_every_method_has_its_row(name, expected):
    assert cells_of(record(VARIANTS[name], framework="BYOL")) == {
        number: (row, "BYOL") for number, row in expected.items()
    }


@pytest.mark.parametrize("baseline", ["DACL", "i-Mix", "SSQL"])
@pytest.mark.parametrize("crop", ["CR", "RRC"])
def test_baselines_are_in_table_3(crop, baseline):
    assert cells_of(record(VARIANTS[crop], baseline=baseline)) == {"3": (f"{crop} + {baseline}", "MoCo-v3")}
    assert cells_of(record(VARIANTS[f"{crop}+RQ"], baseline=baseline)) == {}


def test_every_row_of_table_3_and_4_has_a_method():
    baselines = [
        record(VARIANTS[crop], baseline=baseline) for crop in ("CR", "RRC") for baseline in ("DACL", "i-Mix", "SSQL")
    ]
    reached = [cells_of(one) for one in [*baselines, *(record(augmentation) for augmentation in VARIANTS.values())]]
    for number in "34":
        assert {places[number][0] for places in reached if number in places} == set(TABLES[number].paper_rows)


@pytest.mark.parametrize("framework", ["MoCo v3", "BYOL"])
def test_mean_shift_is_in_table_5_whatever_it_is_built_on(framework):
    assert cells_of(record(VARIANTS["MSF"], baseline="MSF", framework=framework, epochs=200)) == {
        "5": ("MSF w/w", "200-ep")
    }
    assert cells_of(record(VARIANTS["RRC"], baseline="MSF", framework=framework)) == {}


@pytest.mark.parametrize(
    ("edges", "values", "row"),
    [
        (False, False, "+ uniform bins, midpoints"),
        (False, True, "+ uniform bins, random values"),
        (True, False, "+ random bins, midpoints"),
    ],
)
def test_half_random_quantization_is_in_table_1_alone(edges, values, row):
    half = replace(OURS, random_edges=edges, random_values=values)
    assert cells_of(record(half)) == {"1": (row, "MoCo-v3")}
    assert cells_of(record(half, framework="BYOL")) == {}
    assert cells_of(record(replace(half, bins=5))) == {}


def test_the_baseline_is_the_same_whatever_its_absent_quantizer_would_do():
    idle = replace(VARIANTS["RRC"], random_edges=False, random_values=False, p=0.5)
    assert cells_of(recorded(idle, bins=None)) == cells_of(recorded(idle, bins=0)) == cells_of(record(VARIANTS["RRC"]))
    assert cells_of(record(idle)) == cells_of(record(VARIANTS["RRC"])) != {}
    assert cells_of(record(VARIANTS["RRC"]))["1"] == ("RRC", "MoCo-v3")


@pytest.mark.parametrize("change", [{"bins": 5}, {"p": 0.5}, {"flip": True}, {"colour": "CJ"}])
def test_quantization_in_another_way_is_in_no_table(change):
    assert cells_of(record(replace(OURS, **change))) == {}


@pytest.mark.parametrize(
    "change",
    [
        {"config": {"pretraining": {}}, "method": "untrained"},
        {"config": {}},
        {"config": {"pretraining": "RRC+RQ"}},
        {"config": {"pretraining": {**record().config["pretraining"], "framework": "SimSiam"}}},
        {"config": {"pretraining": {**record().config["pretraining"], "epochs": "many"}}},
        {"task": "shape classification"},
        {"protocol": "kNN"},
        {"metric": "top-10 accuracy"},
        {"ratio": 0.1},
    ],
    ids=str,
)
def test_records_of_other_kinds_belong_to_no_table(change):
    assert cells_of(record(**change)) == {}


def test_on_imagenet_the_ablations_take_100_epochs():
    def on_imagenet(epochs):
        return cells_of(record(epochs=epochs, test_samples=50_000))

    assert set(on_imagenet(100)) == {"1", "2", "3", "4", "5"}
    assert set(on_imagenet(300)) == set(on_imagenet(12)) == {"2", "5"}
    assert set(cells_of(record(epochs=300))) == {"1", "2", "3", "4", "5"}


def test_neighbours_are_measured_beside_tables_1_3_and_4():
    knn = record(protocol="kNN", metric="kNN accuracy")
    assert set(cells_of(knn)) == {"1", "3", "4"}
    assert TABLES["3"].find(knn) == Match("RRC + Ours", "MoCo-v3")


# The report


def test_neighbours_have_a_block_without_numbers_of_the_paper():
    about = {"pretraining": record().config["pretraining"]}
    knn = record(value=0.25, protocol="kNN", metric="kNN accuracy", config={**about, "neighbours": 20})
    text = markdown([sheet("3", [record(value=0.5, config={**about, "learning_rate": 0.1}), knn])])
    assert lines(text, "kNN accuracy") == [["", "", "MoCo-v3"], ["RRC + Ours", "measured", "25.0 (1)"]]
    rows = lines(text, "top-1 accuracy")
    ours = rows.index(["RRC + Ours", "paper", "67.9", "67.2"])
    assert rows[ours + 1] == ["", "measured", "50.0 (1)", ""]
    assert "learning_rate 0.1" in text.split("- Config of all methods: ")[1].splitlines()[0]
    assert "- kNN accuracy: neighbours 20.\n" in text
    assert "### kNN accuracy" not in markdown([sheet("3", [record()])])


def test_columns_of_epochs_stand_by_their_number():
    records = [record(epochs=epochs, value=epochs / 1000) for epochs in (200, 1000, 12)]
    rows = lines(markdown([sheet("2", records)]), "top-1 accuracy")
    assert rows[0][2:] == ["12-ep", "100-ep", "200-ep", "300-ep", "800-ep", "1000-ep"]
    assert rows[1][2:] == ["", "67.9", "", "71.6", "72.1", ""]
    assert rows[2][2:] == ["1.2 (1)", "", "20.0 (1)", "", "", "100.0 (1)"]


def test_the_header_counts_images_and_says_how_far_they_compare():
    text = markdown([sheet("3", [record(), record(framework="BYOL")])])
    assert (
        "- Data: built-in images test, digest d1; 50 test images.\n- Training images: 100 (MoCo-v3), 100 (BYOL)."
        in text
    )
    assert (
        "are from ImageNet" in text and "This data differs from the paper's: compare the order of the methods" in text
    )
    assert not re.search(r"shapes|[Ss]tore", text)
    assert "differs from the paper's" not in markdown([sheet("3", [record(epochs=100, test_samples=50_000)])])


def test_seeds_are_pretrained_one_by_one_and_other_differences_are_said():
    seeds = [record(value=0.4, seed=0), record(value=0.6, seed=1)]
    result = sheet("3", seeds)
    assert result.notes == () and result.cells["top-1 accuracy", "RRC + Ours", "MoCo-v3"].seeds == 2
    (note,) = sheet("3", [*seeds, record(value=0.8, seed=2, epochs=30)]).notes
    assert note == "RRC + Ours, MoCo-v3: the seeds of a cell differ in pretraining.epochs too"


def test_runs_of_two_lengths_share_table_2_and_conflict_in_table_3():
    runs = [record(epochs=12, value=0.4), record(epochs=30, value=0.6)]
    assert len(sheet("2", runs).cells) == 2
    result = sheet("3", runs)
    assert not result.cells and "pretraining.epochs (12 / 30)" in result.notes[0]


def test_columns_without_an_order_are_panels_with_a_line_for_every_method():
    picture = draw(
        sheet("4", [record(value=0.4), record(value=0.6, seed=1), record(VARIANTS["Full"], framework="BYOL")])
    )
    moco, byol = picture.axes
    assert (moco.get_title(), byol.get_title()) == ("MoCo-v3", "BYOL")
    names = [label.get_text() for label in moco.get_yticklabels()]
    assert names == list(TABLES["4"].paper_rows)

    def dots(axes):
        marked = [line for line in axes.lines if line.get_marker() == "o"]
        return {(names[int(line.get_ydata()[0])], round(float(line.get_xdata()[0]), 1)) for line in marked}

    assert dots(moco) == {
        *((row, numbers[0]) for row, numbers in TABLES["4"].blocks[0].paper.items()),
        ("RRC + Ours", 50),
    }
    assert ("Full", 50.0) in dots(byol) and len(dots(byol)) == 6


def test_epochs_are_an_axis():
    (axes,) = draw(sheet("5", [record(epochs=12, value=0.3)])).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["12-ep", "100-ep", "200-ep", "300-ep"]
    (measured,) = [line for line in axes.lines if line.get_linestyle() == "-"]
    assert measured.get_xdata()[0] == 0 and measured.get_ydata()[0] == pytest.approx(30)


# The command


def test_one_run_fills_all_five_tables(tmp_path, capsys):
    append_records(
        tmp_path / "results.json",
        [record(), record(metric="top-5 accuracy", value=0.9), record(metric="top-10 accuracy", value=0.99)],
    )
    assert main(["report", str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert re.findall(r"^## Table (\d)", text, flags=re.MULTILINE) == ["1", "2", "3", "4", "5"]
    assert "1 of 3 results belong to none of the tables (linear probe, top-10 accuracy: 1)." in text
    assert text.count("### top-5 accuracy") == 5
    assert {f"table{number}.png" for number in range(1, 6)} < {path.name for path in (tmp_path / "out").iterdir()}


def test_results_of_no_table_are_told_how_to_measure_images(tmp_path, capsys):
    append_records(tmp_path / "results.json", [record(method="untrained", config={"pretraining": {}})])
    assert main(["report", str(tmp_path)]) == 2
    assert "image encoders (tables 1 to 5) with pcrq evaluate images" in capsys.readouterr().err

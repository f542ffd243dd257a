"""``pcrq figure`` as a user meets it: figures 4 and 6 from images, figure 5 from runs."""

import re
from dataclasses import asdict, replace

import matplotlib.figure
import numpy as np
import pytest
from PIL import Image
from variants import IMAGE_VARIANTS as VARIANTS

from projects.cli import main
from projects.image.augmentation import Augmentation
from projects.training.records import Record, append_records

pytestmark = pytest.mark.medium

OURS = VARIANTS["RRC+RQ"]


def probe(augmentation: Augmentation, value: float, seed: int = 0, *, framework="MoCo v3", epochs=100, **changes):
    """The accuracy of a linear probe, as ``projects.image`` records it."""
    pretraining = {"framework": framework, "augmentation": asdict(augmentation), "baseline": "", "epochs": epochs}
    about = {"store": "set", "digest": "d1", "train_samples": 100, "test_samples": 50, "task": "image classification"}
    about |= {"config": {"pretraining": pretraining, "weights": f"w{value}"}}
    return Record(augmentation.name, "linear probe", "accuracy", value, 1.0, seed, **{**about, **changes})


def quantized(bins: int, value: float, seed: int = 0, **changes) -> Record:
    return probe(replace(OURS, bins=bins), value, seed, **changes)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Images of several kinds, and a run over bins."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (60, 90, 3), np.uint8)
    photo = Image.fromarray(pixels)
    photo.save(tmp_path / "photo.jpg")
    photo.convert("L").save(tmp_path / "grey.png")
    photo.convert("CMYK").save(tmp_path / "cmyk.jpg")
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 256).save(tmp_path / "deep.png")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "photo.jpg").read_bytes()[:1200])
    (tmp_path / "text.jpg").write_text("no image")
    records = [
        quantized(2, 0.3),
        quantized(8, 0.6),
        quantized(8, 0.7, seed=1),
        quantized(30, 0.5),
        probe(VARIANTS["RRC"], 0.4),
    ]
    append_records(tmp_path / "results.json", records)
    (tmp_path / "other").mkdir()
    append_records(tmp_path / "other/results.json", [probe(VARIANTS["RRC"], 0.4), probe(VARIANTS["Full"], 0.6)])
    (tmp_path / "two").mkdir()
    append_records(tmp_path / "two/results.json", [quantized(8, 0.5), quantized(8, 0.6)])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lines(text: str) -> list[list[str]]:
    """The rows of the Markdown tables of a text, without rules."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    return [row for row in rows if not row[0].startswith("---")]


@pytest.fixture
def drawn(monkeypatch):
    """The axes of every figure 5 that is saved."""
    axes = []
    save = matplotlib.figure.Figure.savefig
    monkeypatch.setattr(
        matplotlib.figure.Figure, "savefig", lambda self, *a, **k: (axes.append(self.axes), save(self, *a, **k))
    )
    return axes


# Figures 4 and 6


@pytest.mark.parametrize(("number", "columns"), [("4", 9), ("6", 7)])
def test_images_of_every_kind_have_a_row(folder, capsys, number, columns):
    images = ["photo.jpg", "grey.png", "cmyk.jpg", "deep.png"]
    assert main(["figure", number, *images, "--save", "all.png"]) == 0
    assert main(["figure", number, images[0], "--save", "one.png"]) == 0
    several, one = Image.open("all.png"), Image.open("one.png")
    assert several.width == one.width == pytest.approx(columns * 247, abs=10)
    assert several.height - one.height == pytest.approx(3 * 247, abs=3)
    assert capsys.readouterr().out == "wrote all.png\nwrote one.png\n"


@pytest.mark.parametrize("number", ["4", "6"])
def test_without_an_image_built_in_ones_are_drawn(folder, number):
    assert main(["figure", number, "--save", "builtin.png"]) == 0
    assert main(["figure", number, "photo.jpg", "--save", "photo.png"]) == 0
    assert Image.open("builtin.png").height > Image.open("photo.png").height + 2 * 247


def test_bins_and_seed_of_figure_6(folder):
    options = {"a": [], "same": ["--bins", "8", "--seed", "0"], "bins": ["--bins", "3"], "seed": ["--seed", "1"]}
    for name, words in options.items():
        assert main(["figure", "6", "photo.jpg", *words, "--save", f"{name}.png"]) == 0
    first, same, *others = (np.asarray(Image.open(f"{name}.png")) for name in options)
    assert np.array_equal(first, same) and not any(np.array_equal(first, other) for other in others)


# Figure 5


def test_accuracy_over_bins_is_printed_and_drawn(folder, capsys, drawn):
    append_records(folder / "results.json", [quantized(8, 0.9, framework="BYOL")])
    assert main(["figure", "5", "results.json", "--save", "curve.png"]) == 0
    text = capsys.readouterr().out
    assert "set, digest d1; 50 test images" in text and text.endswith("wrote curve.png\n")
    assert lines(text) == [
        ["", "MoCo-v3 in the paper", "MoCo-v3", "BYOL"],
        ["no bins", "50.0", "40.0 (1)", ""],
        ["2 bins", "", "30.0 (1)", ""],
        ["8 bins", "67.9", "65.0 ± 7.1 (2)", "90.0 (1)"],
        ["30 bins", "", "50.0 (1)", ""],
    ]
    ((axes,),) = drawn
    curves = {container.get_label(): container.lines[0].get_xydata().tolist() for container in axes.containers}
    assert curves == {"MoCo-v3": [[2, 30], [8, pytest.approx(65)], [30, 50]], "BYOL": [[8, 90]]}
    (dashed,) = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert set(dashed.get_ydata()) == {40} and dashed.get_color() == axes.containers[0].lines[0].get_color()
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2", "8", "30"]
    assert Image.open("curve.png").format == "PNG"


def test_the_papers_points_are_drawn_beside_its_own_data_only(folder, capsys, drawn):
    on_imagenet = {"digest": "d2", "store": "imagenet", "test_samples": 50_000}
    append_records(
        folder / "results.json", [quantized(8, 0.6, **on_imagenet), quantized(8, 0.7, epochs=300, **on_imagenet)]
    )
    assert main(["figure", "5", "results.json", "--save", "curve.png"]) == 0
    imagenet, other = capsys.readouterr().out.split("Figure 5, ")[1:]
    assert "imagenet" in imagenet and "differs" not in imagenet
    assert "60.0 (1)" in imagenet, "longer runs belong to table 2"
    assert "This data differs from the paper's: compare the position of the peak" in other
    labels = [{text.get_text() for text in axes.get_legend().get_texts()} for axes in drawn[0]]
    assert ["in the paper" in " ".join(names) for names in labels] == [True, False]


@pytest.mark.parametrize("change", [{"random_edges": False}, {"random_values": False}, {"p": 0.5}, {"crop": "CR"}])
def test_only_random_bins_and_values_after_a_random_crop_count(folder, capsys, change):
    append_records(folder / "results.json", [probe(replace(OURS, bins=8, **change), 0.99, seed=5)])
    assert main(["figure", "5", "results.json", "--save", "curve.png"]) == 0
    assert "65.0 ± 7.1 (2)" in capsys.readouterr().out


# Mistakes


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("4 photo.jpg cut.jpg", r"cut\.jpg: damaged \(image file is truncated"),
        ("6 text.jpg", r"text\.jpg: not an image"),
        ("6 gone.jpg", r"gone\.jpg: No such file"),
        ("4 .", r"\.: Is a directory"),
        (f"4 {'photo.jpg ' * 51}", r"51 images: .* at most 50"),
        ("6 photo.jpg --bins 0", r"--bins 0: .*8 for images"),
        ("6 photo.jpg --seed -1", r"--seed -1"),
        ("4 photo.jpg --save a.jpg", r"--save a\.jpg: must be a \.png file"),
        ("5 results.json --save nowhere/a.png", r"the folder nowhere does not exist"),
        ("6 photo.jpg --save other", r"--save other: must be a \.png file"),
        ("5 nowhere", r"nowhere: no such results file"),
        ("5 other", r"other: none of the 2 results .* RRC\+RQ"),
        ("5 two", r"two: MoCo-v3, 8 bins, seed 0: several results for one seed"),
        ("7", r"'7'"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(folder, capsys, command, message):
    before = sorted(folder.rglob("*"))
    words = command.split() + ([] if "--save" in command else ["--save", "x.png"])
    try:
        status = main(["figure", *words])
    except SystemExit as stop:
        status = stop.code
    out, err = capsys.readouterr()
    assert status == 2 and out == ""
    (error,) = [line for line in err.splitlines() if "error: " in line]
    assert re.search(message, error)
    assert sorted(folder.rglob("*")) == before


def test_a_figure_needs_a_file_to_save(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["figure", "4"])
    assert stop.value.code == 2 and "--save" in capsys.readouterr().err

"""``pcrq view`` as it is typed: what comes out, and what is said when it cannot."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from matplotlib.image import imread
from PIL import Image, ImageShow

from pcrq.stores.shape_store import Shape, ShapeStoreWriter
from pcrq.stores.sound_store import Sound, SoundStoreWriter
from projects.cli import main
from projects.point_cloud.view.cloud import load_shape

pytestmark = pytest.mark.medium

CUBE = """\
OFF
8 12 0
0 0 0
2 0 0
2 2 0
0 2 0
0 0 2
2 0 2
2 2 2
0 2 2
3 0 2 1
3 0 3 2
3 4 5 6
3 4 6 7
3 0 1 5
3 0 5 4
3 3 7 6
3 3 6 2
3 0 4 7
3 0 7 3
3 1 2 6
3 1 6 5
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A store of three shapes with parts, and a mesh."""
    folder = tmp_path_factory.mktemp("view")
    random = np.random.default_rng(0)
    with ShapeStoreWriter(folder / "store.h5", classes=["ball"], parts=["low", "high"], patches=False) as store:
        for name in ("ball-a", "ball-b", "ball-c"):
            normals = random.normal(size=(400, 3))
            normals /= np.linalg.norm(normals, axis=1, keepdims=True)
            labels = (normals[:, 1] > 0).astype(int)
            store.append(Shape(0.9 * normals, normals, name, category=0, labels=labels))
    with ShapeStoreWriter(folder / "empty.h5", classes=[], patches=False):
        pass
    (folder / "cube.off").write_text(CUBE)
    (folder / "notes.pdf").write_text("nothing")
    return folder


@pytest.fixture(autouse=True)
def inside(folder, monkeypatch):
    monkeypatch.chdir(folder)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)


def test_picture_has_a_column_for_the_original_and_every_number_of_bins(tmp_path, capsys):
    assert main(["view", "store.h5:0", "--bins", "4", "30", "--save", str(tmp_path / "ball.png")]) == 0
    assert imread(tmp_path / "ball.png").shape[1] == 3 * 480
    said = capsys.readouterr().out
    numbers = [int(number) for number in re.findall(r"(\d+) distinct points", said)]
    assert numbers[0] == 400
    assert numbers[1] <= 4**3
    assert numbers[1] < numbers[2] < 400


def test_page_holds_the_shape_and_the_options(tmp_path):
    page = tmp_path / "ball.html"
    assert main(["view", "store.h5:1", "--bins", "9", "--seed", "5", "--title", "A <b>all", "--save", str(page)]) == 0
    content = page.read_text(encoding="utf-8")
    data = json.loads(re.search(r'id="data">(.*)</script>', content)[1])
    assert [shape["id"] for shape in data["shapes"]] == ["ball-b"]
    assert (data["bins"], data["seed"], data["parts"]) == ([9], 5, ["low", "high"])
    assert "<title>A &lt;b&gt;all</title>" in content


def test_same_command_same_page(tmp_path):
    for name in ("a.html", "b.html"):
        main(["view", "store.h5:0", "--points", "50", "--seed", "3", "--save", str(tmp_path / name)])
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_points_limit_is_said_and_kept(tmp_path, capsys):
    assert main(["view", "store.h5:0", "--points", "50", "--save", str(tmp_path / "few.png")]) == 0
    said = capsys.readouterr().out
    assert "50 of 400 points" in said
    assert re.search(r"original: +50 distinct", said)


def test_a_large_shape_is_reduced_without_an_option_too(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("projects.cli.view.DEFAULT_POINTS", 60)
    assert main(["view", "store.h5:0", "--save", str(tmp_path / "few.png")]) == 0
    assert "showing 60 of 400 points" in capsys.readouterr().out


def test_mesh_is_scanned(tmp_path, capsys):
    assert main(["view", "cube.off", "--bins", "30", "--save", str(tmp_path / "cube.png")]) == 0
    assert (tmp_path / "cube.png").stat().st_size > 10_000
    shape, parts = load_shape("cube.off")
    assert parts == []
    assert len(shape.points) > 1000
    on_a_face = np.isclose(np.abs(shape.points), 1 / np.sqrt(3), atol=0.02).any(axis=1)
    assert on_a_face.mean() > 0.95  # of the cube whose corners lie on the unit ball


@pytest.mark.parametrize(("key", "name"), [("0", "ball-a"), ("2", "ball-c"), ("-1", "ball-c"), ("ball-b", "ball-b")])
def test_shapes_of_a_store_go_by_index_or_id(key, name):
    shape, parts = load_shape(f"store.h5:{key}")
    assert shape.id == name
    assert parts == ["low", "high"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["store.h5:999"], r"store\.h5: there is no shape 999; the store contains 3 shapes, 0 to 2"),
        (["store.h5:-4"], r"store\.h5: there is no shape -4"),
        (["store.h5"], r"name one of its shapes, as in store\.h5:0"),
        (["store.h5:"], r"name one of its shapes, as in store\.h5:0"),
        (["store.h5:ball-x"], r"no shape has the id 'ball-x'.*ball-a"),
        (["empty.h5:0"], r"empty\.h5: the store is empty"),
        (["gone.h5:0"], r"gone\.h5: no such file"),
        (["gone.obj"], r"gone\.obj: no such file"),
        (["gone.xyz"], r"gone\.xyz: no such file"),
        (["notes.pdf"], r"notes\.pdf: unknown format; choose a mesh .*\.obj.*\.xyz"),
        (["."], r"\.: a folder.*choose a file"),
        (["store.h5:0", "--bins", "0"], r"--bins 0: must be from 1"),
        (["store.h5:0", "--bins", "30", "-2"], r"--bins -2"),
        (["store.h5:0", "--seed", "-1"], r"--seed -1"),
        (["store.h5:0", "--points", "0"], r"--points 0"),
        (["store.h5:0", "--save", "x.gif"], r"x\.gif: .*\.png.*\.html"),
        (["store.h5:0", "--save", "x"], r"--save x: .*\.png.*\.html"),
        (["store.h5:0", "--save", "nowhere/x.png"], r"the folder nowhere does not exist"),
    ],
)
def test_mistakes_are_one_line_with_what_to_do(words, message, capsys):
    if "--save" not in words:
        words = [*words, "--save", "x.png"]
    assert main(["view", *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("pcrq: error: ")
    assert error.count("\n") == 1
    assert re.search(message, error)


# Images


@pytest.fixture(scope="module")
def photo(folder):
    """An image of 300×200 pixels, beside one that is cut short."""
    ramp = np.linspace(0, 255, 300)[None, :, None] * np.linspace(0.2, 1, 200)[:, None, None]
    Image.fromarray((ramp * (1, 0.8, 0.5)).astype(np.uint8)).save(folder / "photo.jpg")
    (folder / "cut.jpg").write_bytes((folder / "photo.jpg").read_bytes()[:1500])
    return "photo.jpg"


def panels(path, count: int) -> list[np.ndarray]:
    """The middles of the panels of a picture of an image, (100, 100, 3) each."""
    pixels = np.asarray(Image.open(path).convert("RGB"))
    width, row = pixels.shape[1] / count, 36 + (pixels.shape[0] - 36) // 2
    middles = [int((column + 0.5) * width) for column in range(count)]
    return [pixels[row - 50 : row + 50, middle - 50 : middle + 50] for middle in middles]


def test_an_image_is_shown_beside_draws_with_the_papers_bins(photo, tmp_path, capsys):
    assert main(["view", photo, "--save", str(tmp_path / "draws.png")]) == 0
    assert capsys.readouterr().out == f"wrote {tmp_path / 'draws.png'}\n"
    original, *draws = panels(tmp_path / "draws.png", 4)
    colours = [len(np.unique(panel.reshape(-1, 3), axis=0)) for panel in (*draws, original)]
    assert max(colours[:3]) < 100 < colours[3]
    assert len({draw.tobytes() for draw in draws}) == 3


def test_bins_and_seed_of_an_image(photo, tmp_path):
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        main(["view", photo, "--bins", "2", "30", "--seed", seed, "--save", str(tmp_path / f"{name}.png")])
    first, again, other = ((tmp_path / f"{name}.png").read_bytes() for name in "abc")
    assert first == again != other
    _, few, many = panels(tmp_path / "a.png", 3)
    assert len(np.unique(few.reshape(-1, 3), axis=0)) <= 2**3 < len(np.unique(many.reshape(-1, 3), axis=0))


def test_an_image_is_shown_where_there_is_a_screen(photo, monkeypatch):
    shown = []
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(shutil, "which", lambda program: f"/usr/bin/{program}")
    monkeypatch.setattr(ImageShow, "show", lambda image: shown.append(image.size) or True)
    assert main(["view", photo]) == 0
    assert len(shown) == 1
    monkeypatch.setattr(ImageShow, "show", lambda image: False)
    assert main(["view", photo]) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["cut.jpg", "--save", "x.png"], r"cut\.jpg: damaged \(image file is truncated"),
        (["gone.jpg", "--save", "x.png"], r"gone\.jpg: no such file"),
        (["gone.jpg"], r"gone\.jpg: no such file"),
        (["photo.jpg", "--save", "x.html"], r"--save x\.html: must be a \.png file \(picture\)$"),
        (["photo.jpg", "--save", "x.png", "--title", "T"], r"--title: only for shapes"),
        (["photo.jpg", "--save", "x.png", "--points", "9"], r"--points: only for shapes"),
        (["photo.jpg", "--save", "x.png", "--bins", "0"], r"--bins 0: .*8 for images"),
        (["store.h5:photo.jpg", "--save", "x.png"], r"no shape has the id 'photo\.jpg'"),
        pytest.param(
            ["photo.jpg"],
            r"no screen.*add --save picture\.png$",
            marks=pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="there is always a screen"),
        ),
    ],
)
def test_mistakes_with_images_are_one_line(photo, words, message, capsys):
    assert main(["view", *words]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and re.search(message, error.strip())
    assert not Path("x.png").exists()


@pytest.fixture(scope="module")
def tone(folder):
    """A second of a tone that rises, as a file and in a store behind a pause; and files that are no sounds."""
    seconds = np.arange(16_000) / 16_000
    samples = (10_000 * np.sin(2 * np.pi * (300 + 400 * seconds) * seconds)).astype(np.int16)
    soundfile.write(folder / "tone.wav", samples, 16_000)
    soundfile.write(folder / "click.wav", samples[:100], 16_000)
    soundfile.write(folder / "long.wav", np.tile(samples, 11), 16_000)
    (folder / "text.wav").write_text("words, and no sound\n" * 9)
    (folder / "empty.wav").touch()
    with SoundStoreWriter(folder / "sounds.h5", classes=[]) as store:
        store.append(Sound(np.zeros(8_000, np.float32), "pause"))
        store.append(Sound(samples, "tone"))
    return "tone.wav"


def test_a_sound_is_shown_beside_three_draws(tone, tmp_path, capsys):
    for name, words in (
        ("a", []),
        ("b", ["--bins", "5", "5", "5"]),
        ("c", ["--seed", "1"]),
        ("d", ["--per_frequency"]),
    ):
        assert main(["view", tone, *words, "--save", str(tmp_path / f"{name}.png")]) == 0
        assert capsys.readouterr().out == f"wrote {tmp_path / f'{name}.png'}\n"
    default, five, other, each = ((tmp_path / f"{name}.png").read_bytes() for name in "abcd")
    assert default == five and len({default, other, each}) == 3


def test_a_sound_is_written_with_the_starts_of_its_versions(tone, tmp_path, capsys):
    heard = tmp_path / "heard.wav"
    assert main(["view", tone, "--bins", "30", "2", "--save", str(heard)]) == 0
    said = capsys.readouterr().out
    assert re.findall(r"(original|\d+ bins): at ([\d.]+) s", said) == [
        ("original", "0.0"), ("30 bins", "1.5"), ("2 bins", "3.0"),
    ]  # fmt: skip
    samples, rate = soundfile.read(heard)
    assert (len(samples), rate) == (4 * 16_000, 16_000)
    loudness = [np.sqrt(np.mean(samples[start : start + 16_000] ** 2)) for start in (0, 24_000, 48_000)]
    np.testing.assert_allclose(loudness, loudness[0], rtol=1e-3)


@pytest.mark.parametrize("key", ["1", "-1", "tone"])
def test_a_sound_of_a_store_is_the_sound(tone, key, tmp_path):
    for name, sound in (("file", tone), ("stored", f"sounds.h5:{key}")):
        main(["view", sound, "--bins", "3", "--save", str(tmp_path / f"{name}.png")])
    assert (tmp_path / "file.png").read_bytes() == (tmp_path / "stored.png").read_bytes()


def test_of_a_long_sound_ten_seconds_are_taken(tone, tmp_path, capsys):
    assert main(["view", "long.wav", "--bins", "5", "--save", str(tmp_path / "long.png")]) == 0
    assert "long.wav: showing the first 10 of 11.0 seconds" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["text.wav", "--save", "x.png"], r"text\.wav: not a readable sound file"),
        (["empty.wav", "--save", "x.png"], r"empty\.wav: the file is empty"),
        (["gone.wav", "--save", "x.png"], r"gone\.wav: no such file"),
        (["gone.wav"], r"gone\.wav: no such file"),
        (["click.wav", "--save", "x.png"], r"click\.wav: 100 samples .* needs at least 513"),
        (["tone.wav", "--save", "x.html"], r"--save x\.html: must be a \.png file .* or a \.wav file"),
        (["tone.wav", "--save", "x"], r"--save x: must be a \.png file .* or a \.wav file"),
        (["tone.wav", "--save", "tone.wav"], r"--save tone\.wav: this is the input file"),
        (["tone.wav", "--save", "x.png", "--bins", "0"], r"--bins 0: .*5 for sounds"),
        (["tone.wav", "--save", "x.png", "--title", "T"], r"--title: only for shapes"),
        (["photo.jpg", "--save", "x.png", "--per_frequency"], r"--per_frequency: only for sounds"),
        (["store.h5:0", "--save", "x.wav"], r"--save x\.wav: must be a \.png file .* or a \.html file"),
        (["sounds.h5:0", "--save", "x.html"], r"--save x\.html: must be a \.png file .* or a \.wav file"),
        (["sounds.h5:2", "--save", "x.png"], r"there is no sound 2; the store contains 2 sounds, 0 to 1"),
        (["sounds.h5", "--save", "x.png"], r"name one of its sounds, as in sounds\.h5:0"),
        (["sounds.h5:tune", "--save", "x.png"], r"no sound has the id 'tune'.*tone"),
        pytest.param(
            ["tone.wav"],
            r"no screen.*add --save picture\.png or --save sound\.wav$",
            marks=pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="there is always a screen"),
        ),
    ],
)
def test_mistakes_with_sounds_are_one_line(tone, photo, words, message, capsys):
    before = Path(tone).read_bytes()
    assert main(["view", *words]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and re.search(message, error.strip())
    assert not [path for path in Path().iterdir() if path.stem == "x"] and Path(tone).read_bytes() == before


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="pictures can always be shown")
def test_a_sound_without_a_program_that_shows_pictures_is_one_line(tone, monkeypatch, capsys):
    """Pillow would fall back to IPython, print a Python object and succeed."""
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(shutil, "which", lambda program: None)
    assert main(["view", tone]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert "no program to show pictures" in err and "--save picture.png or --save sound.wav" in err


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="there is always a screen")
def test_without_a_screen_the_way_out_is_named(capsys):
    assert main(["view", "store.h5:0"]) == 2
    assert "--save picture.png" in capsys.readouterr().err


def test_help_shows_examples_and_loads_nothing_heavy():
    script = "import sys\nfrom projects.cli import main\ntry: main(['view', '--help'])\nexcept SystemExit: pass\n"
    script += "print('loaded', {'torch', 'open3d', 'matplotlib', 'h5py', 'trimesh'} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert "pcrq view shapes.h5:0" in said
    assert "loaded set()" in said

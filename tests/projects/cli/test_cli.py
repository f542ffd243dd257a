"""The frame of the command line: help, status, and ``pcrq info``."""

import subprocess
import sys

import pytest

from projects.cli import PROGRAMS, build_parser, main


def test_help_loads_nothing_heavy():
    script = (
        "import sys\nfrom projects.cli import main\n"
        "for words in ([], ['prep', 'meshes'], ['embed'], ['report'], ['figure', '5'], ['info']):\n"
        "    try:\n        main([*words, '--help'])\n    except SystemExit:\n        pass\n"
        "heavy = {'torch', 'open3d', 'lightning', 'matplotlib', 'sklearn', 'numpy', 'trimesh', 'ocnn', 'h5py'}\n"
        "heavy &= set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL, timeout=60)


@pytest.mark.parametrize(
    "command",
    [
        *(
            ["quickstart"],
            ["info"],
            ["view"],
            ["probe"],
            ["report"],
            ["export"],
            ["embed"],
            ["figure"],
            ["figure", "4"],
            ["figure", "5"],
            ["figure", "6"],
            ["prep"],
            ["prep", "meshes"],
        ),
        *(["prep", name] for name in ("shapes", "shapenet", "modelnet40", "modelnet10", "shapenet-part")),
        *(["prep", name] for name in ("audio", "sounds", "nsynth", "urbansound8k", "voxceleb1", "voxforge")),
        ["prep", "speech-commands"],
    ],
    ids=" ".join,
)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*command, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert len(text.splitlines()) > 5 and text.startswith(f"usage: pcrq {' '.join(command)}")


def test_info_shows_and_checks_a_store(store_path, capsys):
    assert main(["info", str(store_path)]) == 0
    text = capsys.readouterr().out
    for words in (
        "12 shapes",
        "3,600 points",
        "train 8, test 4",
        "flat 6, tall 6",
        "low, high",
        "intact",
    ):
        assert words in text


def test_a_damaged_store_is_found_by_info(store_path, tmp_path, capsys):
    import h5py

    path = tmp_path / "copy.h5"
    path.write_bytes(store_path.read_bytes())
    with h5py.File(path, "r+") as file:
        file["patches"][17] = 9 - file["patches"][17]
    assert main(["info", str(path)]) == 2
    assert "differs from what was written" in capsys.readouterr().err
    assert main(["info", str(path), "--no_check"]) == 0


def test_bad_input_is_one_line_and_status_2(tmp_path, capsys):
    assert main(["info", str(tmp_path / "nowhere.h5")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("pcrq: error: ") and error.count("\n") == 1 and "nowhere.h5" in error


def test_debug_shows_the_traceback(tmp_path):
    with pytest.raises(ValueError, match="nowhere"):
        main(["--debug", "info", str(tmp_path / "nowhere.h5")])
    with pytest.raises(ValueError, match="nowhere"):
        main(["info", str(tmp_path / "nowhere.h5"), "--debug"])


def test_an_unknown_command_is_refused(capsys):
    with pytest.raises(SystemExit) as stop:
        build_parser().parse_args(["fly"])
    assert stop.value.code == 2
    assert "fly" in capsys.readouterr().err


def test_an_unknown_option_is_answered_by_its_command(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["embed", "shapes.h5", "--checkpoint", "a.ckpt", "--out", "b.npz", "--neighbors", "c.png"])
    assert stop.value.code == 2
    error = "pcrq embed: error: unknown option --neighbors; did you mean --neighbours?; see 'pcrq embed --help'\n"
    assert capsys.readouterr().err == error


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("pretrain", "pcrq pretrain: error: choose shapes, images or sounds"),
        ("evaluate words", "pcrq evaluate: error: unknown 'words'; choose shapes, images or sounds"),
        ("sweep", "pcrq sweep: error: choose classify, segment, images or sounds, or name a --config"),
        ("sweep --jobs 2", "pcrq sweep: error: choose classify, segment, images or sounds, or name a --config"),
    ],
)
def test_a_group_without_its_program_names_the_choices(words, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(words.split())
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"{message}\n"


@pytest.mark.parametrize("group", ["pretrain", "evaluate", "sweep"])
def test_the_help_of_a_group_lists_its_programs(group, capsys):
    with pytest.raises(SystemExit) as stop:
        main([group, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: pcrq {group} {{")
    for name, (_, summary) in PROGRAMS.items():
        assert (f"pcrq {name} " in text and summary in text) == name.startswith(group)


@pytest.mark.parametrize("words", ["sweep classify --help", "sweep --config table6 --help"])
def test_the_help_of_a_sweep_is_found_by_kind_or_config(words, capsys):
    assert main(words.split()) == 0
    assert capsys.readouterr().out.startswith("usage: pcrq sweep classify ")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tabel6", "config tabel6: no such file or config of a sweep; available: table6, "),
        ("tiny", "config tiny: no such file or config of a sweep; available: "),
        ("shapenet_rq", "a config of a training, not of a sweep"),
        ("other.yaml", "config other.yaml: its entry 'sweep' is missing; choose classify, segment, images, sounds"),
    ],
)
def test_a_config_that_is_no_sweep_is_refused(name, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.yaml").write_text("protocols: {}\n")
    assert main(["sweep", "--config", name]) == 2
    error = capsys.readouterr().err
    assert error.startswith("pcrq sweep: error: ") and message in error and error.count("\n") == 1


def test_a_missing_library_is_named_with_what_installs_it():
    script = (
        "import sys\nsys.modules['lightly'] = None\nfrom projects.cli import main\n"
        "sys.exit(main(['pretrain', 'images', '--config', 'tiny']))"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 2
    assert ended.stderr == "pcrq: error: this command needs lightly; install it: pip install 'pcrq[image]'\n"

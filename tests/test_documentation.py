"""The documentation's examples run, and its commands exist."""

import re
import shlex
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
import trimesh
from joblib.externals.loky import get_reusable_executor

from octree import MIDNet, MIDNetConfig
from octree.pretrained import describe
from projects.cli import HELP, PROGRAMS, build_parser, find_program, main, with_underscores
from projects.cli.write_help import help_texts

ROOT = Path(__file__).parent.parent
PAGES = [
    *(ROOT / "README.md", *sorted(ROOT.glob("*/README.md")), *sorted(ROOT.glob("projects/*/README.md"))),
    *(ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md"))),
]
CONFIGURATIONS = sorted(ROOT.glob("projects/*/configs/*.yaml"))


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.fixture
def folder(tmp_path, store_path, monkeypatch):
    """A folder as the documentation supposes it: a store, a finished run, and meshes."""
    shutil.copy(store_path, tmp_path / "shapes.h5")
    network = MIDNet(MIDNetConfig(depth=5, width=32, blocks=1, nempty=True))
    weights = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    run = tmp_path / "runs/tiny/checkpoints"
    run.mkdir(parents=True)
    torch.save({"midnet": describe(network), "state_dict": weights}, run / "last.ckpt")
    (tmp_path / "chair").mkdir()
    for name in ("chair.obj", "chair/1.obj"):
        trimesh.creation.box((1, 2, 1)).export(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "furniture.zip", "w") as archive:
        archive.write(tmp_path / "chair.obj", "chair.obj")
    monkeypatch.chdir(tmp_path)
    get_reusable_executor().shutdown()  # workers of earlier tests would look for relative paths in their folder
    return tmp_path


@pytest.mark.parametrize(
    "page",
    [ROOT / "README.md", ROOT / "octree/README.md", ROOT / "data_prep/README.md"],
    ids=lambda page: page.parent.name,
)
def test_python_examples_run(folder, page):
    names: dict = {}
    for block in blocks(page, "python"):
        if "HOST" in block:  # needs a cluster
            continue
        exec(compile(block, page.name, "exec"), names)


def commands(start: str) -> list[list[str]]:
    """The words after ``start`` of every command in the pages and at the top of the configurations."""
    texts = [block for page in PAGES for block in blocks(page, "")]
    texts += [re.sub(r"^# ?", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE) for path in CONFIGURATIONS]
    lines = [line.strip() for text in texts for line in text.replace("\\\n", " ").splitlines()]
    found = [line for line in dict.fromkeys(lines) if line.startswith(start)]
    return [shlex.split(line, comments=True)[len(start.split()) :] for line in found]


def program_of(words: list[str]) -> str | None:
    """The training, evaluation or sweep that a command starts, by its name or config; None for the other commands."""
    return find_program(words)[0]


COMMANDS = commands("pcrq ")
TRAININGS = [words for words in COMMANDS if program_of(words)]


def test_every_documented_command_exists():
    found = [words for words in COMMANDS if not program_of(words)]
    for words in found:
        build_parser().parse_args([with_underscores(word) for word in words])
    assert len(found) > 20


def test_every_program_is_documented():
    assert {program_of(words) for words in TRAININGS} == set(PROGRAMS)


@pytest.mark.parametrize("words", TRAININGS, ids=" ".join)
def test_every_documented_training_is_understood(words, folder, capsys):
    with pytest.raises(SystemExit) as stop:  # the options are read, and printed instead of used
        main([*words, "--print_config"])
    assert stop.value.code == 0, capsys.readouterr().err


@pytest.mark.slow
def test_help_texts_are_those_of_the_options():
    """After a change of options: make help-texts."""
    assert help_texts() == {path.stem: path.read_text(encoding="utf-8") for path in HELP.glob("*.txt")}


def test_links_and_pictures_are_there():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert target.startswith("http") or (page.parent / target).exists(), f"{page}: {target}"

"""The documentation's examples run, and its commands exist."""

import importlib
import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch

from octree.midnet import MIDNet, MIDNetConfig
from octree.pretrained import describe
from projects.cli import build_parser

ROOT = Path(__file__).parent.parent
PAGES = [
    *(ROOT / "README.md", *sorted(ROOT.glob("*/README.md")), *sorted(ROOT.glob("projects/*/README.md"))),
    *sorted(ROOT.glob("docs/*.md")),
]
CONFIGURATIONS = sorted(ROOT.glob("projects/*/configs/*.yaml"))


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.fixture
def folder(tmp_path, store_path, monkeypatch):
    """A folder as the documentation supposes it: a store and a finished run."""
    shutil.copy(store_path, tmp_path / "shapes.h5")
    network = MIDNet(MIDNetConfig(depth=5, width=32, blocks=1, nempty=True))
    weights = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    run = tmp_path / "runs/tiny/checkpoints"
    run.mkdir(parents=True)
    torch.save({"midnet": describe(network), "state_dict": weights}, run / "last.ckpt")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "octree/README.md"], ids=lambda page: page.parent.name)
def test_python_examples_run(folder, page):
    names: dict = {}
    for block in blocks(page, "python"):
        exec(compile(block, page.name, "exec"), names)


def commands(start: str) -> list[list[str]]:
    """The words after ``start`` of every command in the pages and at the top of the configurations."""
    texts = [block for page in PAGES for block in blocks(page, "")]
    texts += [re.sub(r"^# ?", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE) for path in CONFIGURATIONS]
    lines = [line.strip() for text in texts for line in text.replace("\\\n", " ").splitlines()]
    found = [line for line in dict.fromkeys(lines) if line.startswith(start)]
    return [shlex.split(line, comments=True)[len(start.split()) :] for line in found]


def test_every_documented_command_exists():
    found = commands("pcrq ")
    for words in found:
        build_parser().parse_args(words)
    assert len(found) > 20


TRAININGS = [words for words in commands("python -m ") if words[0].startswith("projects.")]


@pytest.mark.parametrize("words", TRAININGS, ids=" ".join)
def test_every_documented_training_is_understood(words, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    module, *words = words
    with pytest.raises(SystemExit) as stop:  # the options are read, and printed instead of used
        importlib.import_module(f"{module}.cli").main([*words, "--print_config"])
    assert stop.value.code == 0, capsys.readouterr().err


def test_links_and_pictures_are_there():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert target.startswith("http") or (page.parent / target).exists(), f"{page}: {target}"

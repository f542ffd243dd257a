"""The documentation's examples run, and its commands exist."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch

from octree.checkpoint import describe
from octree.midnet import MIDNet, MIDNetConfig
from projects.cli import build_parser

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("*/README.md")), ROOT / "projects/point_cloud/README.md"]


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


def test_every_documented_command_exists():
    parser, found = build_parser(), 0
    for page in PAGES:
        for block in blocks(page, ""):
            for line in block.splitlines():
                if line.startswith("pcrq "):
                    parser.parse_args(shlex.split(line, comments=True)[1:])
                    found += 1
    assert found > 5


def test_links_and_pictures_are_there():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert target.startswith("http") or (page.parent / target).exists(), f"{page}: {target}"

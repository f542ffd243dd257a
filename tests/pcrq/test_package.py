"""What the package promises as a whole: its names, a light import, torch alone, examples that run."""

import doctest
import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import pcrq

MODULES = [f"pcrq.{path.stem}" for path in sorted(Path(pcrq.__file__).parent.glob("*.py")) if path.stem != "__init__"]


def test_every_public_name_can_be_imported():
    for name in pcrq.__all__:
        assert getattr(pcrq, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        pcrq.nothing  # noqa: B018


def test_the_import_alone_does_not_load_torch():
    program = "import sys, pcrq; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_nothing_but_torch_is_imported():
    allowed = {"torch", "pcrq", *sys.stdlib_module_names}
    for path in Path(pcrq.__file__).parent.glob("*.py"):
        imports = [line.split() for line in path.read_text().splitlines() if line.startswith(("import ", "from "))]
        triton = (
            {"triton"} if path.name == "triton_kernels.py" else set()
        )  # imported for CUDA tensors only; see test_triton_kernels.py
        assert {words[1].split(".")[0] for words in imports} <= allowed | triton, path.name


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_the_docstrings_run(name):
    if name == "pcrq.triton_kernels":
        pytest.importorskip("triton")
    torch.manual_seed(0)
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_the_examples_in_the_readme_run():
    torch.manual_seed(0)
    readme = Path(pcrq.__file__).with_name("README.md")
    results = doctest.testfile(str(readme), module_relative=False)
    assert results.attempted > 5 and results.failed == 0

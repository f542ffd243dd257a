"""README, help and errors use the field's terms: words that only this project understood do not come back."""

import argparse
import ast
import re
from pathlib import Path

import pytest

from projects.cli import HELP, build_parser

ROOT = Path(__file__).parent.parent
WORDS = re.compile(
    r"\b(arms?|rivals?|mend(s|ed|ing)?|lacks?|tells?|told|holds?|held(?![- ]out)|draw(s|n|ing)? (a|the|two) views?|"
    r"to take away|written whole|whole files?|whole or not at all|of that call|the whole road|what ends it|"
    r"the chance of the draw|resumed_run|refuse_another_run|fixed_choice|evaluation_mode|whole_batches|whole_file|"
    r"take_over|Distortion|seed_everything|run_dir|ckpt_path)\b",
    re.IGNORECASE,
)
ARMRESTS = re.compile(
    r"arm ?rests?|chair/arm|\barms? of (a|the) (chair|sofa|lamp)", re.IGNORECASE
)  # parts of furniture
PAGES = [
    *(ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("*/README.md"))),
    *sorted(ROOT.glob("projects/*/README.md")),
    *sorted(ROOT.glob("docs/*.md")),
]
SOURCES = [
    path for package in ("pcrq", "octree", "data_prep", "projects") for path in sorted((ROOT / package).rglob("*.py"))
]


def private_words(text: str) -> list[str]:
    return [match[0] for match in WORDS.finditer(ARMRESTS.sub("", text))]


def helps(parser: argparse.ArgumentParser) -> list[str]:
    """The help of a parser and of all commands below it."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    below = [text for group in groups for command in group.choices.values() for text in helps(command)]
    return [parser.format_help(), *below]


def errors(path: Path) -> list[str]:
    """The literal text of every error that is raised for a user's input."""
    calls = (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call))
    raised = [call for call in calls if getattr(call.func, "id", "") == "InputError"]
    parts = [node for call in raised for node in ast.walk(call) if isinstance(node, ast.Constant)]
    return [node.value for node in parts if isinstance(node.value, str)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_use_the_terms_of_the_field(page):
    assert private_words(page.read_text(encoding="utf-8")) == []


def test_help_uses_the_terms_of_the_field():
    texts = [*helps(build_parser()), *(path.read_text(encoding="utf-8") for path in sorted(HELP.glob("*.txt")))]
    assert len(texts) > 30
    assert [word for text in texts for word in private_words(text)] == []


def test_errors_use_the_terms_of_the_field():
    found = {(path, word) for path in SOURCES for text in errors(path) for word in private_words(text)}
    assert sorted((str(path.relative_to(ROOT)), word) for path, word in found) == []


@pytest.mark.parametrize("text", ["every arm", "the store holds 3 shapes", "draw a view", "--run_dir", "told apart"])
def test_private_words_are_found(text):
    assert private_words(text)


@pytest.mark.parametrize("text", ["an army of names", "held-out shapes", "threshold", "charm", "the arm rests"])
def test_other_words_are_not(text):
    assert not private_words(text)

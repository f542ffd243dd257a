"""Write the help texts of all programs into ``projects/cli/help``: ``python -m projects.cli.write_help``.

Making these texts imports torch and Lightning, which takes seconds; ``pcrq … --help`` prints the files instead.
"""

from __future__ import annotations

from projects.cli import HELP, PROGRAMS, load_program


def help_texts() -> dict[str, str]:
    """The help of every program, by the name of its file."""
    return {name.replace(" ", "_"): load_program(name).help() for name in PROGRAMS}


if __name__ == "__main__":
    HELP.mkdir(exist_ok=True)
    for name, text in help_texts().items():
        (HELP / f"{name}.txt").write_text(text, encoding="utf-8")

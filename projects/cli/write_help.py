"""Write the help texts of all programs into ``projects/cli/help``: ``python -m projects.cli.write_help``.

Making these texts imports torch and Lightning, which takes seconds; ``pcrq … --help`` prints the files instead.
"""

from __future__ import annotations

import importlib

from projects.cli import HELP, PROGRAMS
from projects.cli.sweep import SWEEPS


def help_texts() -> dict[str, str]:
    """The help of every program, by the name of its file."""
    places = {name.replace(" ", "_"): (module, "PROGRAM") for name, (module, _) in PROGRAMS.items() if name != "sweep"}
    places |= {f"sweep_{kind}": tuple(place.split(":")) for kind, place in SWEEPS.items()}
    return {
        name: getattr(importlib.import_module(module), attribute).help() for name, (module, attribute) in places.items()
    }


if __name__ == "__main__":
    HELP.mkdir(exist_ok=True)
    for name, text in help_texts().items():
        (HELP / f"{name}.txt").write_text(text, encoding="utf-8")

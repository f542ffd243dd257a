"""How much of the project a reader of a trainer has to know: files and lines that its entry imports.

    python benchmarks/imports.py

Each trainer is imported in its own process. Counted are the files of pcrq, octree, data_prep and projects that are
loaded then, with all of their lines.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("pcrq", "octree", "data_prep", "projects")
TRAINERS = (
    "projects.point_cloud.pretrain",
    "projects.point_cloud.classify",
    "projects.point_cloud.segment",
    "projects.image.pretrain",
    "projects.image.linear_probe",
    "projects.audio.pretrain",
    "projects.audio.evaluate",
)
CODE = """
import importlib, json, sys
importlib.import_module(sys.argv[1])
print(json.dumps([module.__file__ for module in list(sys.modules.values()) if getattr(module, "__file__", None)]))
"""


def imported_files(module: str) -> list[Path]:
    """Files of the project that are loaded after importing a module, relative to the root."""
    words = [sys.executable, "-c", CODE, module]
    output = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    files = {Path(file) for file in json.loads(output.splitlines()[-1])}
    inside = sorted(file.relative_to(ROOT) for file in files if file.is_relative_to(ROOT))
    return [file for file in inside if file.parts[0] in PACKAGES]


def main() -> None:
    print(f"{'entry':32s}{'files':>7s}{'lines':>8s}   files by package (each package counts its __init__.py)")
    for module in TRAINERS:
        files = imported_files(module)
        lines = sum(len((ROOT / file).read_text(encoding="utf-8").splitlines()) for file in files)
        packages = Counter(".".join(file.parts[: min(2, len(file.parts) - 1)]) for file in files)
        print(f"{module:32s}{len(files):7d}{lines:8,d}   {', '.join(f'{name} {n}' for name, n in packages.items())}")


if __name__ == "__main__":
    main()

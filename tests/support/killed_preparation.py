"""A preparation that is killed from outside while it works."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]


def kill_preparation(*words: str, out: Path, entries: int) -> int:
    """Run ``pcrq prep WORDS --jobs 2 --out OUT``, and kill all its processes when four entries are finished.

    Returns:
        How many were finished, of ``entries``.
    """
    command = [sys.executable, "-m", "projects.cli", "prep", *words, "--jobs", "2", "--out", str(out)]
    killed = subprocess.Popen(command, cwd=ROOT, start_new_session=True, stderr=subprocess.DEVNULL)
    working = out.with_name(f"{out.name}.prep")
    deadline = time.monotonic() + 100
    while len(list(working.glob("*.npz"))) < 4:
        assert killed.poll() is None and time.monotonic() < deadline
        time.sleep(0.001)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    kept = len(list(working.glob("*.npz")))
    assert 4 <= kept < entries and not out.exists()
    return kept

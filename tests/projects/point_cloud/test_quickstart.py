"""The quick start, small: complete, and resumable without doing anything twice."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from projects.cli import main
from projects.training.records import read_records

pytestmark = pytest.mark.medium

COMMAND = ["quickstart", "--count", "4", "--test_count", "1", "--epochs", "1", "--out"]


@pytest.mark.slow
def test_it_leaves_a_report_results_pictures_and_a_page(tmp_path, monkeypatch, capsys):
    from projects.point_cloud.quickstart import Settings

    small = {"depth": 4, "full_depth": 1, "width": 16, "blocks": 1, "nempty": True}
    monkeypatch.setattr(Settings.__dataclass_fields__["network"], "default_factory", lambda: small)
    out = tmp_path / "quick"
    assert main([*COMMAND, str(out)]) == 0
    records = read_records(out / "results.json")
    assert {(record.ratio, record.train_samples, record.test_samples) for record in records} >= {
        (0.05, 25, 25),
        (1, 100, 25),
    }
    assert {record.method for record in records} == {"scratch", "MID", "MID + quantization"}
    assert len({record.key for record in records}) == len(records) == 3 * 5 * 5
    report = (out / "report.md").read_text()
    for name in ("quantized", "accuracy", "knn"):
        assert f"figures/{name}.png" in report
        assert (out / f"figures/{name}.png").read_bytes().startswith(b"\x89PNG")
    assert "</html>" in (out / "viewer.html").read_text()

    # Again: everything is there, so nothing is trained or measured anew.
    before = {path: path.stat().st_mtime_ns for path in [*out.rglob("*.ckpt"), out / "results.json", out / "shapes.h5"]}
    assert main([*COMMAND, str(out)]) == 0
    assert before == {path: path.stat().st_mtime_ns for path in before}

    # Without one of the pretrained methods: it is made again, and the numbers are the same.
    for path in (out / "results.json", out / "report.md"):
        path.unlink()
    for path in sorted((out / "runs/mid_rq").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert main([*COMMAND, str(out)]) == 0
    assert [(r.key, r.value) for r in read_records(out / "results.json")] == [(r.key, r.value) for r in records]


@pytest.mark.slow
def test_killed_while_pretraining_it_goes_on_and_leaves_no_process_behind(tmp_path):
    command = [sys.executable, "-m", "projects.cli", *COMMAND, "q", "--epochs", "3"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    killed = subprocess.Popen(command, cwd=tmp_path, env=environment, start_new_session=True, stderr=subprocess.DEVNULL)
    checkpoint = tmp_path / "q/runs/mid_rq/checkpoints/last.ckpt"
    wait_until(checkpoint.exists, 180)
    killed.kill()
    killed.wait()
    wait_until(lambda: not processes_of_session(killed.pid), 60)
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, timeout=300)
    assert len(read_records(tmp_path / "q/results.json")) == 3 * 5 * 5
    for method in ("mid", "mid_rq"):
        assert torch.load(tmp_path / f"q/runs/{method}/checkpoints/last.ckpt", weights_only=True)["epoch"] == 2
    assert len(list((tmp_path / "q/runs/mid_rq/logs").iterdir())) == 2, "it went on instead of starting again"


def wait_until(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)


def processes_of_session(session):
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(entry.name)) == session and "Z" not in (entry / "stat").read_text().split()[2]:
                found.append(int(entry.name))
        except OSError:  # it has just ended
            continue
    return found


def test_other_settings_or_other_files_are_not_overwritten(tmp_path, capsys):
    (tmp_path / "letter.txt").write_text("mine")
    assert main([*COMMAND, str(tmp_path)]) == 2
    assert "is no quick start" in capsys.readouterr().err
    other = tmp_path / "other"
    other.mkdir()
    (other / "quickstart.json").write_text(json.dumps({"count": 99}))
    assert main([*COMMAND, str(other)]) == 2
    assert "other settings" in capsys.readouterr().err
    assert [path.name for path in other.iterdir()] == ["quickstart.json"]


@pytest.mark.parametrize("option", ["--count", "--test_count", "--epochs"])
def test_empty_budgets_are_refused(tmp_path, capsys, option):
    assert main(["quickstart", "--out", str(tmp_path / "q"), option, "0"]) == 2
    assert option in capsys.readouterr().err
    assert not (tmp_path / "q").exists()

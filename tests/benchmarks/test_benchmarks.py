"""The benchmarks run, their table is right, and the kit for GPU machines continues where it stopped."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as program
from benchmarks import profile_step, scale
from benchmarks.timing import Row

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.medium


@pytest.mark.parametrize("name", program.BENCHMARKS)
def test_benchmark_runs_and_writes_its_rows(name, store_path, tmp_path, capsys):
    program.main([name, "--quick", "--store", str(store_path), "--out", str(tmp_path)])
    table = capsys.readouterr().out
    (path,) = tmp_path.glob("*_quick.json")
    rows = [Row(**row) for row in json.loads(path.read_text())["rows"][name]]
    assert rows
    assert all(row.ours_seconds > 0 and row.work in table for row in rows)
    assert table.strip() in path.with_suffix(".md").read_text()


def test_ratio_is_above_one_where_ours_is_faster():
    row = Row("work", 0.02, "other", 0.05, "limit", 0.008)
    assert program.cells(row) == ("work", "20.0 ms", "other", "50.0 ms", "2.50", "limit", "8.000 ms", "2.50")
    assert program.cells(Row("work", 0.02)) == ("work", "20.0 ms", "", "", "", "", "", "")


def test_results_of_a_day_are_collected(tmp_path):
    about = {"device": "some GPU"}
    for name, seconds in (("one", 1.0), ("two", 2.0), ("one", 3.0)):
        table = program.write(tmp_path, about, {name: [Row(f"work of {name}", seconds)]}, quick=False)
    (path,) = tmp_path.glob("*.json")
    rows = json.loads(path.read_text())["rows"]
    assert {name: [row["ours_seconds"] for row in each] for name, each in rows.items()} == {"one": [3.0], "two": [2.0]}
    assert "work of one" in table.read_text()
    assert "work of two" in table.read_text()


def test_unknown_benchmark_is_refused(capsys):
    with pytest.raises(SystemExit):
        program.main(["quantise"])
    assert "unknown benchmark quantise; available: quantize, " in capsys.readouterr().err


def test_profile_reports_wait_for_data_and_operators(store_path, capsys):
    profile_step.main(["--quick", "--store", str(store_path), "--workers", "1"])
    report = capsys.readouterr().out
    assert "| wait for data from 1 workers |" in report
    assert "| aten::mm |" in report


def test_scale_is_computed_from_the_given_figures(capsys):
    scale.main(["--points", "5000", "--bytes-per-point", "16", "--cpu", "10", "--cpu-memory", "1"])
    report = capsys.readouterr().out
    assert "718,400 steps" in report  # 400 times 57,449 / 32, rounded up
    assert "| all epochs | 638.3 h |  |" in report  # 57,449 · 400 / 10 s; nothing for a GPU that was not measured
    assert "| store | 4.6 GB |" in report  # 57,449 · 5,000 · 16 bytes
    assert "| patch bank, float16 | 735.3 MB |" in report  # 57,449 · 100 · 64 · 2 bytes
    assert "| memory with float32 banks | 2.5 GB |  |" in report  # 1 GB, and banks of 1.47 and 0.03 GB


def run_kit(out: Path, *parts: str, status: int = 0, **variables: str) -> str:
    variables = {"DEVICE": "cpu", "QUICK": "1", "PYTHON": sys.executable, "KIT": str(out / "kit")} | variables
    words = ["bash", "benchmarks/gpu.sh", "run", str(out), *parts]
    run = subprocess.run(
        words, cwd=ROOT, env=os.environ | variables, check=False, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == status, run.stdout + run.stderr
    return run.stdout


@pytest.mark.slow
def test_gpu_kit_skips_finished_parts_and_names_the_others(tmp_path):
    assert run_kit(tmp_path, "tests", LIMIT="40") == "not finished: tests; run the same command again\n"
    assert run_kit(tmp_path, "tests", "benchmark_quantize").count("seconds") == 2
    assert "skipped" in (tmp_path / "tests.log").read_text()  # no CUDA device
    assert list((tmp_path / "benchmarks").glob("*_quick.md"))
    again = run_kit(tmp_path, "tests", "benchmark_quantize").splitlines()
    assert again == [f"{part}: finished earlier, exit status 0" for part in ("tests", "benchmark_quantize")]


@pytest.mark.slow
def test_gpu_kit_gives_up_a_part_that_ran_out_of_time_three_times(tmp_path):
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\ncase "$*" in *pytest*) exit 124;; esac\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    for _ in range(2):
        assert "not finished: tests; " in run_kit(tmp_path, "tests", PYTHON=str(python))
    assert "not finished" not in run_kit(tmp_path, "tests", status=1, PYTHON=str(python))
    assert "tests: finished earlier, exit status 124" in run_kit(tmp_path, "tests", status=1, PYTHON=str(python))


@pytest.mark.slow
def test_gpu_kit_names_a_part_that_fails(tmp_path):
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\ncase "$*" in *pytest*) exit 3;; esac\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    assert f"tests: exit status 3, see {tmp_path}/tests.log" in run_kit(tmp_path, "tests", status=1, PYTHON=str(python))


@pytest.mark.slow
def test_gpu_kit_trains_and_keeps_the_checkpoint(tmp_path, store_path):
    run_kit(tmp_path, "train", STORE=str(store_path))
    assert (tmp_path / "train/checkpoints/last.ckpt").exists()
    assert (tmp_path / "train.status").read_text() == "0\n"

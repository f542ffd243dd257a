"""Preparation on a cluster of processes: nothing lost, nothing twice, and one clear line where it cannot work."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import trimesh

from data_prep import run, scheduler
from data_prep.mesh import load_mesh
from data_prep.pipeline import Pipeline
from data_prep.recipes import ShapeRecipe
from data_prep.run import Item, prepare
from data_prep.scheduler import connected
from pcrq import InputError
from pcrq.stores.shape_store import ShapeStore
from projects.cli import main

pytestmark = pytest.mark.medium

QUICK = Pipeline(resolution=16, patches=5)
COUNT, VICTIM = 20, "07"

NOTED_LOADING = f"""
import os, time
from data_prep.mesh import load_mesh

def load(path, notes):
    first = not list(notes.glob(path.stem + "-*"))
    (notes / f"{{path.stem}}-{{os.getpid()}}").touch()
    if first and path.stem == "{VICTIM}":
        time.sleep(300)  # until its worker is killed
    return load_mesh(path)
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def modules(tmp_path_factory):
    """A folder on the path of the workers, with loading that notes who loads what."""
    folder = tmp_path_factory.mktemp("modules")
    (folder / "noted_loading.py").write_text(NOTED_LOADING)
    return folder


@contextmanager
def background(*words: str, folder: Path, paths: list[Path]):
    """A process with all it starts, ended at the end."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(map(str, [*paths, Path(run.__file__).parents[1]])),
        "OMP_NUM_THREADS": "1",
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
        "RAY_DISABLE_IMPORT_WARNING": "1",
    }
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
    process = subprocess.Popen([sys.executable, *words], cwd=folder, env=environment, start_new_session=True, **quiet)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def dask_scheduler(folder: Path, *paths: Path):
    pytest.importorskip("distributed")
    port = free_port()
    words = ("-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
    with background(*words, folder=folder, paths=list(paths)) as process:
        wait_for(lambda: answers(port) and process.poll() is None)
        yield f"127.0.0.1:{port}"


def dask_workers(address: str, count: int, folder: Path, *paths: Path):
    words = ("-m", "distributed.cli.dask_worker", f"tcp://{address}", "--nworkers", str(count), "--nthreads", "1")
    return background(*words, "--no-dashboard", folder=folder, paths=list(paths))


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def wait_for(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture(scope="module")
def dask(modules, tmp_path_factory):
    """Address of a Dask cluster of three worker processes in another folder than this process."""
    from distributed import Client

    folder = tmp_path_factory.mktemp("workers")
    with dask_scheduler(folder, modules) as address, dask_workers(address, 3, folder, modules):
        with Client(f"tcp://{address}", set_as_default=False) as client:
            client.wait_for_workers(3, timeout=60)
        yield f"dask://{address}"


@pytest.fixture(scope="module")
def ray(modules, tmp_path_factory):
    """Address of a Ray cluster of three cores."""
    pytest.importorskip("ray")
    port, folder = free_port(), tmp_path_factory.mktemp("ray")
    words = [f"--port={free_port()}", f"--ray-client-server-port={port}", "--num-cpus=3", "--include-dashboard=false"]
    words = ("-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats", *words)
    with background(*words, folder=folder, paths=[modules]) as process:
        wait_for(lambda: answers(port) and process.poll() is None)
        yield f"ray://127.0.0.1:{port}"


@pytest.fixture
def meshes(tmp_path):
    folder = tmp_path / "meshes"
    folder.mkdir()
    for index in range(COUNT):
        shape = trimesh.creation.icosphere(2)
        shape.apply_scale((1, 1 + index, 2))
        shape.export(folder / f"{index:02}.off")
    return sorted(folder.iterdir())


def check_that_a_killed_worker_costs_nothing(address, meshes, modules, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(modules)
    from noted_loading import load

    notes = tmp_path / "notes"
    notes.mkdir()
    killed = []

    def kill():
        wait_for(lambda: list(notes.glob(f"{VICTIM}-*")))
        killed.append(int(next(notes.glob(f"{VICTIM}-*")).name.split("-")[1]))
        os.kill(killed[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with connected(address, [tmp_path]):
        summary = prepare(
            [Item(path.name, partial(load, path, notes)) for path in meshes],
            tmp_path / "cluster.h5",
            classes=[],
            pipeline=QUICK,
        )
    killer.join()
    assert (summary.entries, summary.prepared, summary.refused) == (COUNT, COUNT, [])
    loaded = sorted(note.name.split("-")[0] for note in notes.iterdir())
    assert loaded == sorted([*(path.stem for path in meshes), VICTIM])  # what died with the worker was done again
    assert len({note.name.split("-")[1] for note in notes.iterdir()} - {str(killed[0]), str(os.getpid())}) >= 2

    here = [Item(path.name, partial(load_mesh, path)) for path in meshes]
    prepare(here, tmp_path / "here.h5", classes=[], pipeline=QUICK, jobs=1)
    assert (tmp_path / "cluster.h5").read_bytes() == (tmp_path / "here.h5").read_bytes()


def check_that_a_shape_that_kills_every_worker_is_refused(address, meshes, tmp_path):
    items = [Item(path.name, partial(load_mesh, path)) for path in meshes[:3]]
    items.insert(1, Item("killer", partial(os._exit, 1)))
    with connected(address, [tmp_path]):
        summary = prepare(items, tmp_path / "store.h5", classes=[], pipeline=QUICK)
    assert [refusal.id for refusal in summary.refused] == ["killer"]
    assert "crashes its process" in summary.refused[0].reason
    assert ShapeStore(tmp_path / "store.h5").id == [path.name for path in meshes[:3]]


@pytest.mark.slow
def test_a_killed_dask_worker_costs_nothing(dask, meshes, modules, tmp_path, monkeypatch):
    check_that_a_killed_worker_costs_nothing(dask, meshes, modules, tmp_path, monkeypatch)


@pytest.mark.slow
def test_a_shape_that_kills_every_dask_worker_is_refused(dask, meshes, tmp_path):
    check_that_a_shape_that_kills_every_worker_is_refused(dask, meshes, tmp_path)


@pytest.mark.slow
def test_a_killed_ray_worker_costs_nothing(ray, meshes, modules, tmp_path, monkeypatch):
    check_that_a_killed_worker_costs_nothing(ray, meshes, modules, tmp_path, monkeypatch)


@pytest.mark.slow
def test_a_shape_that_kills_every_ray_worker_is_refused(ray, meshes, tmp_path):
    check_that_a_shape_that_kills_every_worker_is_refused(ray, meshes, tmp_path)


def test_the_command_finds_relative_paths_on_workers_elsewhere(dask, meshes, tmp_path, monkeypatch, capsys):
    for path in meshes[3:]:
        path.unlink()
    monkeypatch.chdir(tmp_path)
    prep = ["prep", "meshes", "meshes", "--out"]
    assert main([*prep, "cluster.h5", "--scheduler", dask]) == 0
    assert main([*prep, "here.h5", "--jobs", "1"]) == 0
    assert Path("cluster.h5").read_bytes() == Path("here.h5").read_bytes()
    assert main([*prep, "other.h5", "--scheduler", dask, "--jobs", "2"]) == 2
    assert "--jobs" in capsys.readouterr().err


def test_what_a_worker_does_not_see_is_named(dask, tmp_path):
    with (
        pytest.raises(InputError, match=rf"{tmp_path}/nowhere does not exist on the worker "),
        connected(dask, [tmp_path, tmp_path / "nowhere"]),
    ):
        pass


def test_a_worker_that_joins_later_without_the_folder_ends_the_run_with_its_name(dask, meshes, tmp_path, monkeypatch):
    monkeypatch.setattr(run.Path, "absolute", lambda path: Path("/nowhere") / path.name)  # what that worker sees
    item = Item("a", partial(load_mesh, meshes[0]))
    with (
        connected(dask),
        pytest.raises(InputError, match=r"/nowhere/store\.h5\.prep: this folder does not exist on the worker "),
    ):
        prepare([item], tmp_path / "store.h5", classes=[], pipeline=QUICK)


def test_a_task_that_is_run_again_after_its_end_does_not_load_again(meshes, tmp_path):
    for loads in (partial(load_mesh, meshes[0]), partial(os._exit, 1)):  # the worker died before it could say so
        assert run._prepare_one(Item("a", loads), "key", tmp_path, ShapeRecipe(QUICK)) == "key"
    assert (tmp_path / "key.npz").exists()


def test_a_worker_without_this_software_is_told(tmp_path):
    hiding = tmp_path / "hiding"
    (hiding / "data_prep").mkdir(parents=True)
    (hiding / "data_prep/__init__.py").write_text("raise ModuleNotFoundError('no data_prep here')")
    with (
        dask_scheduler(tmp_path) as address,
        dask_workers(address, 1, tmp_path, hiding),
        pytest.raises(InputError, match=r"cannot run this software.*no data_prep here"),
        connected(f"dask://{address}"),
    ):
        pass


def test_a_scheduler_without_workers_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(scheduler, "_JOIN", 0.2)
    with (
        dask_scheduler(tmp_path) as address,
        pytest.raises(InputError, match=f"no worker has joined.*dask worker tcp://{address}"),
        connected(f"dask://{address}"),
    ):
        pass


@pytest.mark.parametrize("engine", ["dask", "ray"])
def test_a_scheduler_that_is_not_there_is_an_error_soon(engine, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(scheduler, "find_spec", lambda name: True)
    monkeypatch.setattr(scheduler, "_REACH", 0.5)
    started = time.monotonic()
    url = f"{engine}://127.0.0.1:{free_port()}"
    assert main(["prep", "shapes", "--count", "1", "--out", str(tmp_path / "s.h5"), "--scheduler", url]) == 2
    assert 0.5 < time.monotonic() - started < 10
    error = capsys.readouterr().err
    assert error.startswith(f"pcrq: error: --scheduler {url}: no response") and error.count("\n") == 1


@pytest.mark.parametrize("engine", ["dask", "ray"])
def test_an_engine_that_is_not_installed_is_told(engine, monkeypatch):
    monkeypatch.setattr(scheduler, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=rf'pip install "pcrq\[{engine}\]"'), connected(f"{engine}://host:1"):
        pass


@pytest.mark.parametrize("url", ["", "dask://", "dask://host", "ray://:1", "host:8786", "tcp://host:1", "dask://h:x"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(InputError, match=r"dask://HOST:8786 or ray://HOST:10001"), connected(url):
        pass

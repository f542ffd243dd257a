"""A preparation run on a Dask or Ray cluster, through joblib's backends.

Both engines restart the task of a crashed worker process elsewhere, three times, and then give it up. joblib would wait
for such a task forever (Dask) or end the run (Ray); here its result is None, and the run continues.
"""

from __future__ import annotations

import _thread
import contextlib
import logging
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pcrq import InputError

if TYPE_CHECKING:
    from joblib.parallel import ParallelBackendBase

log = logging.getLogger(__name__)

_REACH = 10
"""Seconds in which a scheduler must respond; one that a job script has just started needs a few."""
_JOIN = 60
"""Seconds in which the first worker must join."""
_RETRIES = 3
"""Number of times that Ray restarts a task after its process has crashed; 3 is the default of Dask."""
_IN_FLIGHT = 1000
"""Half of the minimum number of tasks that Dask receives in advance, so that workers that join later have some."""


@contextlib.contextmanager
def connected(address: str, shared: Sequence[Path] = ()) -> Iterator[None]:
    """Use a cluster for the preparation runs inside this block.

    Args:
        address: ``dask://HOST:PORT`` of a Dask scheduler, or ``ray://HOST:PORT`` of a Ray Client server.
        shared: files and folders that all workers need under the same absolute path.

    Raises:
        InputError: the address is not valid, the library is not installed, the cluster cannot be reached or has no
            workers, or ``shared`` or this software is missing on a worker.
    """
    import joblib

    engine, host, port = _parse(address)
    connect = {"dask": _dask, "ray": _ray}[engine]
    _reach(address, host, port)
    paths = [str(Path(path).absolute()) for path in shared]
    with connect(address, paths) as backend, joblib.parallel_config(backend=backend, n_jobs=-1):
        yield


def _parse(address: str) -> tuple[str, str, int]:
    try:
        parts = urlsplit(address)
        engine, host, port = parts.scheme, parts.hostname, parts.port
    except ValueError:  # the port is not a number
        engine = host = port = None
    if engine not in ("dask", "ray") or not host or not port:
        raise InputError(
            f"--scheduler {address}: not the address of a scheduler; use dask://HOST:8786 or ray://HOST:10001"
        )
    if find_spec("distributed" if engine == "dask" else "ray") is None:
        raise InputError(f'--scheduler {address}: {engine} is not installed; pip install "pcrq[{engine}]"')
    return engine, host, port


def _reach(address: str, host: str, port: int) -> None:
    """Wait until something responds; the libraries would try for minutes and log every attempt."""
    end = time.monotonic() + _REACH
    while True:
        try:
            return socket.create_connection((host, port), timeout=_REACH).close()
        except OSError as error:
            if time.monotonic() > end or isinstance(error, socket.gaierror):
                raise InputError(
                    f"--scheduler {address}: no response ({error.strerror or error}); start the scheduler, or check "
                    "host and port"
                ) from error
        time.sleep(0.2)


@contextlib.contextmanager
def _dask(address: str, shared: list[str]) -> Iterator[ParallelBackendBase]:
    from distributed import Client, TimeoutError

    try:
        client = Client(f"tcp://{urlsplit(address).netloc}", timeout=_REACH, set_as_default=False)
    except Exception as error:  # another service on that port causes any exception
        raise InputError(f"--scheduler {address}: no Dask scheduler responds there ({error})") from error
    with client:
        try:
            client.wait_for_workers(1, timeout=_JOIN)
        except TimeoutError as error:
            raise InputError(
                f"--scheduler {address}: no worker has joined it in {_JOIN} s; start workers with dask worker "
                f"tcp://{urlsplit(address).netloc}"
            ) from error
        answers = list(client.run(_missing, shared, on_error="return").values())
        try:
            client.run_on_scheduler(_missing, [])  # it unpickles the tasks, but needs no files
        except Exception as error:
            answers.append(error)
        _check(address, answers)
        log.info("%s: %d workers", address, len(answers))
        try:
            yield _dask_backend(client)
        except CancelledError as error:
            raise _lost(address) from error


@contextlib.contextmanager
def _ray(address: str, shared: list[str]) -> Iterator[ParallelBackendBase]:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:
        raise InputError(f"--scheduler {address}: no Ray Client server responds there ({error})") from error
    try:
        nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
        cores = int(ray.cluster_resources().get("CPU", 0))
        if cores < 2:
            raise InputError(f"--scheduler {address}: the cluster has {cores} cores; it needs at least two")
        probe = ray.remote(num_cpus=0, max_retries=0)(_missing)
        places = [NodeAffinitySchedulingStrategy(node, soft=False) for node in nodes]
        answers = []
        for reference in [probe.options(scheduling_strategy=place).remote(shared) for place in places]:
            try:
                answers.append(ray.get(reference))
            except ray.exceptions.RayError as error:
                answers.append(error)
        _check(address, answers)
        log.info("%s: %d cores on %d nodes", address, cores, len(nodes))
        with _interrupted_when_lost(address):
            yield _ray_backend(cores)
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _interrupted_when_lost(address: str) -> Iterator[None]:
    """Ray's threads end silently when the connection is lost, and joblib would wait forever."""
    from ray.util.client import ray as client

    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(1):
            if not client.is_connected():
                _thread.interrupt_main()
                break

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    except BaseException as error:
        if client.is_connected():
            raise
        raise _lost(address) from error
    finally:
        ended.set()


def _missing(shared: list[str]) -> tuple[str, list[str]]:
    """In a worker: the name of its machine, and the paths that do not exist."""
    return socket.gethostname(), [path for path in shared if not Path(path).exists()]


def _check(address: str, answers: list[tuple[str, list[str]] | BaseException]) -> None:
    for answer in answers:
        if isinstance(answer, BaseException):
            raise InputError(
                f"--scheduler {address}: the scheduler or a worker cannot run this software ({type(answer).__name__}: "
                f"{answer}); install the same versions of Python and pcrq there"
            )
        machine, missing = answer
        if missing:
            raise InputError(
                f"--scheduler {address}: {missing[0]} does not exist on the worker {machine}; the source files and the "
                "folder of --out must be on a disk that all workers have under the same path"
            )


def _lost(address: str) -> InputError:
    return InputError(
        f"--scheduler {address}: the connection was lost; when the cluster is available again, run the same "
        "command: finished shapes are kept"
    )


def _dask_backend(client: Any) -> ParallelBackendBase:
    from distributed import KilledWorker
    from joblib._dask import DaskDistributedBackend

    class Backend(DaskDistributedBackend):
        def effective_n_jobs(self, n_jobs: int) -> int:
            return max(super().effective_n_jobs(n_jobs), _IN_FLIGHT)

        def submit(self, func, callback=None):
            """joblib calls back only for successful tasks; without this it would wait for the others forever."""
            future = super().submit(func, callback)
            future.add_done_callback(lambda done: done.exception() and callback(done.exception()))
            return future

        def retrieve_result_callback(self, out):
            return [None] if isinstance(out, KilledWorker) else super().retrieve_result_callback(out)

    return Backend(client=client)


def _ray_backend(cores: int) -> ParallelBackendBase:
    from ray.exceptions import RayActorError
    from ray.util.joblib.ray_backend import RayBackend

    class Backend(RayBackend):
        supports_return_generator = True  # unlike its base class, a multiprocessing pool

        def effective_n_jobs(self, n_jobs: int) -> int:
            return cores

        def retrieve_result_callback(self, out):
            return [None] if isinstance(out, RayActorError) else super().retrieve_result_callback(out)

    options = {"num_cpus": 1, "max_restarts": -1, "max_task_retries": _RETRIES}
    return Backend(ray_remote_args=options)

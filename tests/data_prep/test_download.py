"""Downloading from a server that cuts connections, changes its files, knows no ranges or does not have them."""

import hashlib
import io
import os
import random
import socket
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from data_prep import download as resuming_transfer
from data_prep.download import download
from pcrq import InputError

CONTENT = random.Random(0).randbytes(3 * 2**20 + 17)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Served:
    """What the server does, and what it did."""

    content: bytes = CONTENT
    version: str | None = '"1"'
    ranges: bool = True
    announced: bool = True
    status: list[int] = field(default_factory=list)  # of the next answers, 200 after them
    cuts: list[int] = field(default_factory=list)  # bytes of the next answers, whole after them
    stall: int | None = None  # bytes after which nothing comes any more
    requests: list[tuple[str | None, int]] = field(default_factory=list)  # range asked for, bytes sent


@pytest.fixture
def served(monkeypatch):
    monkeypatch.setattr(resuming_transfer, "_WAITS", (0, 0))
    return Served()


@pytest.fixture
def url(served):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            wanted = self.headers.get("Range")
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and served.ranges else 0
            status = served.status.pop(0) if served.status else (206 if start else 200)
            body = served.content[start:] if status in (200, 206) else b"<html>sorry</html>"
            self.send_response(status)
            if served.announced:
                self.send_header("Content-Length", str(len(body)))
            if served.version:
                self.send_header("ETag", served.version)
            if status == 206:
                whole = len(served.content)
                self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
            sent = body[: served.cuts.pop(0)] if served.cuts else body
            served.requests.append((wanted, len(sent)))
            self.end_headers()
            self.wfile.write(sent[: served.stall])
            while served.stall:
                time.sleep(0.01)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/file.bin"
    server.shutdown()
    server.server_close()


@pytest.fixture
def target(tmp_path):
    return tmp_path / "data/file.bin"


def left(target) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


def test_a_file_arrives_whole_and_alone(url, served, target):
    assert download(url, target, sha256=SHA256.upper(), size=len(CONTENT)) == target
    assert target.read_bytes() == CONTENT and left(target) == ["file.bin"]
    assert download(url, target, sha256=SHA256, size=len(CONTENT)) == target
    assert served.requests == [(None, len(CONTENT))]


def test_a_cut_is_resumed_by_itself_and_nothing_is_sent_twice(url, served, target):
    served.cuts = [1_000_000, 500_000, 0, 700_000]
    download(url, target, sha256=SHA256)
    assert target.read_bytes() == CONTENT
    assert [wanted for wanted, _ in served.requests] == [
        None,
        "bytes=1000000-",
        "bytes=1500000-",
        "bytes=1500000-",
        "bytes=2200000-",
    ]
    assert sum(sent for _, sent in served.requests) == len(CONTENT)


def test_the_next_call_goes_on_where_the_last_one_gave_up(url, served, target):
    served.cuts = [1_000_000, 0, 0, 0]
    with pytest.raises(InputError, match=r"the connection was interrupted.*it resumes"):
        download(url, target)
    assert left(target) == ["file.bin.part"]
    download(url, target)
    assert target.read_bytes() == CONTENT and left(target) == ["file.bin"]
    assert served.requests[-1] == ("bytes=1000000-", len(CONTENT) - 1_000_000)


def test_a_download_that_is_killed_goes_on(url, served, target):
    served.stall = 2_500_000
    script = f"from data_prep.download import download; download({url!r}, {str(target)!r})"
    killed = subprocess.Popen([sys.executable, "-c", script], cwd=Path(resuming_transfer.__file__).parents[1])
    content, end = target.with_name("file.bin.part") / "content", time.monotonic() + 60
    while not content.exists() or content.stat().st_size < 2**21:
        assert killed.poll() is None and time.monotonic() < end
        time.sleep(0.01)
    killed.kill()
    killed.wait()
    served.stall = None
    download(url, target, sha256=SHA256)
    assert served.requests[-1] == (f"bytes={2**21}-", len(CONTENT) - 2**21) and left(target) == ["file.bin"]


@pytest.mark.parametrize("change", [{"version": '"2"'}, {"content": CONTENT[::-1] + b"longer", "version": None}])
def test_a_file_that_changed_on_the_server_begins_anew(url, served, target, change):
    served.cuts = [1_000_000, 0, 0]
    with pytest.raises(InputError):
        download(url, target)
    for name, value in change.items():
        setattr(served, name, value)
    download(url, target)
    assert target.read_bytes() == served.content
    assert served.requests[-1] == (None, len(served.content))


def test_another_address_begins_anew(url, served, target):
    served.cuts = [1_000_000, 0, 0]
    with pytest.raises(InputError):
        download(url, target)
    download(f"{url}?other", target)
    assert served.requests[-1] == (None, len(CONTENT))


def test_a_server_without_ranges_sends_all_again(url, served, target):
    served.ranges, served.cuts = False, [1_000_000]
    download(url, target, sha256=SHA256)
    assert served.requests[-1] == ("bytes=1000000-", len(CONTENT)) and target.read_bytes() == CONTENT


def test_a_beginning_that_is_longer_than_the_file_begins_anew(url, served, target):
    served.cuts = [1_000_000, 0, 0]
    with pytest.raises(InputError):
        download(url, target)
    served.content, served.status = CONTENT[:1000], [416]
    download(url, target)
    assert target.read_bytes() == CONTENT[:1000]


def test_a_busy_server_is_asked_again(url, served, target):
    served.status = [503, 429]
    download(url, target)
    assert len(served.requests) == 3
    served.status = [503] * 3
    with pytest.raises(InputError, match="503 Service Unavailable; check the network and run the same again"):
        download(url, target.with_name("other"))


def test_a_wrong_checksum_leaves_nothing(url, served, target):
    with pytest.raises(InputError, match="the checksum differs"):
        download(url, target, sha256="0" * 64)
    assert left(target) == []


def test_an_interrupted_check_of_the_sum_loses_nothing(url, served, target, monkeypatch):
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("pooch.core.hash_matches", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        download(url, target, sha256=SHA256)
    download(url, target, sha256=SHA256)
    assert len(served.requests) == 1 and left(target) == ["file.bin"]


def test_another_length_than_expected_is_refused_before_it_is_sent(url, served, target):
    with pytest.raises(InputError, match="declares 3145745 bytes instead of 5"):
        download(url, target, size=5)
    served.announced = False
    with pytest.raises(InputError, match="3145745 bytes received instead of 5"):
        download(url, target, size=5)
    download(url, target)
    assert target.read_bytes() == CONTENT


def test_a_zip_must_be_one(url, served, target):
    with pytest.raises(InputError, match="not a zip archive"):
        download(url, target.with_suffix(".zip"))
    assert left(target) == []
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.off", "OFF")
    served.content = file.getvalue()
    assert zipfile.ZipFile(download(url, target.with_suffix(".zip"))).namelist() == ["a.off"]


def test_a_file_that_is_there_already_is_compared(url, served, target):
    target.parent.mkdir()
    target.write_bytes(b"mine")
    assert download(url, target) == target  # nothing to compare with
    for expected in ({"sha256": SHA256}, {"size": 5}):
        with pytest.raises(InputError, match=r"file\.bin: exists, but is not the file at http"):
            download(url, target, **expected)
    assert target.read_bytes() == b"mine" and served.requests == []


@pytest.mark.parametrize(
    ("status", "words"), [(404, "does not have it .404 Not Found"), (403, "browser"), (302, "does not have it")]
)
def test_what_the_server_refuses_is_not_asked_twice(url, served, target, status, words):
    served.status = [status] * 2
    with pytest.raises(InputError, match=words) as caught:
        download(url, target)
    assert len(served.requests) == 1 and "\n" not in str(caught.value)
    assert left(target) == []


def test_failing_connections_are_one_line(url, served, target, monkeypatch):
    with socket.socket() as closed, socket.socket() as silent:
        closed.bind(("127.0.0.1", 0))
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setattr(resuming_transfer, "_TIMEOUT", 0.1)
        for address, words in [
            (f"http://127.0.0.1:{closed.getsockname()[1]}/a", "refuses connections; check the network"),
            (f"http://127.0.0.1:{silent.getsockname()[1]}/a", "does not respond"),
            ("http://nowhere.invalid/a", "cannot be resolved"),
            (url.replace("http:", "https:"), "certificate|TLS"),
            ("file:///etc/passwd", "cannot be downloaded"),
            ("nonsense", "cannot be downloaded"),
        ]:
            with pytest.raises(InputError, match=words) as caught:
                download(address, target)
            assert address in str(caught.value) and "\n" not in str(caught.value)


def test_a_full_disk_keeps_what_came(url, served, target, monkeypatch):
    served.cuts = [1_000_000, 0, 0]
    with pytest.raises(InputError):
        download(url, target)
    with monkeypatch.context() as patched:
        patched.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000})())
        with pytest.raises(InputError, match=r"file\.bin: the disk is full.*it resumes"):
            download(url, target)
    download(url, target, sha256=SHA256)
    assert served.requests[-1][0] == "bytes=1000000-"


def test_a_folder_that_cannot_be_written_is_named(url, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot be created.*choose another place"):
        download(url, tmp_path / "file/a.bin")


def test_two_downloads_of_one_file_do_not_mix(url, served, target):
    fcntl = pytest.importorskip("fcntl")
    part = target.with_name("file.bin.part")
    part.mkdir(parents=True)
    holder = os.open(part, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    with pytest.raises(InputError, match="another process is downloading it"):
        download(url, target)
    os.close(holder)
    download(url, target, sha256=SHA256)


@pytest.mark.slow
def test_a_data_set_is_fetched_over_a_cut_connection_and_prepared(url, served, tmp_path, monkeypatch):
    from dataclasses import replace

    from packing import pack

    from data_prep.builtin_shapes import builtin_items
    from data_prep.layouts import write_modelnet40
    from data_prep.public_datasets import modelnet
    from pcrq.stores.shape_store import ShapeStore
    from projects.cli import main

    write_modelnet40(tmp_path / "ModelNet40", builtin_items(2, ["lamp"]))
    pack(tmp_path / "ModelNet40", tmp_path / "packed.zip")
    served.content = (tmp_path / "packed.zip").read_bytes()
    served.cuts = [len(served.content) // 2]
    checksum = hashlib.sha256(served.content).hexdigest()
    monkeypatch.setattr(modelnet, "ARCHIVE40", replace(modelnet.ARCHIVE40, url=url, sha256=checksum))
    archive, store = tmp_path / "M40.zip", tmp_path / "m40.h5"
    assert main(["prep", "modelnet40", str(archive), "--download", "--out", str(store), "--jobs", "1"]) == 0
    assert archive.read_bytes() == served.content
    half = len(served.content) // 2
    assert served.requests == [(None, half), (f"bytes={half}-", len(served.content) - half)]
    assert ShapeStore(store).classes == ["lamp"]

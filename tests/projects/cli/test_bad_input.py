"""Bad input of every kind, as a user meets it: one line that names the culprit, and exit status 2."""

import pickle
import zipfile

import h5py
import numpy as np
import pytest
import torch

from projects.cli import main

PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489")


class Code:
    """Pickled, it runs code when it is read."""

    def __reduce__(self):
        return (print, ("executed",))


def write_zip(path, name):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")


@pytest.fixture
def folder(tmp_path, store_path):
    """One bad thing of each kind."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/a.obj").write_text("v 0 0 0\n")
    (tmp_path / "broken/b.off").write_text("OFF\n3 1")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures/picture.obj").write_bytes(PNG)
    (tmp_path / "picture.obj").write_bytes(PNG)
    (tmp_path / "truncated.h5").write_bytes(store_path.read_bytes()[:5000])
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["x"] = 1
    write_zip(tmp_path / "escape.zip", "../escape.obj")
    np.savez(tmp_path / "objects.npz", points=np.array([Code()], dtype=object))
    torch.save({"state_dict": Code()}, tmp_path / "code.ckpt")
    (tmp_path / "pickle.ckpt").write_bytes(pickle.dumps(Code()))
    return tmp_path


CASES = {
    "missing mesh": ("view missing.obj --save a.png", "missing.obj"),
    "missing source": ("prep meshes missing.zip --out a.h5", "missing.zip"),
    "missing store": ("info missing.h5", "missing.h5"),
    "empty folder": ("prep meshes empty --out a.h5", "empty"),
    "only broken meshes": ("prep meshes broken --out a.h5 --jobs 1", "broken"),
    "picture renamed, prepared": ("prep meshes pictures --out a.h5 --jobs 1", "picture.obj"),
    "picture renamed, viewed": ("view picture.obj --save a.png", "picture.obj"),
    "truncated store": ("info truncated.h5", "truncated.h5"),
    "truncated store, viewed": ("view truncated.h5:0 --save a.png", "truncated.h5"),
    "foreign HDF5 file": ("info foreign.h5", "foreign.h5"),
    "no bins": ("view STORE:0 --bins 0 --save a.png", "bins"),
    "archive that escapes": ("prep meshes escape.zip --out a.h5", "../escape.obj"),
    "pickled objects": ("view objects.npz --save a.png", "objects.npz"),
    "code in a checkpoint": ("probe STORE --checkpoint code.ckpt", "code.ckpt"),
    "pickle as a checkpoint": ("probe STORE --checkpoint pickle.ckpt", "pickle.ckpt"),
    "no such shape": ("view STORE:99 --save a.png", "99"),
    "unknown picture format": ("view STORE:0 --save a.doc", "a.doc"),
    "output folder missing": ("prep shapes --count 1 --out nowhere/a.h5", "nowhere"),
}


@pytest.mark.parametrize("case", CASES)
def test_one_line_that_names_the_culprit_and_status_2(folder, store_path, monkeypatch, capfd, case):
    monkeypatch.chdir(folder)
    command, culprit = CASES[case]
    before = {path: path.stat().st_size for path in folder.rglob("*")}
    try:
        status = main([word.replace("STORE", str(store_path)) for word in command.split()])
    except SystemExit as stop:
        status = stop.code
    out, err = capfd.readouterr()
    error = [line for line in err.splitlines() if "error: " in line]
    assert status == 2
    assert len(error) == 1 and culprit in error[0]
    assert "Traceback" not in err and "executed" not in out + err
    made = {path for path in folder.rglob("*") if path not in before and not path.name.endswith(".refused.csv")}
    assert not made, "nothing is left behind"

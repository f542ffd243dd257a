"""Atomic writes: the old file or folder, or the complete new one, and nothing else."""

import pytest

from pcrq import InputError
from pcrq.files import atomic_folder, atomic_write, write_text


def test_a_file_is_replaced_when_it_is_complete(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_write(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "old").touch()
    with atomic_folder(folder) as temporary:
        (temporary / "new").touch()
        assert (folder / "old").exists()
    assert [path.name for path in folder.iterdir()] == ["new"] and list(tmp_path.iterdir()) == [folder]


def test_an_exception_leaves_the_old_folder_and_nothing_else(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "old").touch()
    with pytest.raises(RuntimeError), atomic_folder(folder) as temporary:
        (temporary / "new").touch()
        raise RuntimeError
    assert [path.name for path in folder.iterdir()] == ["old"] and list(tmp_path.iterdir()) == [folder]


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere/a\.txt: cannot be written"):
        write_text(tmp_path / "nowhere/a.txt", "text")

"""Images in a folder: the layouts that are understood, and one line for those that are not."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torchvision
from PIL import Image

from pcrq import InputError
from projects.image import sources as folder
from projects.image.sources import FolderImages, UnreadableImage, open_source


def add_image(path, shade=0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (12, 10), (shade, 0, 0)).save(path)


@pytest.fixture
def root(tmp_path):
    """Two classes, three training and two validation images each."""
    for split, count in (("train", 3), ("val", 2)):
        for label, name in enumerate(["cat", "dog"]):
            for number in range(count):
                add_image(tmp_path / split / name / f"{number}.png", shade=10 * label + number)
    return tmp_path


@pytest.mark.parametrize(("split", "folder"), [("train", "train"), ("test", "val")])
def test_as_torchvision_reads_it(root, split, folder):
    ours, theirs = FolderImages(root, split), torchvision.datasets.ImageFolder(root / folder)
    assert ours.classes == theirs.classes and len(ours) == len(theirs)
    for index in range(len(ours)):
        (image, label), (expected, expected_label) = ours[index], theirs[index]
        assert label == expected_label and image.tobytes() == expected.tobytes()


def test_an_image_beyond_the_last_does_not_exist(root):
    with pytest.raises(IndexError, match="image 6"):
        FolderImages(root, "train")[6]


def test_test_comes_before_val(root):
    shutil.copytree(root / "train", root / "test")
    assert len(FolderImages(root, "test")) == 6


def test_imagenets_test_folder_without_labels_is_passed_over(root):
    add_image(root / "test" / "ILSVRC2012_test_00000001.png")
    assert FolderImages(root, "test").folder.name == "val"


def test_tiny_imagenet_has_a_further_folder(root):
    for name in ("cat", "dog"):
        (root / "train" / name).rename(root / "images")
        (root / "images").rename((root / "train" / name).with_suffix(".moved"))
        (root / "train" / name).mkdir()
        (root / "train" / name / "boxes.txt").touch()
        (root / "train" / f"{name}.moved").rename(root / "train" / name / "images")
    source = FolderImages(root, "train")
    assert source.classes == ["cat", "dog"] and source.image_name(3) == "train/dog/images/0.png"


def test_pretraining_takes_the_training_images_without_labels(root):
    source = FolderImages(root, "pretrain")
    assert (len(source), source.classes, source[0][1]) == (6, [], -1)


def test_pretraining_takes_any_folder(tmp_path):
    names = ["a.png", "deep/er/b.JPG", "deep/c.webp"]
    for name in names:
        add_image(tmp_path / name)
    (tmp_path / "notes.txt").touch()
    (tmp_path / "deep" / "loop").symlink_to(tmp_path)
    source = FolderImages(tmp_path, "pretrain")
    assert [source.image_name(index).partition("/")[2] for index in range(len(source))] == sorted(names)


def test_hidden_files_are_passed_over(root):
    (root / "train" / "cat" / "._0.png").touch()
    (root / "train" / ".ipynb_checkpoints").mkdir()
    assert len(FolderImages(root, "train")) == 6
    assert len(FolderImages(root, "pretrain")) == 6


def test_names_of_any_letters_survive(tmp_path):
    add_image(tmp_path / "train" / "Kätzchen 猫" / "ein Bild.png")
    source = FolderImages(tmp_path, "train")
    assert source.image_name(0) == "train/Kätzchen 猫/ein Bild.png" and source[0][0].size == (12, 10)


def test_the_digest_tells_files_apart(root):
    first = FolderImages(root, "train").digest
    assert FolderImages(root, "train").digest == first != FolderImages(root, "test").digest
    (root / "train" / "cat" / "0.png").rename(root / "train" / "cat" / "9.png")
    renamed = FolderImages(root, "train").digest
    with (root / "train" / "cat" / "9.png").open("ab") as file:
        file.write(b"more")
    assert len({first, renamed, FolderImages(root, "train").digest}) == 3


def test_the_digest_has_all_names_and_the_sizes_of_a_fixed_choice(root, monkeypatch):
    monkeypatch.setattr(folder, "_SIZES", 4)
    first, asked, changed = FolderImages(root, "train"), [], []
    stat = Path.stat
    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", lambda path, **options: (asked.append(path.name), stat(path, **options))[1])
        assert first.digest and len(asked) == 4
    for path in sorted((root / "train").rglob("*.png")):
        content = path.read_bytes()
        path.write_bytes(content + b"more")
        changed.append(FolderImages(root, "train").digest != first.digest)
        path.write_bytes(content)
        path.rename(path.with_stem("other"))
        assert FolderImages(root, "train").digest != first.digest
        path.with_stem("other").rename(path)
    assert sum(changed) == 4 and FolderImages(root, "train").digest == first.digest


def test_opening_decodes_nothing_and_an_image_that_is_damaged_is_named(root):
    (root / "train" / "cat" / "1.png").write_bytes(b"")
    with pytest.raises(UnreadableImage, match=r"^train/cat/1\.png: the file is empty"):
        FolderImages(root, "train")[1]


def test_a_link_to_nowhere_is_an_image_that_cannot_be_read(root):
    (root / "train" / "cat" / "3.png").symlink_to(root / "gone.png")
    source = FolderImages(root, "train")
    with pytest.raises(UnreadableImage, match=r"train/cat/3\.png: No such file or directory"):
        source[3]
    assert source.digest


def test_the_error_of_an_image_travels_between_processes():
    error = pickle.loads(pickle.dumps(UnreadableImage("a.png", "empty")))
    assert (str(error), error.name) == ("a.png: empty", "a.png")


def refusal(root, split) -> str:
    with pytest.raises(InputError) as caught:
        FolderImages(root, split)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("split", ["pretrain", "train", "test"])
def test_an_empty_folder(tmp_path, split):
    assert str(tmp_path) in refusal(tmp_path, split)


@pytest.mark.parametrize("split", ["pretrain", "train", "test"])
def test_a_missing_folder(tmp_path, split):
    assert "no such folder" in refusal(tmp_path / "imagenet", split)


def test_an_archive(tmp_path):
    (tmp_path / "imagenet.tar").touch()
    assert "unpack" in refusal(tmp_path / "imagenet.tar", "train")


def test_files_that_are_no_images(tmp_path):
    (tmp_path / "labels.csv").touch()
    assert "only 1 other files, the first is labels.csv" in refusal(tmp_path, "pretrain")
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "labels.csv").touch()
    assert "labels.csv" in refusal(tmp_path, "train")


def test_a_class_without_images(root):
    (root / "train" / "fox").mkdir()
    assert "fox: contains no image" in refusal(root, "train")


def test_a_class_missing_in_the_test_split(root):
    shutil.rmtree(root / "val" / "cat")
    assert "1 of the 2 classes" in refusal(root, "test") and "'cat'" in refusal(root, "test")


def test_a_class_missing_in_the_training_split(root):
    shutil.rmtree(root / "train" / "cat")
    assert "'cat'" in refusal(root, "test")


def test_images_without_classes(tmp_path):
    add_image(tmp_path / "val" / "ILSVRC2012_val_00000001.png")
    assert "without class folders" in refusal(tmp_path, "test")


def test_images_beside_classes(root):
    add_image(root / "train" / "stray.png")
    assert "stray.png" in refusal(root, "train")


def test_classes_that_lie_deeper(root):
    add_image(root / "train" / "mammals" / "fox" / "0.png")
    assert "mammals" in refusal(root, "train") and "'fox'" in refusal(root, "train")


def test_the_folder_above_is_told_the_folder_below(root):
    (root / "extra").mkdir()
    shutil.move(root / "train", root / "extra" / "train")
    shutil.rmtree(root / "val")
    assert f"name {root / 'extra'}" in refusal(root, "train")


def test_the_folder_below_is_told_the_folder_above(root):
    assert f"name {root}" in refusal(root / "train", "train")


def test_pretraining_does_not_take_the_test_images(root):
    shutil.rmtree(root / "train")
    assert "'val'" in refusal(root, "pretrain")


def test_a_million_names_do_not_become_objects(root):
    source = FolderImages(root, "train")
    assert all(isinstance(part, np.ndarray) for part in vars(source._names).values())


# --- classes without splits ---


@pytest.fixture
def classes(tmp_path):
    """Seven cats and four dogs, without splits."""
    for name, count in {"cat": 7, "dog": 4}.items():
        for number in range(count):
            add_image(tmp_path / name / f"{number}.png")
    return tmp_path


def test_every_third_image_of_a_class_is_for_testing(classes):
    expected = {
        "test": ["cat/2.png", "cat/5.png", "dog/2.png"],
        "train": [*(f"cat/{number}.png" for number in (0, 1, 3, 4, 6)), *(f"dog/{number}.png" for number in (0, 1, 3))],
    }
    for split, names in expected.items():
        source = FolderImages(classes, split, test_every=3)
        assert [source.relative_name(index) for index in range(len(source))] == names
        assert [source.classes[source[index][1]] for index in range(len(source))] == [name[:3] for name in names]
    pretraining = FolderImages(classes, "pretrain", test_every=3)
    assert [pretraining.relative_name(index) for index in range(len(pretraining))] == expected["train"]
    assert pretraining.classes == [] and pretraining[0][1] == -1
    train, test = (FolderImages(classes, split, test_every=3) for split in ("train", "test"))
    assert train.name != test.name and train.digest != test.digest
    assert train.digest == pretraining.digest != FolderImages(classes, "train", test_every=2).digest


@pytest.mark.parametrize(
    ("test_every", "message"), [(1, "must be at least 2"), (-3, "must be at least 2"), (5, "dog has only 4 images")]
)
def test_every_class_needs_a_test_image(classes, test_every, message):
    with pytest.raises(InputError, match=message):
        FolderImages(classes, "train", test_every=test_every)


def test_splits_of_the_folder_are_not_overridden(root):
    with pytest.raises(InputError, match="has a folder 'train'; leave test_every out"):
        FolderImages(root, "train", test_every=2)


def test_only_folders_hold_out_images():
    with pytest.raises(InputError, match="'builtin' has its own test images"):
        open_source("builtin", "train", test_every=5)


def test_classes_without_splits_are_told_the_option(classes):
    assert "set test_every" in refusal(classes, "train")

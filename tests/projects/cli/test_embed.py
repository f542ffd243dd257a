"""``pcrq embed``: features of stores and meshes, written atomically, and nearest neighbours."""

import json
import zipfile

import numpy as np
import pytest
import torch
import trimesh
from matplotlib.image import imread

import octree
from octree.midnet import MIDNet, MIDNetConfig
from octree.pretrained import embed, save_pretrained
from pcrq.stores.shape_store import ShapeStore, ShapeStoreWriter
from projects.cli import main
from projects.point_cloud import neighbours
from projects.point_cloud.neighbours import category_agreement, nearest_shapes, spread_queries

pytestmark = pytest.mark.medium


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    torch.manual_seed(0)
    network = MIDNet(MIDNetConfig(depth=4, full_depth=1, width=16, blocks=1, nempty=True))
    network.pretraining = {"bins": 30}
    return save_pretrained(network, tmp_path_factory.mktemp("exported") / "network")


@pytest.fixture
def meshes(tmp_path):
    """Boxes and balls in a folder each, and one file that is no mesh."""
    for number, size in enumerate((1, 2, 3)):
        for name, mesh in (("box", trimesh.creation.box((1, 1, size))), ("ball", trimesh.creation.icosphere(2, size))):
            path = tmp_path / f"meshes/{name}/{name}{number}.off"
            path.parent.mkdir(parents=True, exist_ok=True)
            mesh.export(path)
    (tmp_path / "meshes/box/broken.obj").write_text("v 0 0 0\n")
    return tmp_path / "meshes"


def run(source, network, out, *options) -> int:
    return main(["embed", str(source), "--checkpoint", str(network), "--out", str(out), "--device", "cpu", *options])


def test_a_store_becomes_features_in_its_order(store_path, network, tmp_path, capsys):
    assert run(store_path, network, tmp_path / "f.npz", "--batch_size", "5") == 0
    assert "12 shapes, 128 features each" in capsys.readouterr().out
    store, loaded = ShapeStore(store_path), octree.load_pretrained(network)
    with np.load(tmp_path / "f.npz", allow_pickle=False) as content:
        expected = np.concatenate([embed(loaded, store, [index]).numpy() for index in range(12)])
        assert content["features"].dtype == np.float32
        np.testing.assert_allclose(content["features"], expected, rtol=1e-4, atol=1e-5)
        assert content["id"].tolist() == store.id
        assert content["category"].tolist() == ["flat", "tall"] * 6
        assert content["split"].tolist() == ["train"] * 8 + ["test"] * 4
        about = json.loads(str(content["about"]))
    assert about["store"] == store.digest and about["pretraining"] == {"bins": 30}
    assert about["weights"] == json.loads((network / "config.json").read_text())["digest"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["f.npz"]


def test_meshes_are_prepared_and_what_cannot_be_used_is_listed(meshes, network, tmp_path, capsys):
    assert run(meshes, network, tmp_path / "f.npz", "--jobs", "1") == 0
    printed = capsys.readouterr().out
    assert "refused 1, all listed in" in printed and "box/broken.obj: " in printed and "6 shapes" in printed
    with np.load(tmp_path / "f.npz", allow_pickle=False) as content:
        assert content["id"].tolist() == [f"{name}/{name}{i}.off" for name in ("ball", "box") for i in range(3)]
        assert content["category"].tolist() == ["ball"] * 3 + ["box"] * 3
        assert content["split"].tolist() == [""] * 6
        balls = content["features"][:3]
    np.testing.assert_allclose(balls, balls[[0, 0, 0]], rtol=1e-3, atol=1e-3)  # they differ in size alone
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["f.npz", "f.npz.refused.csv", "meshes"]
    assert (tmp_path / "f.npz.refused.csv").read_text().count("\n") == 2

    (meshes / "box/broken.obj").unlink()
    assert run(meshes, network, tmp_path / "f.npz", "--jobs", "1") == 0
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["f.npz", "meshes"]


def test_a_folder_its_archive_and_its_files_give_the_same_features(meshes, network, tmp_path):
    with zipfile.ZipFile(tmp_path / "meshes.zip", "w") as archive:
        for path in sorted(meshes.rglob("*.off")):
            archive.write(path, path.relative_to(meshes).as_posix())
    features = []
    for number, path in enumerate((meshes, tmp_path / "meshes.zip", meshes / "ball/ball0.off")):
        assert run(path, network, tmp_path / f"{number}.npz", "--jobs", "1") == 0
        with np.load(tmp_path / f"{number}.npz") as content:
            features.append(content["features"])
            names = content["id"].tolist()
    assert names == ["ball0.off"]
    np.testing.assert_array_equal(features[0], features[1])
    np.testing.assert_allclose(features[2][0], features[0][0], rtol=1e-4, atol=1e-5)


def test_the_axis_that_is_up_matters(meshes, network, tmp_path):
    features = []
    for up in ("y", "z"):
        run(meshes / "box/box2.off", network, tmp_path / "f.npz", "--jobs", "1", "--up", up)
        features.append(np.load(tmp_path / "f.npz")["features"])
    assert not np.allclose(*features, atol=1e-3)


def test_an_interrupted_run_prepares_nothing_twice(meshes, network, tmp_path, monkeypatch):
    prepared = count_prepared(monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr("octree.embed", interrupt)
        assert run(meshes, network, tmp_path / "f.npz", "--jobs", "1") == 130
    assert not (tmp_path / "f.npz").exists() and len(prepared) == 6
    assert run(meshes, network, tmp_path / "f.npz", "--jobs", "1") == 0
    assert len(prepared) == 6
    assert (tmp_path / "f.npz.refused.csv").read_text().count("\n") == 2  # known from the first run
    assert not list(tmp_path.glob(".*"))


def test_what_another_run_left_is_not_taken(meshes, network, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("octree.embed", interrupt)
        run(meshes / "box/box0.off", network, tmp_path / "f.npz", "--jobs", "1")
    assert run(meshes / "ball/ball0.off", network, tmp_path / "f.npz", "--jobs", "1") == 0
    assert np.load(tmp_path / "f.npz")["id"].tolist() == ["ball0.off"]
    (tmp_path / ".f.npz.shapes.h5").write_bytes(b"damaged")
    assert run(meshes / "ball/ball0.off", network, tmp_path / "f.npz", "--jobs", "1") == 0
    assert not list(tmp_path.glob(".*"))


def interrupt(*args, **options):
    raise KeyboardInterrupt


def count_prepared(monkeypatch) -> list[str]:
    """The ids of the shapes that are prepared from now on, in this process."""
    from data_prep import recipes as preparation

    prepared, make_shape = [], preparation.make_shape
    monkeypatch.setattr(
        preparation,
        "make_shape",
        lambda mesh, name, *rest: prepared.append(name) or make_shape(mesh, name, *rest),
    )
    return prepared


def test_an_older_file_stays_when_embedding_fails(store_path, network, tmp_path, monkeypatch):
    (tmp_path / "f.npz").write_bytes(b"older")

    def full(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    assert run(store_path, network, tmp_path / "f.npz") == 2
    assert [entry.name for entry in tmp_path.iterdir()] == ["f.npz"]
    assert (tmp_path / "f.npz").read_bytes() == b"older"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("s.h5 --out f.txt", "--out f.txt: must be a .npz file"),
        ("s.h5 --out no/f.npz", "the folder no does not exist"),
        ("s.h5 --out folder.npz", "this is a folder"),
        ("s.h5 --out f.npz --neighbours n.jpg", "--neighbours n.jpg: must be a .png file"),
        ("s.h5 --out f.npz --neighbours no/n.png", "the folder no does not exist"),
        ("s.h5 --out f.npz --batch_size 0", "--batch_size 0: must be at least 1"),
        ("s.h5 --out f.npz --queries 0", "--queries 0: must be at least 1"),
        ("s.h5 --out f.npz --nearest -1", "--nearest -1: must be at least 1"),
        ("s.h5 --out f.npz", "missing: no such checkpoint"),
    ],
)
def test_options_are_checked_before_the_work(tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.npz").mkdir()
    assert main(["embed", *options.split(), "--checkpoint", "missing"]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_sources_that_cannot_be_used_are_one_line(meshes, network, tmp_path, capsys):
    (tmp_path / "text.txt").write_text("hello")
    (tmp_path / "text.h5").write_text("hello")
    cases = {
        "missing": "no such file",
        "missing.obj": "no such file",
        "missing.h5": "no such file",
        "text.txt": "neither a folder nor a .zip",
        "text.h5": "not an HDF5 file",
        "meshes/box/broken.obj": "f.npz.refused.csv, the first is: broken.obj: ",
    }
    for name, message in cases.items():
        assert run(tmp_path / name, network, tmp_path / "f.npz", "--jobs", "1") == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("pcrq: error: ") and message in error and ".shapes.h5" not in error
    assert run(meshes / "box/box0.off", network, tmp_path / "f.npz", "--labels", "labels.csv") == 2
    assert "leave it out for a single file" in capsys.readouterr().err
    assert not (tmp_path / "f.npz").exists() and not list(tmp_path.glob(".*"))


def test_nearest_shapes_equal_a_search_of_all_pairs():
    features = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    found, cosines = nearest_shapes(features, range(30), 5)
    for query in range(30):
        all_pairs = [
            (float(a @ features[query] / np.linalg.norm(a) / np.linalg.norm(features[query])), -index)
            for index, a in enumerate(features)
            if index != query
        ]
        expected = sorted(all_pairs, reverse=True)[:5]
        assert found[query].tolist() == [-index for _, index in expected]
        np.testing.assert_allclose(cosines[query], [cosine for cosine, _ in expected], atol=1e-6)
    assert nearest_shapes(features[:3], [0, 2], 5)[0].shape == (2, 2)


def test_no_shape_is_its_own_neighbour_but_its_copy_is():
    features = np.eye(4, dtype=np.float32)[[0, 1, 0, 2]] * np.array([[1], [1], [5], [1]], dtype=np.float32)
    found, cosines = nearest_shapes(features, [0, 2], 1)
    assert found.tolist() == [[2], [0]] and cosines.tolist() == [[1], [1]]


def test_many_queries_are_searched_in_portions(monkeypatch):
    features = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    whole = nearest_shapes(features, range(20), 3)
    monkeypatch.setattr(neighbours, "_QUERIES", 7)
    for once, portions in zip(whole, nearest_shapes(features, range(20), 3), strict=True):
        np.testing.assert_allclose(once, portions, atol=1e-6)


def test_queries_spread_over_the_categories():
    category = np.array([0] * 50 + [1] * 2 + [2] * 5 + [-1] * 3)
    chosen = spread_queries(category, 4)
    assert category[chosen].tolist() == [-1, 0, 1, 2]
    assert np.bincount(category[spread_queries(category, 8)] + 1).tolist() == [2, 2, 2, 2]
    assert spread_queries(category, 4).tolist() == chosen.tolist()
    assert spread_queries(category, 4, seed=1).tolist() != chosen.tolist()
    assert sorted(spread_queries(category, 1000).tolist()) == list(range(60))
    assert len(set(spread_queries(np.full(100, -1), 8).tolist())) == 8


def test_agreement_counts_neighbours_of_the_same_category():
    directions = np.array([[1, 0], [1, 0.1], [1, 0.2], [0, 1], [0.1, 1], [0.2, 1], [1, 1]], dtype=np.float32)
    category = np.array([0, 0, 0, 1, 1, 1, -1])
    assert category_agreement(directions, category, 2) == pytest.approx((1.0, 2 * 6 / 30))
    # Every shape finds two of its own category and then one of the three others.
    assert category_agreement(directions, category, 3) == pytest.approx((2 / 3, 2 * 6 / 30))
    assert category_agreement(directions, np.full(7, -1), 2) is None


def test_the_picture_shows_every_shape_in_its_place(store_path, tmp_path, monkeypatch):
    """Shapes are drawn as plain grey squares, as bright as their position in the store says."""
    store = ShapeStore(store_path)

    def grey(clouds, size, radius):
        positions = [next(i for i in range(12) if np.array_equal(c.points, store[i].points)) for c in clouds]
        return [np.full((size, size, 3), 10 * position, np.uint8) for position in positions]

    monkeypatch.setattr(neighbours, "render", grey)
    found, cosines = np.array([[3, 1, 5], [0, 11, 2]]), np.array([[0.9, 0.8, 0.7]] * 2)
    neighbours.save_neighbours(tmp_path / "n.png", store, [7, 4], found, cosines)
    pixels = np.rint(255 * imread(tmp_path / "n.png")[..., :3])
    rows = (pixels[:, 100, 0] < 200).nonzero()[0]
    top, bottom = rows[len(rows) // 4], rows[3 * len(rows) // 4]
    brightness = [[], []]
    for line, y in zip(brightness, (top, bottom), strict=True):
        values = pixels[y, :, 0]
        inside = values[values < 200]  # the background is white, and the frame of the queries grey
        line += [int(v) // 10 for v in inside[np.flatnonzero(np.diff(inside, prepend=-1))]]
    assert brightness == [[7, 3, 1, 5], [4, 0, 11, 2]]


def test_neighbours_are_drawn_and_counted(store_path, network, tmp_path, capsys):
    options = ["--neighbours", str(tmp_path / "n.png"), "--queries", "2", "--nearest", "1"]
    assert run(store_path, network, tmp_path / "f.npz", *options) == 0
    printed = capsys.readouterr().out
    assert "2 shapes, the nearest 1 of each" in printed
    assert "100.0 % of all nearest neighbors" in printed and "45.5 % by chance" in printed  # 2·6·5 of 12·11 pairs
    pixels = imread(tmp_path / "n.png")
    assert pixels.shape[0] > 400 and pixels[..., :3].std() > 0.05


def test_one_shape_has_no_neighbours_to_draw(meshes, network, tmp_path, capsys):
    options = ["--jobs", "1", "--neighbours", str(tmp_path / "n.png")]
    assert run(meshes / "box/box0.off", network, tmp_path / "f.npz", *options) == 0
    assert "not drawn" in capsys.readouterr().out
    assert not (tmp_path / "n.png").exists() and not list(tmp_path.glob(".*"))


def test_long_names_keep_their_ends():
    assert neighbours.short_name("chairs/armchair.obj") == "armchair"
    long = neighbours.short_name("a" * 20 + "b" * 20 + ".obj")
    assert len(long) <= 30 and long.startswith("aaaa") and long.endswith("bbbb")


def test_a_store_without_shapes_is_refused(network, tmp_path, capsys):
    with ShapeStoreWriter(tmp_path / "empty.h5", classes=[]):
        pass
    assert run(tmp_path / "empty.h5", network, tmp_path / "f.npz") == 2
    assert "contains no shapes" in capsys.readouterr().err


def test_options_of_meshes_are_refused_for_a_store(store_path, network, tmp_path, capsys):
    assert run(store_path, network, tmp_path / "f.npz", "--up", "z") == 2
    assert "--labels, --up: for files" in capsys.readouterr().err

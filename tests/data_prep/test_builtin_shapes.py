"""What the built-in shapes promise: reproducible, varied, closed, upright, and labelled by their true parts."""

import hashlib
import pickle
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from data_prep.builtin_shapes import CATEGORIES, builtin_items, class_names, generate, part_names
from data_prep.pipeline import Pipeline
from data_prep.run import prepare
from data_prep.sampling import sample, scan
from pcrq import InputError
from pcrq.stores.shape_store import ShapeStore

SHAPENET_PART_COUNTS = [4, 2, 2, 4, 4, 3, 3, 2, 4, 2, 6, 2, 3, 3, 3, 3]  # in the order of the synsets
OPTIONAL = {
    *("airplane/engine", "car/roof", "chair/arm", "earphone/headband", "earphone/wire", "lamp/base", "lamp/canopy"),
    *("rocket/fin", "table/support", "bed/pillow", "bench/back", "bench/arm", "bookshelf/book", "bottle/cap"),
    *("cabinet/leg", "sofa/arm", "stool/back", "vase/foot", "vase/handle", "vase/plant"),
}
each_category = pytest.mark.parametrize("category", CATEGORIES)


def corners(mesh):
    """(F, 3, 3) corners of every face."""
    return mesh.vertices[mesh.faces]


def part_centre(mesh, category, part):
    """Mean of the corners of a part's faces, or None where the shape lacks it."""
    chosen = mesh.face_labels == CATEGORIES[category].index(part)
    return corners(mesh)[chosen].mean((0, 1)) if chosen.any() else None


def unit_cloud(category, index, seed=0):
    """(2000, 3) points drawn on a shape, centred and scaled to the unit ball."""
    points = sample(generate(category, index), 2000, seed=seed).points
    points = points - (points.max(0) + points.min(0)) / 2
    return points / np.linalg.norm(points, axis=1).max()


def test_the_categories_of_shapenet_part_come_first_with_its_part_counts():
    assert [len(parts) for parts in CATEGORIES.values()][:16] == SHAPENET_PART_COUNTS
    assert len(part_names()) <= 256, "labels are bytes in the store"


def test_a_shape_depends_on_nothing_but_its_arguments():
    program = (
        "from data_prep.builtin_shapes import CATEGORIES, generate; import hashlib\n"
        "for name in reversed(CATEGORIES):\n"  # another process, another order, other shapes made before
        "    mesh = generate(name, 3, seed=5)\n"
        "    print(name, hashlib.sha256(mesh.vertices.tobytes() + mesh.faces.tobytes()).hexdigest())"
    )
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    there = dict(line.split() for line in printed.splitlines())
    for name in CATEGORIES:
        mesh = generate(name, 3, seed=5)
        assert hashlib.sha256(mesh.vertices.tobytes() + mesh.faces.tobytes()).hexdigest() == there[name]


@each_category
def test_index_and_seed_give_other_shapes(category):
    first, other_index, other_seed = generate(category, 0), generate(category, 1), generate(category, 0, seed=1)
    extents = [np.ptp(mesh.vertices, axis=0).round(6).tolist() for mesh in (first, other_index, other_seed)]
    assert extents[0] != extents[1] != extents[2] != extents[0]


@each_category
def test_shapes_of_a_category_differ_strongly(category):
    clouds = [unit_cloud(category, index) for index in range(8)]
    trees = [cKDTree(cloud) for cloud in clouds]
    apart = [trees[b].query(clouds[a])[0].mean() for a in range(8) for b in range(8) if a != b]
    same_shape = [trees[a].query(unit_cloud(category, a, seed=1))[0].mean() for a in range(8)]
    assert np.median(apart) > 1.5 * np.median(same_shape)


@each_category
def test_faces_are_valid(category):
    for index in range(25):
        mesh = generate(category, index)
        a, b, c = (corners(mesh)[:, corner] for corner in range(3))
        assert mesh.vertices.dtype == np.float64 and mesh.faces.dtype == mesh.face_labels.dtype == np.int64
        assert np.isfinite(mesh.vertices).all()
        assert mesh.faces.min() >= 0 and mesh.faces.max() < len(mesh.vertices)
        assert len(mesh.faces) == len(mesh.face_labels) < 20_000
        assert (np.linalg.norm(np.cross(b - a, c - a), axis=1) > 0).all()


@each_category
def test_every_solid_is_closed_and_wound_outward(category):
    for index in range(10):
        mesh = generate(category, index)
        # By position, as some solids repeat vertices along their edges; solids that touch may count as one.
        _, place = np.unique(mesh.vertices.round(9), axis=0, return_inverse=True)
        faces = place.ravel()[mesh.faces]
        edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
        assert Counter(map(tuple, edges)) == Counter(map(tuple, edges[:, ::-1])), f"{index}: an edge is open"

        size = faces.max() + 1
        _, solid = connected_components(coo_matrix((np.ones(len(edges)), edges.T), (size, size)), directed=False)
        volume = np.bincount(solid[faces[:, 0]], np.linalg.det(corners(mesh) - mesh.vertices.mean(0)))
        assert (volume[np.unique(solid[faces])] > 0).all(), f"{index}: a solid is inside out"


@each_category
def test_mandatory_parts_are_in_every_shape_and_the_others_in_some(category):
    present = np.array(
        [np.bincount(generate(category, i).face_labels, minlength=len(CATEGORIES[category])) > 0 for i in range(60)]
    )
    for part, share in zip(CATEGORIES[category], present.mean(0), strict=True):
        if f"{category}/{part}" in OPTIONAL:
            assert 0.05 < share < 1, part
        else:
            assert share == 1, part


@each_category
def test_shapes_stand_on_the_ground(category):
    for index in range(10):
        assert generate(category, index).vertices[:, 1].min() == 0


@pytest.mark.parametrize(
    ("category", "lower", "upper"),
    [
        ("chair", "leg", "seat"),
        ("chair", "seat", "back"),
        ("table", "leg", "desktop"),
        ("stool", "leg", "seat"),
        ("bench", "seat", "back"),
        ("sofa", "seat", "back"),
        ("bed", "mattress", "pillow"),
        ("lamp", "base", "shade"),
        ("lamp", "shade", "canopy"),
        ("car", "wheel", "roof"),
        ("motorbike", "wheel", "seat"),
        ("skateboard", "wheel", "deck"),
        ("rocket", "body", "nose"),
        ("guitar", "body", "head"),
        ("bottle", "body", "neck"),
        ("laptop", "keyboard", "screen"),
        ("cap", "peak", "crown"),
        ("pistol", "handle", "barrel"),
    ],
)
def test_y_is_up(category, lower, upper):
    for index in range(20):
        mesh = generate(category, index)
        low, high = part_centre(mesh, category, lower), part_centre(mesh, category, upper)
        assert low is None or high is None or low[1] < high[1], index


@pytest.mark.parametrize(
    ("category", "front", "rear"),
    [("chair", "seat", "back"), ("sofa", "seat", "back"), ("car", "hood", "roof"), ("airplane", "wing", "tail")]
    + [("motorbike", "light", "seat"), ("cap", "peak", "crown"), ("laptop", "keyboard", "screen")],
)
def test_shapes_look_along_negative_z(category, front, rear):
    for index in range(20):
        mesh = generate(category, index)
        foremost = [
            corners(mesh)[mesh.face_labels == CATEGORIES[category].index(part)][..., 2].min(initial=np.inf)
            for part in (front, rear)
        ]
        assert foremost[0] < foremost[1], index


def naive_distances(point, triangles):
    """(F,) distance of a point (3,) to triangles (F, 3, 3): to the plane if it is over the face, else to the edges."""
    a, b, c = triangles.transpose(1, 0, 2)
    normal = np.cross(b - a, c - a)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    over = np.ones(len(triangles), bool)
    nearest = np.full(len(triangles), np.inf)
    for start, stop in ((a, b), (b, c), (c, a)):
        edge = stop - start
        over &= (np.cross(edge, point - start) * normal).sum(1) >= 0
        share = ((point - start) * edge).sum(1) / (edge * edge).sum(1)
        foot = start + share.clip(0, 1)[:, None] * edge
        nearest = np.minimum(nearest, np.linalg.norm(point - foot, axis=1))
    return np.where(over, np.abs(((point - a) * normal).sum(1)), nearest)


@pytest.mark.parametrize("category", ["chair", "airplane", "mug", "motorbike"])
def test_scanned_labels_are_those_of_the_nearest_face(category):
    item = next(item for item in builtin_items(1) if item.category == category)
    mesh = item.load()
    cloud = scan(mesh, 48).as_cloud(mesh)
    triangles = corners(mesh)
    for chosen in np.random.default_rng(0).choice(len(cloud.points), 60):
        distance = naive_distances(cloud.points[chosen], triangles)
        touching = mesh.face_labels[distance < distance.min() + 1e-5]  # parts that run into each other share points
        assert cloud.labels[chosen] in touching


def test_items_count_labels_over_the_chosen_categories():
    chosen = ["table", "mug"]
    assert part_names(chosen) == ["table/desktop", "table/leg", "table/support", "mug/handle", "mug/body"]
    items = builtin_items(10, chosen)
    assert class_names(chosen) == chosen
    assert [item.id for item in items[:2]] == ["table-0000", "table-0001"] and len({item.id for item in items}) == 20
    for item in items:
        labels = pickle.loads(pickle.dumps(item.load))().face_labels
        assert set(labels) <= ({0, 1, 2} if item.category == "table" else {3, 4})


def test_one_shape_in_five_is_for_testing_whatever_the_count():
    splits = [item.split for item in builtin_items(10, ["mug"])]
    assert splits == ["train"] * 4 + ["test"] + ["train"] * 4 + ["test"]
    assert [item.split for item in builtin_items(7, ["mug"])] == splits[:7]
    assert [item.split for item in builtin_items(10, ["mug"], validation=True)].count("val") == 1


def test_prepared_store_holds_true_part_labels(tmp_path):
    chosen = ["lamp", "skateboard"]
    items = builtin_items(2, chosen)
    few = Pipeline(resolution=32, patches=0)
    prepare(items, tmp_path / "s.h5", classes=chosen, parts=part_names(chosen), pipeline=few, jobs=1)
    store = ShapeStore(tmp_path / "s.h5")
    assert store.classes == chosen and store.parts == part_names(chosen)
    for shape in store:
        names = {store.parts[label].split("/")[0] for label in shape.labels}
        assert names == {chosen[shape.category]}


@pytest.mark.parametrize(
    "call",
    [
        lambda: generate("spaceship", 0),
        lambda: generate("chair", -1),
        lambda: builtin_items(0),
        lambda: builtin_items(3, ["chair", "spaceship"]),
        lambda: builtin_items(3, ["chair", "chair"]),
        lambda: builtin_items(3, []),
    ],
)
def test_wrong_arguments_are_named(call):
    with pytest.raises(InputError, match=r"spaceship|-1|count 0|none may be repeated"):
        call()

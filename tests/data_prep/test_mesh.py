"""Loading meshes: every format, the quirks of real files, and what is refused."""

import io
import json

import numpy as np
import pytest
import trimesh

from data_prep.mesh import Mesh, _parse_plain_obj, clean, face_normals, load_mesh, normalize_obj, parse_mesh
from pcrq import InputError

SQUARE = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"
OFF_BODY = "4 2 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n3 0 1 2\n3 0 2 3\n"


def area(mesh: Mesh) -> float:
    return float(np.linalg.norm(face_normals(mesh.vertices, mesh.faces), axis=1).sum() / 2)


def parse(text: str | bytes, name: str) -> Mesh:
    return parse_mesh(text if isinstance(text, bytes) else text.encode(), name)


def exported(mesh, kind: str) -> bytes:
    content = mesh.export(file_type=kind)
    return content if isinstance(content, bytes) else content.encode()


@pytest.mark.parametrize("kind", ["obj", "off", "ply", "stl", "glb"])
def test_every_format_gives_the_same_box(tmp_path, kind):
    path = tmp_path / f"box.{kind}"
    path.write_bytes(exported(trimesh.creation.box((1, 2, 3)), kind))
    mesh = load_mesh(path)
    assert mesh.vertices.shape == (8, 3) and mesh.vertices.dtype == np.float64
    assert mesh.faces.shape == (12, 3) and mesh.faces.dtype == np.int64
    assert area(mesh) == pytest.approx(22)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SQUARE + "f 1 2 3 4\n", 1.0),
        (SQUARE + "v -1 0.5 0\nf 1 2 3 4 5\n", 1.5),
        (SQUARE + "f 1/1/1 2/1/1 3/1/1\nf 1//1 3//1 4//1\n", 1.0),
        (SQUARE.replace(" ", "\t") + "f\t1\t2\t3\n", 0.5),
        ((SQUARE + "f 1 2 3\n").replace("\n", "\r\n"), 0.5),
        ("mtllib ../../secret.mtl\nusemtl wood\n" + SQUARE + "f 1 2 3\nusemtl steel\nf 1 3 4\n", 1.0),
        (b"# caf\xe9\n" + (SQUARE + "f 1 2 3").encode(), 0.5),
    ],
    ids=["quad", "pentagon", "slashes", "tabs", "crlf", "materials", "latin1"],
)
def test_dialects_of_obj(text, expected):
    assert area(parse(text, "a.obj")) == pytest.approx(expected)


MIXED = """# exported
mtllib a.mtl
o first
v 0 0 0 0.5 0.5 0.5
v 1.5e+0 0 0 1 1 1
v 1 1 -2.5e-1 0 0 0
v 0 1 .5 0 0 0
vt 0 0
vn 0 0 1
g one two
usemtl wood
s off
f 1/1/1 2/1/1 3/1/1 4/1/1
f 1//1 2//1 4//1
usemtl steel
v -1 .5 1 0 0 0
l 1 2
f 4 3 2 1 5
o second
v 0 0 9 0 0 0
usemtl wood
f 6/1 1/1 2/1
f 1 2
f  3\t2  6\r
"""


@pytest.mark.parametrize("text", [MIXED, MIXED.replace("\n", "\r\n")])
def test_the_fast_obj_reader_gives_the_same_triangles_as_trimesh(text):
    fast = _parse_plain_obj(text.encode())
    scene = trimesh.load(io.BytesIO(normalize_obj(text.encode())), file_type="obj", process=False, skip_materials=True)
    slow = scene if isinstance(scene, trimesh.Trimesh) else scene.to_geometry()

    def triangles(mesh):  # each from its smallest corner, so that only the winding counts
        corners = [[tuple(map(float, corner)) for corner in triangle] for triangle in mesh.vertices[mesh.faces]]
        return sorted(triangle[(at := triangle.index(min(triangle))) :] + triangle[:at] for triangle in corners)

    assert len(fast.faces) == 2 + 1 + 3 + 1 + 1
    assert triangles(fast) == triangles(slow)


@pytest.mark.parametrize(
    "lines",
    [
        *(
            "f 1 2 -1",
            "f 1 2 \\\n3",
            "f 1 2 9",
            "f 0 1 2",
            "f 1 2 3 # c",
            "f 1 2 3x",
            "f /1 /2 /3",
            "f 1 2f 3",
            "f 1 2",
        ),
        *("f 1 2 34567890123", "v 1 2\nf 1 2 3", "v 1 2 x\nf 1 2 3", "v 1 2 3 4\nf 1 2 3"),
    ],
)
def test_unusual_obj_files_are_left_to_trimesh(lines):
    assert _parse_plain_obj(SQUARE.encode() + lines.encode()) is None


def test_relative_obj_indices_count_back_from_their_own_line():
    text = SQUARE + "f -4 -3 -2\n" + SQUARE.replace(" 0\n", " 5\n") + "f -4/-1 -3/-1 -2/-1\n"
    mesh = parse(text, "a.obj")
    assert sorted(mesh.vertices[mesh.faces].mean(1)[:, 2]) == [0, 5]


@pytest.mark.parametrize("start", ["OFF\n", "OFF", "OFF ", "# made by hand\nOFF\n\n# counts\n"])
def test_off_with_its_counts_anywhere(start):
    assert area(parse(start + OFF_BODY, "a.off")) == pytest.approx(1)


def test_scene_transforms_are_applied_and_mirroring_keeps_faces_outward():
    scene = trimesh.Scene()
    mirror = np.diag([-2.0, 1, 1, 1])
    mirror[:3, 3] = 5, 0, 0
    scene.add_geometry(trimesh.creation.box(), transform=mirror)
    scene.add_geometry(trimesh.creation.box())
    mesh = parse(exported(scene, "glb"), "scene.glb")
    assert mesh.vertices.min(0).tolist() == [-0.5] * 3 and mesh.vertices.max(0).tolist() == [6, 0.5, 0.5]
    assert trimesh.Trimesh(mesh.vertices, mesh.faces).volume == pytest.approx(2 + 1)


@pytest.mark.parametrize(("up", "expected"), [("y", [1, 2, 3]), ("z", [2, 3, 1]), ("x", [3, 1, 2])])
def test_up_axis_becomes_y_by_a_rotation(up, expected):
    mesh = parse_mesh(exported(trimesh.creation.box((1, 2, 3)), "off"), "a.off", up=up)
    assert np.ptp(mesh.vertices, axis=0).tolist() == expected
    assert trimesh.Trimesh(mesh.vertices, mesh.faces).volume == pytest.approx(6)  # negative if mirrored


def test_gltf_reads_its_buffer_beside_it_and_nothing_outside(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    for name, content in trimesh.Scene(trimesh.creation.box()).export(file_type="gltf").items():
        (folder / name).write_bytes(content)
    path = folder / "model.gltf"
    assert len(load_mesh(path).faces) == 12

    tree = json.loads(path.read_text())
    outside = tmp_path / "secret.bin"
    outside.write_bytes((folder / tree["buffers"][0]["uri"]).read_bytes())
    (folder / "link.bin").symlink_to(outside)
    for uri in ("../secret.bin", "..%2Fsecret.bin", str(outside), "link.bin"):
        tree["buffers"][0]["uri"] = uri
        path.write_text(json.dumps(tree))
        with pytest.raises(InputError, match=r"model\.gltf: .*outside its folder"):
            load_mesh(path)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.obj", b"", "empty"),
        ("a.obj", b"\x89PNG\r\n\x1a\n0000", "a PNG image"),
        ("a.obj", bytes(range(256)), "binary data"),
        ("a.obj", b"hello world\n", "neither vertices nor faces"),
        ("a.obj", SQUARE.encode(), "4 points but no faces"),
        ("a.obj", (SQUARE + "f 1 2 3\nf 1 2").encode(), r"truncated \(the last line is 'f 1 2'\)"),
        ("a.obj", (SQUARE + "f 1 2 9\n").encode(), "vertices that do not exist"),
        ("a.obj", (SQUARE + "f -1 -2 x\n").encode(), "not a readable OBJ"),
        ("a.obj", b"v nan 0 0\nv 0 nan 0\nv inf 0 0\nf 1 2 3\n", "not finite"),
        ("a.obj", b"v 1 1 1\nv 1 1 1\nv 1 1 1\nf 1 2 3\n", "extent 0"),
        ("a.obj", (SQUARE + "f 1 1 2\nf 1 2 2\n").encode(), "all 2 faces are degenerate"),
        ("a.obj", b"v 1e308 0 0\nv -1e308 0 0\nv 0 1e308 0\nf 1 2 3\n", "extent inf"),
        ("a.off", ("OFF\n" + OFF_BODY)[:-10].encode(), "truncated"),
        ("a.off", b"OFF\n", "counts"),
        ("a.off", b"nonsense\n", "does not begin with the word OFF"),
        ("a.glb", b"nonsense\n", "does not begin like"),
        ("a.fbx", b"Kaydara", r"\.fbx is not one of"),
    ],
)
def test_unusable_files_are_refused_with_the_reason(name, content, reason):
    with pytest.raises(InputError, match=rf"^{name}: .*{reason}") as refusal:
        parse(content, name)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("kind", ["off", "ply", "stl", "glb", "stl_ascii"])
def test_truncated_files_are_refused(kind):
    whole = exported(trimesh.creation.icosphere(2), kind)
    with pytest.raises(InputError):
        parse(whole[: len(whole) * 2 // 3], f"a.{kind.split('_')[0]}")


def test_missing_file_and_folder_are_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.obj: no such file"):
        load_mesh(tmp_path / "none.obj")
    with pytest.raises(InputError, match="a folder"):
        load_mesh(tmp_path)


def test_cleaning_keeps_the_good_faces_and_their_labels():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [np.nan, 0, 0], [1, 0, 0], [9, 9, 9]], float)
    faces = [[0, 1, 2], [2, 0, 5], [0, 1, 4], [0, 0, 1], [0, 1, 5], [0, 2, 3], [0, 1, 99], [0, 1, -1]]
    #        good       duplicate  NaN        point      no area    good       no such vertex
    mesh = clean(Mesh(vertices, np.array(faces), np.arange(8)), "a")
    assert mesh.face_labels.tolist() == [0, 5]
    assert area(mesh) == pytest.approx(1)
    assert len(mesh.vertices) == 4  # equal and unused ones are gone


def test_tiny_and_huge_units_are_no_reason_to_drop_faces():
    box = trimesh.creation.box()
    for scale in (1e-12, 1e12):
        assert len(clean(Mesh(box.vertices * scale, box.faces), "a").faces) == 12

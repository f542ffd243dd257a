"""Triangle meshes, and reading them from files of any common format: triangles only, y upward, cleaned.

trimesh parses the formats, except usual OBJ files, which are parsed here because that is faster. Materials and textures
are never opened. The only other file that is read is the geometry buffer of a glTF file, and only from the folder of
that file.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote

import numpy as np

from data_prep.file_checks import check_format, check_mesh_complete
from pcrq import InputError

if TYPE_CHECKING:
    import trimesh

MESH_FORMATS = (".obj", ".off", ".ply", ".stl", ".glb", ".gltf")
"""File suffixes that :func:`load_mesh` reads."""

Axis = Literal["x", "y", "z"]
TO_Y_UP = {"x": (2, 0, 1), "y": (0, 1, 2), "z": (1, 2, 0)}  # cyclic, so rotations and no mirror images
_NO_AREA = 1e-14  # relative to the squared extent: smaller faces are needles or points within rounding
_DIGITS = 10  # of a vertex index, and one more
_RELATIVE_INDEX = re.compile(rb"^\s*f\s.*?(?<![\w/.])-\d", re.MULTILINE)


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh in the units of its source, y upward.

    Args:
        vertices: (V, 3) float64 coordinates.
        faces: (F, 3) int64 indices into ``vertices``.
        face_labels: (F,) int64 part of every face, or None if parts are unknown.
        up: axis of the source that became y. The rays of :func:`~data_prep.sampling.scan` depend on the source's axes.
    """

    vertices: np.ndarray
    faces: np.ndarray
    face_labels: np.ndarray | None = None
    up: Axis = "y"


def load_mesh(path: str | Path, *, up: Axis = "y") -> Mesh:
    """Read and clean one mesh file.

    Args:
        path: an obj, off, ply, stl, glb or gltf file.
        up: axis of the file that points upward.

    Returns:
        The triangles of all objects in the file, with their transforms applied, rotated so that y is up.

    Raises:
        InputError: the file is missing, of another format, damaged, or has no usable face.

    Example:
        >>> load_mesh("chair.off", up="z").faces.shape  # doctest: +SKIP
        (518, 3)
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file" if not path.exists() else f"{path}: a folder, not a mesh file")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    return parse_mesh(data, str(path), up=up, read_buffer=lambda name: _read_buffer(path, name))


def parse_mesh(data: bytes, name: str, *, up: Axis = "y", read_buffer: Callable[[str], bytes] | None = None) -> Mesh:
    """Read and clean a mesh from the content of a file.

    Args:
        data: content of the file.
        name: name of the file; its suffix gives the format, and error messages begin with it.
        up: axis that points upward.
        read_buffer: reads a buffer of a glTF file, given its path relative to that file. It raises
            :class:`~pcrq.InputError` or ``OSError`` if it cannot.

    Returns, Raises:
        As :func:`load_mesh`.
    """
    suffix = PurePosixPath(name).suffix.lower()
    if suffix not in MESH_FORMATS:
        raise InputError(f"{name}: {suffix or 'a file without suffix'} is not one of {' '.join(MESH_FORMATS)}")
    check_format(data, suffix, name)
    check_mesh_complete(data, suffix, name)
    return _clean_upright(_parse(data, suffix[1:], name, read_buffer), name, up)


def from_trimesh(geometry: trimesh.Trimesh | trimesh.Scene, name: str = "mesh", *, up: Axis = "y") -> Mesh:
    """Convert and clean a trimesh geometry; the geometries of a scene are merged with their transforms.

    Args:
        geometry: the mesh or scene; it is not changed.
        name: name of the mesh in error messages.
        up: axis of ``geometry`` that points upward.

    Raises:
        InputError: ``geometry`` is of another type or has no usable face.
    """
    import trimesh

    if not isinstance(geometry, (trimesh.Trimesh, trimesh.Scene)):
        raise InputError(
            f"{name}: {type(geometry).__name__} is not a mesh; pass a path, a trimesh.Trimesh or a trimesh.Scene"
        )
    return _clean_upright(_merge(geometry), name, up)


def clean(mesh: Mesh, name: str) -> Mesh:
    """Keep the usable faces of a mesh.

    Faces with a missing or non-finite corner, without area, or with the same three positions as an earlier face
    (in any order) are dropped. Equal positions become one vertex; unused vertices are dropped.

    Args:
        mesh: any mesh; its arrays are not changed.
        name: name of the mesh in error messages.

    Returns:
        A mesh with at least one face, finite coordinates and positive extent; ``face_labels`` follow their faces.

    Raises:
        InputError: no usable face is left.
    """
    vertices, faces = np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces, np.int64)
    if len(faces) == 0:
        what = f"{len(vertices)} points but no faces" if len(vertices) else "neither vertices nor faces"
        raise InputError(f"{name}: {what}; a mesh is needed")
    kept = np.flatnonzero(((faces >= 0) & (faces < len(vertices))).all(1))
    if len(kept) == 0:
        raise InputError(f"{name}: all {len(faces)} faces refer to vertices that do not exist")
    finite = np.isfinite(vertices).all(1)
    kept = kept[finite[faces[kept]].all(1)]
    if len(kept) == 0:
        raise InputError(f"{name}: all {len(faces)} faces have corners that are not finite (NaN or infinity)")

    triangles, used = _renumbered(faces[kept], len(vertices))
    corners, merged = _merge_equal(vertices[used])
    triangles = merged[triangles]

    with np.errstate(over="ignore"):
        extent = np.ptp(corners, axis=0).max()
    if not 1e-30 < extent < 1e30:
        raise InputError(f"{name}: extent {extent:g}; a shape needs a positive, finite size")
    solid = np.flatnonzero(np.linalg.norm(face_normals(corners / extent, triangles), axis=1) / 2 > _NO_AREA)
    if len(solid) == 0:
        raise InputError(f"{name}: all {len(faces)} faces are degenerate (no area)")
    order, starts = _grouped(np.sort(triangles[solid], axis=1))
    solid = solid[np.sort(order[starts])]

    triangles, used = _renumbered(triangles[solid], len(corners))
    labels = mesh.face_labels
    return Mesh(
        vertices=corners[used],
        faces=triangles,
        face_labels=None if labels is None else np.asarray(labels, np.int64)[kept[solid]],
    )


def face_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F, 3) float64 normals by the right-hand rule, with twice the face's area as length."""
    first, second, third = (vertices[faces[:, corner]] for corner in range(3))
    return np.cross(second - first, third - first)


def _clean_upright(mesh: Mesh, name: str, up: Axis) -> Mesh:
    if up not in TO_Y_UP:
        raise InputError(f"up={up!r} is not one of 'x', 'y' and 'z'")
    mesh = clean(mesh, name)
    return Mesh(mesh.vertices[:, TO_Y_UP[up]], mesh.faces, mesh.face_labels, up)


def _renumbered(faces: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The faces with their vertices, of ``count``, numbered without gaps, and the vertices that they use."""
    occurs = np.zeros(count, bool)
    occurs[faces] = True
    return (np.cumsum(occurs) - 1)[faces], np.flatnonzero(occurs)


def _merge_equal(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct points, and the index among them of every point."""
    points = points + 0.0  # -0.0 becomes 0.0
    order, starts = _grouped(points)
    which = np.empty(len(points), np.int64)
    which[order] = np.cumsum(starts) - 1
    return points[order[starts]], which


def _grouped(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An order with equal rows side by side, earlier ones first, and whether each differs from the row before."""
    columns = rows.T.copy()
    order = np.lexsort(columns)
    starts = np.ones(len(rows), bool)
    starts[1:] = (columns[:, order[1:]] != columns[:, order[:-1]]).any(0)
    return order, starts


def _parse(data: bytes, kind: str, name: str, read_buffer: Callable[[str], bytes] | None) -> Mesh:
    mesh = _parse_plain_obj(data) if kind == "obj" else None
    if mesh is not None:
        return mesh
    import trimesh  # heavy, and only needed in the process that reads

    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            loaded = trimesh.load(
                io.BytesIO(normalize_obj(data) if kind == "obj" else data),
                file_type=kind,
                resolver=_resolver(read_buffer),
                process=False,
                skip_materials=True,
            )
            return _merge(loaded)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    except IndexError as error:
        raise InputError(f"{name}: faces refer to vertices that do not exist; the file is damaged") from error
    except Exception as error:  # parsers of damaged files raise any exception
        detail = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(f"{name}: not a readable {kind.upper()} file ({detail})") from error


def _parse_plain_obj(data: bytes) -> Mesh | None:
    """Read an OBJ file of the usual kind, several times as fast as trimesh and without importing it.

    Args:
        data: content of an OBJ file.

    Returns:
        Its vertices, and its faces in the order of the file, polygons as triangle fans, without faces of one or two
        corners. None if lines are continued, indices are relative, or anything is unusual or damaged: trimesh then
        reads or refuses the file.
    """
    if b"\\\n" in data or b"\\\r" in data:
        return None
    text = b"\n" + data.replace(b"\t", b" ").strip() + b"\n"
    (vertices, vertex_count), (faces, face_count) = _statements(text, b"v"), _statements(text, b"f")
    if (
        not vertex_count
        or not face_count
        or faces.translate(None, b"f0123456789/ \r\n")
        or faces.count(b"f") != face_count
    ):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # given for text that is not a number
            numbers = np.fromstring(vertices.replace(b"\nv ", b"\n "), np.float64, sep=" ")
    except (ValueError, Warning):
        return None
    columns = len(vertices[: vertices.index(b"\n", 1)].split()) - 1
    if columns < 3 or len(numbers) != columns * vertex_count:
        return None

    # Words are an f or a corner: vertex, vertex/texture, vertex//normal or vertex/texture/normal. The vertices of all
    # corners are read together, one digit after the other.
    letters = np.frombuffer(faces + b" " * _DIGITS, np.uint8)
    blank = letters <= ord(" ")
    words = np.flatnonzero(blank[:-1] & ~blank[1:]) + 1
    begins = letters[words] == ord("f")
    corners = words[~begins]
    index, reading = np.zeros(len(corners), np.int64), np.ones(len(corners), bool)
    for place in range(_DIGITS):
        digit = letters[corners + place] - np.uint8(ord("0"))  # more than 9 for other characters
        reading &= digit < 10
        index = np.where(reading, 10 * index + digit, index)
    size = np.diff(np.flatnonzero(np.append(begins, True))) - 1
    if size.max() < 3 or reading.any() or index.min() < 1 or index.max() > vertex_count:
        return None
    fan = np.maximum(size - 2, 0)  # triangles of a face
    face = np.repeat(np.arange(face_count), fan)
    first = (np.cumsum(size) - size)[face]
    second = first + 1 + np.arange(len(face)) - (np.cumsum(fan) - fan)[face]
    triangles = index[np.stack([first, second, second + 1], axis=1)] - 1
    return Mesh(numbers.reshape(vertex_count, columns)[:, :3], triangles)


def _statements(text: bytes, letter: bytes) -> tuple[bytes, int]:
    """The lines of an OBJ file that begin with a letter and a blank, after a line break, and their number."""
    letters = np.frombuffer(text, np.uint8)
    breaks = np.flatnonzero(letters == ord("\n"))
    found = (letters[breaks[:-1] + 1] == ord(letter)) & (letters[breaks[:-1] + 2] == ord(" "))
    edges = np.flatnonzero(np.diff(found, prepend=False, append=False))  # of runs of such lines
    runs = [text[start:stop] for start, stop in breaks[edges].reshape(-1, 2).tolist()]
    return b"".join(runs) + b"\n", int(found.sum())


def normalize_obj(data: bytes) -> bytes:
    """Rewrite the variants of OBJ that trimesh misreads.

    Tabs become blanks. Relative vertex indices, where -1 is the vertex defined last *so far*, become absolute;
    resolved at the end of the file they would refer to other vertices. Such faces lose their texture and normal
    indices.

    Args:
        data: content of an OBJ file.

    Returns:
        The same shape; ``data`` itself if there is nothing to rewrite.
    """
    if b"\t" in data:
        data = data.replace(b"\t", b" ")
    if not _RELATIVE_INDEX.search(data):
        return data
    lines, defined = data.replace(b"\\\r\n", b" ").replace(b"\\\n", b" ").splitlines(), 0
    for number, line in enumerate(lines):
        words = line.split()
        if words[:1] == [b"v"]:
            defined += 1
        elif words[:1] == [b"f"]:
            corners = (int(word.split(b"/")[0]) for word in words[1:])
            lines[number] = b"f " + b" ".join(
                b"%d" % (corner if corner > 0 else defined + 1 + corner) for corner in corners
            )
    return b"\n".join(lines) + b"\n"


def _merge(loaded: trimesh.Trimesh | trimesh.Scene) -> Mesh:
    """All triangles of a trimesh geometry or scene with transforms applied; only points if there are no faces."""
    import trimesh

    if not isinstance(loaded, trimesh.Scene):
        placed = [(np.eye(4), loaded)]
    else:
        graph = loaded.graph
        placed = [(graph[node][0], loaded.geometry[graph[node][1]]) for node in sorted(graph.nodes_geometry)]
    vertices, faces, count = [np.empty((0, 3))], [np.empty((0, 3), np.int64)], 0
    for transform, geometry in placed:
        corners = np.asarray(getattr(geometry, "vertices", np.empty((0, 3))), np.float64).reshape(-1, 3)
        triangles = np.asarray(getattr(geometry, "faces", np.empty((0, 3))), np.int64).reshape(-1, 3)
        if np.linalg.det(transform[:3, :3]) < 0:  # a mirror image turns every face inside out
            triangles = triangles[:, ::-1]
        vertices.append(corners @ transform[:3, :3].T + transform[:3, 3])
        faces.append(triangles + count)
        count += len(corners)
    return Mesh(np.concatenate(vertices), np.concatenate(faces))


def _resolver(read_buffer: Callable[[str], bytes] | None):
    """The object that trimesh asks for other files; ``read_buffer`` alone answers."""
    from trimesh.resolvers import Resolver

    class BufferResolver(Resolver):
        def __init__(self):
            pass

        def get(self, key):
            name = unquote(key)
            if read_buffer is None:
                raise InputError(f"refers to {name!r}, which is not available")
            return read_buffer(name)

        def keys(self):
            return ()

        def write(self, name, data):
            raise InputError("reading a mesh writes nothing")

        def namespaced(self, namespace):
            return self

    return BufferResolver()


def _read_buffer(path: Path, name: str) -> bytes:
    """The content of a file in the folder of ``path`` or below it."""
    folder = path.parent.resolve()
    buffer = (folder / name).resolve()
    if not buffer.is_relative_to(folder):
        raise InputError(f"refers to {name!r} outside its folder; put buffers beside the file")
    if not buffer.is_file():
        raise InputError(f"refers to {name!r}, which is missing; put it beside the file")
    return buffer.read_bytes()

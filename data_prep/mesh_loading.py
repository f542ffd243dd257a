"""Read a mesh file of any common format into :class:`~data_prep.mesh.Mesh`: triangles only, y upward, cleaned.

trimesh parses the formats. Materials and textures are never opened; the one thing read beside the file itself is a
glTF's geometry buffer, and only from the folder of that file.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote

import numpy as np

from data_prep.foreign_content import refuse_foreign
from data_prep.mesh import Mesh
from data_prep.mesh_cleaning import clean
from data_prep.obj_dialects import normalise_obj
from data_prep.truncated_files import refuse_truncated
from pcrq.errors import InputError

if TYPE_CHECKING:
    import trimesh

MESH_FORMATS = (".obj", ".off", ".ply", ".stl", ".glb", ".gltf")

Axis = Literal["x", "y", "z"]
_BRING_UP = {"x": (2, 0, 1), "y": (0, 1, 2), "z": (1, 2, 0)}  # cyclic, so rotations and no mirror images


def load_mesh(path: str | Path, *, up: Axis = "y") -> Mesh:
    """Read and clean one mesh file.

    Args:
        path: an obj, off, ply, stl, glb or gltf file.
        up: the axis of the file that points upward.

    Returns:
        The triangles of all objects in the file, transforms applied, turned so that y is up.

    Raises:
        InputError: the file is missing, of another kind, damaged, or holds no usable face.

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
    return parse_mesh(data, str(path), up=up, beside=lambda name: _read_beside(path, name))


def parse_mesh(data: bytes, name: str, *, up: Axis = "y", beside: Callable[[str], bytes] | None = None) -> Mesh:
    """Read and clean a mesh from the content of a file.

    Args:
        data: the content.
        name: the file's name; its suffix tells the format and error messages begin with it.
        up: the axis that points upward.
        beside: reads the file of a relative name beside this one (a glTF's buffers); it raises
            :class:`~pcrq.errors.InputError` or ``OSError`` where it must not or cannot.

    Returns, Raises:
        As :func:`load_mesh`.
    """
    suffix = PurePosixPath(name).suffix.lower()
    if suffix not in MESH_FORMATS:
        raise InputError(f"{name}: {suffix or 'a file without suffix'} is not one of {' '.join(MESH_FORMATS)}")
    refuse_foreign(data, suffix, name)
    refuse_truncated(data, suffix, name)
    return _clean_upright(_parse(data, suffix[1:], name, beside), name, up)


def from_trimesh(geometry: trimesh.Trimesh | trimesh.Scene, name: str = "mesh", *, up: Axis = "y") -> Mesh:
    """Convert a trimesh geometry; the geometries of a scene are merged with their transforms.

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


def _clean_upright(mesh: Mesh, name: str, up: Axis) -> Mesh:
    if up not in _BRING_UP:
        raise InputError(f"up={up!r} is not one of 'x', 'y' and 'z'")
    mesh = clean(mesh, name)
    return Mesh(mesh.vertices[:, _BRING_UP[up]], mesh.faces, mesh.face_labels)


def _parse(data: bytes, kind: str, name: str, beside: Callable[[str], bytes] | None) -> Mesh:
    import trimesh  # heavy, and only needed in the process that reads

    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            loaded = trimesh.load(
                io.BytesIO(normalise_obj(data) if kind == "obj" else data),
                file_type=kind,
                resolver=_resolver(beside),
                process=False,
                skip_materials=True,
            )
            return _merge(loaded)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    except IndexError as error:
        raise InputError(f"{name}: faces name vertices that do not exist; the file is damaged") from error
    except Exception as error:  # parsers of broken files fail in every way there is
        detail = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(f"{name}: not a readable {kind.upper()} file ({detail})") from error


def _merge(loaded: trimesh.Trimesh | trimesh.Scene) -> Mesh:
    """All triangles of a trimesh geometry or scene, transforms applied; points where there are no faces."""
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


def _resolver(beside: Callable[[str], bytes] | None):
    """trimesh's way to ask for neighbouring files, answered by ``beside`` alone."""
    from trimesh.resolvers import Resolver

    class Beside(Resolver):
        def __init__(self):
            pass

        def get(self, key):
            name = unquote(key)
            if beside is None:
                raise InputError(f"refers to {name!r}, which is not at hand")
            return beside(name)

        def keys(self):
            return ()

        def write(self, name, data):
            raise InputError("reading a mesh writes nothing")

        def namespaced(self, namespace):
            return self

    return Beside()


def _read_beside(path: Path, name: str) -> bytes:
    """The content of a file in the folder of ``path`` or below it."""
    folder = path.parent.resolve()
    neighbour = (folder / name).resolve()
    if not neighbour.is_relative_to(folder):
        raise InputError(f"refers to {name!r} outside its folder; keep buffers beside the file")
    if not neighbour.is_file():
        raise InputError(f"refers to {name!r}, which is not beside it")
    return neighbour.read_bytes()

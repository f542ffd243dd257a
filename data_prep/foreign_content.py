"""Name what a file really is when its content does not fit its name, so that the refusal says something useful."""

from __future__ import annotations

from pcrq.errors import InputError

_SIGNATURES = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "a gzip archive",
    b"\x89HDF": "an HDF5 file",
    b"glTF": "a binary glTF file",
    b"Kaydara FBX": "an FBX file",
    b"BLENDER": "a Blender file",
    b"version https://git-lfs": "a Git LFS pointer to the file",
    b"<!DOCTYPE": "a web page",
    b"<!doctype": "a web page",
    b"<html": "a web page",
}
_TEXT_FORMATS = (".obj", ".off", ".gltf", ".xyz", ".pts", ".txt")
_OWN = {".glb": b"glTF", ".npz": b"PK\x03\x04"}


def refuse_foreign(data: bytes, suffix: str, name: str) -> None:
    """Raise unless ``data`` may be a file of the kind that ``suffix`` (".obj", lower case) names.

    Raises:
        InputError: it is empty, of another known kind, or binary where the format is text.
    """
    if not data.strip():
        raise InputError(f"{name}: the file is empty")
    for signature, meaning in _SIGNATURES.items():
        if data.startswith(signature) and _OWN.get(suffix) != signature:
            raise InputError(f"{name}: {meaning}, not what the suffix {suffix} says")
    if suffix in _OWN and not data.startswith(_OWN[suffix]):
        raise InputError(f"{name}: does not begin like a {suffix} file; it is damaged or of another kind")
    if suffix in _TEXT_FORMATS and b"\0" in data:
        raise InputError(f"{name}: binary data where {suffix} has text; the file is damaged or of another kind")

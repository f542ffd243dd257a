"""Preparation of datasets: meshes, point clouds and sounds become shape and sound stores.

``import data_prep`` is fast: every public name is imported on first use.
"""

from importlib import import_module

_MODULES = {
    "pipeline": ("Pipeline", "prepare_shape"),
    "run": ("Item", "Refusal", "Summary", "prepare", "prepare_store"),
    "recipes": ("ShapeRecipe", "SoundRecipe"),
    "scheduler": ("connected",),
    "mesh": ("MESH_FORMATS", "Mesh", "from_trimesh", "load_mesh"),
    "point_cloud": ("POINT_CLOUD_FORMATS", "PointCloud", "load_point_cloud"),
    "sound_loading": ("SOUND_FORMATS", "load_sound"),
    "labelled_folder": ("Collection", "collect_meshes", "collect_sounds"),
    "public_datasets": (
        "PublicDataset",
        "collect_modelnet10",
        "collect_modelnet40",
        "collect_nsynth",
        "collect_shapenet_part",
        "collect_shapenetcore",
        "collect_speech_commands",
        "collect_urbansound8k",
        "collect_voxceleb1",
        "collect_voxforge",
    ),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}
_SUBMODULES = ("builtin_shapes", "builtin_sounds")
__all__ = [*_HOME, *_SUBMODULES]


def __getattr__(name: str):
    if name in _SUBMODULES:
        return import_module(f"data_prep.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'data_prep' has no attribute {name!r}")
    return getattr(import_module(f"data_prep.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

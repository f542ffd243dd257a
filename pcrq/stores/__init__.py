"""HDF5 files of prepared datasets: shape stores and sound stores."""

from typing import TYPE_CHECKING

from pcrq import lazy_exports

if TYPE_CHECKING:
    from pcrq.stores.shape_store import Shape as Shape
    from pcrq.stores.shape_store import ShapeStore as ShapeStore
    from pcrq.stores.shape_store import ShapeStoreWriter as ShapeStoreWriter
    from pcrq.stores.sound_store import Sound as Sound
    from pcrq.stores.sound_store import SoundStore as SoundStore
    from pcrq.stores.sound_store import SoundStoreWriter as SoundStoreWriter
    from pcrq.stores.store_file import SPLITS as SPLITS
    from pcrq.stores.store_file import entry_index as entry_index
    from pcrq.stores.store_file import split_store_name as split_store_name
    from pcrq.stores.store_file import stored_kind as stored_kind

_MODULES = {
    "Shape": "shape_store",
    "ShapeStore": "shape_store",
    "ShapeStoreWriter": "shape_store",
    "Sound": "sound_store",
    "SoundStore": "sound_store",
    "SoundStoreWriter": "sound_store",
    "SPLITS": "store_file",
    "stored_kind": "store_file",
    "split_store_name": "store_file",
    "entry_index": "store_file",
}
__all__ = list(_MODULES)
__getattr__, __dir__ = lazy_exports(__name__, _MODULES)

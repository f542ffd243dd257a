"""Self-supervised learning on octrees: MID-Net with randomized quantization, for point clouds of any size.

Every public name is imported on first use, so ``import octree`` alone loads neither torch nor ocnn.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from octree.augmentation import Affine, RandomAffine, clip, quantize
    from octree.batch_octree import BatchOctree, build_octree
    from octree.downstream import PartIoU, PartSegmenter, ShapeClassifier, part_iou
    from octree.hrnet import HRNet
    from octree.mid_loss import MIDLoss, MIDLosses
    from octree.midnet import MIDFeatures, MIDNet, MIDNetConfig
    from octree.point_batch import PointBatch, ShapeDataset, collate
    from octree.pretrained import embed, load_pretrained, save_pretrained
    from pcrq.stores.shape_store import Shape, ShapeStore

_MODULES = {
    "octree.point_batch": ["PointBatch", "ShapeDataset", "collate"],
    "octree.augmentation": ["Affine", "RandomAffine", "clip", "quantize"],
    "octree.batch_octree": ["BatchOctree", "build_octree"],
    "octree.hrnet": ["HRNet"],
    "octree.midnet": ["MIDFeatures", "MIDNet", "MIDNetConfig"],
    "octree.mid_loss": ["MIDLoss", "MIDLosses"],
    "octree.downstream": ["PartIoU", "PartSegmenter", "ShapeClassifier", "part_iou"],
    "octree.pretrained": ["embed", "load_pretrained", "save_pretrained"],
    "pcrq.stores.shape_store": ["Shape", "ShapeStore"],
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "Affine",
    "BatchOctree",
    "HRNet",
    "MIDFeatures",
    "MIDLoss",
    "MIDLosses",
    "MIDNet",
    "MIDNetConfig",
    "PartIoU",
    "PartSegmenter",
    "PointBatch",
    "RandomAffine",
    "Shape",
    "ShapeClassifier",
    "ShapeDataset",
    "ShapeStore",
    "build_octree",
    "clip",
    "collate",
    "embed",
    "load_pretrained",
    "part_iou",
    "quantize",
    "save_pretrained",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'octree' has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

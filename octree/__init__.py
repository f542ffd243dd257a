"""Self-supervised learning on octrees: MID-Net with randomized quantization, for point clouds of any size."""

from typing import TYPE_CHECKING

from pcrq import lazy_exports

if TYPE_CHECKING:
    from octree.augmentation import Affine as Affine
    from octree.augmentation import RandomAffine as RandomAffine
    from octree.augmentation import clip as clip
    from octree.augmentation import quantize as quantize
    from octree.batch_octree import BatchOctree as BatchOctree
    from octree.batch_octree import build_octree as build_octree
    from octree.downstream import PartIoU as PartIoU
    from octree.downstream import PartSegmenter as PartSegmenter
    from octree.downstream import ShapeClassifier as ShapeClassifier
    from octree.downstream import part_iou as part_iou
    from octree.hrnet import HRNet as HRNet
    from octree.layers import use_pair_convolution as use_pair_convolution
    from octree.mid_loss import MIDLoss as MIDLoss
    from octree.mid_loss import MIDLosses as MIDLosses
    from octree.midnet import MIDFeatures as MIDFeatures
    from octree.midnet import MIDNet as MIDNet
    from octree.midnet import MIDNetConfig as MIDNetConfig
    from octree.point_batch import PointBatch as PointBatch
    from octree.point_batch import Shape as Shape
    from octree.point_batch import ShapeDataset as ShapeDataset
    from octree.point_batch import ShapeStore as ShapeStore
    from octree.point_batch import collate as collate
    from octree.pretrained import embed as embed
    from octree.pretrained import load_pretrained as load_pretrained
    from octree.pretrained import save_pretrained as save_pretrained

_MODULES = {
    "Shape": "point_batch",
    "ShapeStore": "point_batch",
    "ShapeDataset": "point_batch",
    "PointBatch": "point_batch",
    "collate": "point_batch",
    "Affine": "augmentation",
    "RandomAffine": "augmentation",
    "clip": "augmentation",
    "quantize": "augmentation",
    "BatchOctree": "batch_octree",
    "build_octree": "batch_octree",
    "use_pair_convolution": "layers",
    "HRNet": "hrnet",
    "MIDNet": "midnet",
    "MIDNetConfig": "midnet",
    "MIDFeatures": "midnet",
    "MIDLoss": "mid_loss",
    "MIDLosses": "mid_loss",
    "ShapeClassifier": "downstream",
    "PartSegmenter": "downstream",
    "PartIoU": "downstream",
    "part_iou": "downstream",
    "embed": "pretrained",
    "load_pretrained": "pretrained",
    "save_pretrained": "pretrained",
}
__all__ = list(_MODULES)
__getattr__, __dir__ = lazy_exports(__name__, _MODULES)

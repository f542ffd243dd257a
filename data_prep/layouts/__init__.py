"""Write shapes the way the public data sets are laid out on disk, to try their readers without a download.

A file README.txt in every folder says that the shapes are not those of the data set.
"""

from data_prep.layouts.modelnet40 import MODELNET40_CLASSES, write_modelnet40
from data_prep.layouts.packing import pack
from data_prep.layouts.shapenet_part import SHAPENET_PART_CLASSES, write_shapenet_part
from data_prep.layouts.shapenetcore import SYNSETS, write_shapenetcore

__all__ = [
    "MODELNET40_CLASSES",
    "SHAPENET_PART_CLASSES",
    "SYNSETS",
    "pack",
    "write_modelnet40",
    "write_shapenet_part",
    "write_shapenetcore",
]

"""Write shapes the way the public data sets are laid out on disk, to try their readers without a download.

A file README.txt in every folder says that the shapes are not those of the data set.
"""

from data_prep.layouts.modelnet40 import MODELNET40_CLASSES, write_modelnet40
from data_prep.layouts.packing import pack
from data_prep.layouts.shapenet_part import write_shapenet_part
from data_prep.layouts.shapenetcore import write_shapenetcore
from data_prep.public_datasets.shapenet_names import SHAPENET_PART_CLASSES, SYNSETS

__all__ = [
    "MODELNET40_CLASSES",
    "SHAPENET_PART_CLASSES",
    "SYNSETS",
    "pack",
    "write_modelnet40",
    "write_shapenet_part",
    "write_shapenetcore",
]

"""Readers of the public 3D data sets, as their authors publish them: ShapeNetCore, ModelNet40 and ShapeNet Part."""

from data_prep.public_datasets.dataset import PublicDataset
from data_prep.public_datasets.modelnet40 import collect_modelnet40
from data_prep.public_datasets.shapenet_part import collect_shapenet_part
from data_prep.public_datasets.shapenetcore import collect_shapenetcore

__all__ = ["PublicDataset", "collect_modelnet40", "collect_shapenet_part", "collect_shapenetcore"]

"""Readers of public datasets, in the form in which their authors publish them."""

from data_prep.public_datasets.dataset import PublicDataset
from data_prep.public_datasets.modelnet import collect_modelnet10, collect_modelnet40
from data_prep.public_datasets.nsynth import collect_nsynth
from data_prep.public_datasets.shapenet_part import collect_shapenet_part
from data_prep.public_datasets.shapenetcore import collect_shapenetcore
from data_prep.public_datasets.speech_commands import collect_speech_commands
from data_prep.public_datasets.urbansound8k import collect_urbansound8k
from data_prep.public_datasets.voxceleb1 import collect_voxceleb1
from data_prep.public_datasets.voxforge import collect_voxforge

__all__ = [
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
]
